// On paper: the graph in pieces that are a page high each, then the whole table.

const PAPER = { width: 700, height: 920, head: 90, least: 0.3 }; // CSS pixels that A4 and Letter both have

class Paper {
  constructor(page) {
    this.page = page;
    this.sheets = document.getElementById("sheets");
    window.addEventListener("beforeprint", () => this.fill());
    window.addEventListener("afterprint", () => this.clear());
    // Printing without a dialog tells nothing but the change of medium.
    window.matchMedia("print").addEventListener("change", (medium) => medium.matches && this.fill());
  }

  fill() {
    const { graph } = this.page;
    const { width, height } = graph.whole;
    this.clear();
    const scale = Math.max(PAPER.least, Math.min(1, PAPER.width / Math.max(1, width)));
    for (const [top, bottom] of this.pieces(height, PAPER.height / scale, PAPER.head / scale)) {
      const sheet = graph.make("svg", {
        viewBox: `-4 ${round(top - 4)} ${round(Math.max(width, PAPER.width / scale) + 8)} ${round(bottom - top + 8)}`,
        width: PAPER.width,
        height: round((bottom - top + 8) * scale),
        preserveAspectRatio: "xMidYMin meet",
      });
      const copy = graph.scene.cloneNode(true);
      copy.removeAttribute("transform");
      copy.removeAttribute("id");
      sheet.append(copy);
      this.sheets.append(sheet);
    }
    document.body.dataset.sheets = String(this.sheets.childElementCount);
  }

  /** Cuts where no box lies, so far as there is such a place in the lower half of a sheet. */
  pieces(height, room, head) {
    const boxes = [...this.page.graph.places].filter(([part]) => part.kind === "box" || !this.page.open.has(part));
    const free = (y) => !boxes.some(([, place]) => place.y < y && y < place.y + place.height);
    const found = [];
    for (let top = 0; top < height; ) {
      const high = top ? room : room - head; // the net's name and figures stand above the first
      let bottom = Math.min(height, top + high);
      for (let y = bottom; bottom < height && y > top + high / 2; y -= 6) {
        if (free(y)) {
          bottom = y;
          break;
        }
      }
      found.push([top, bottom]);
      top = bottom;
    }
    return found;
  }

  clear() {
    this.sheets.replaceChildren();
  }
}
