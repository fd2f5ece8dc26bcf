// The table beside the graph: a row for each module and each layer, in the net's order.

class Table {
  constructor(model, page) {
    this.model = model;
    this.page = page;
    this.body = document.getElementById("body");
    this.rows = new Map();
    this.items = [];
    this.addModule(model.root);
    this.body.addEventListener("keydown", (event) => this.key(event));
  }

  addModule(module) {
    for (const part of module.parts) {
      if (part.kind === "box") part.layers.forEach((layer) => this.addRow(layer, module));
      else {
        this.addRow(part, module);
        this.addModule(part);
      }
    }
  }

  addRow(item, module) {
    const row = document.createElement("tr");
    row.setAttribute("role", "row");
    row.setAttribute("aria-level", module.depth + 1);
    row.tabIndex = -1;
    row.className = item.kind === "layer" ? `layer family-${item.family}` : "module";
    row.dataset.name = item.kind === "layer" ? item.name : item.path;
    row.append(...this.cells(item, module));
    row.addEventListener("click", () => this.page.select(item, "table"));
    row.addEventListener("dblclick", () => this.page.open_(item));
    this.rows.set(item, row);
    this.items.push(item);
    this.body.append(row);
  }

  cells(item, module) {
    const isLayer = item.kind === "layer";
    const last = isLayer ? item : item.layers[item.layers.length - 1];
    const cost = isLayer ? item : item.sums;
    return [
      this.nameCell(item, module),
      cell(isLayer ? item.type : `${item.layers.length} layers`, "type"),
      cell(last.image, "shape"),
      this.costCell(cost, "parameters", exact(cost.parameters)),
      this.costCell(cost, "macs", short(cost.macs)),
      this.costCell(cost, "bytes", short(cost.bytes, "B")),
    ];
  }

  nameCell(item, module) {
    const name = item.kind === "layer" ? ownName(item.name, module) : item.name;
    const found = cell("", "name");
    found.style.paddingLeft = `${10 + 16 * module.depth}px`;
    if (item.kind === "module") {
      const fold = document.createElement("button");
      fold.className = "fold";
      fold.tabIndex = -1;
      fold.setAttribute("aria-label", `open or close ${item.path}`);
      fold.addEventListener("click", (event) => {
        event.stopPropagation();
        this.page.toggle(item);
      });
      found.append(fold);
    } else {
      found.append(Object.assign(document.createElement("i"), { className: "dot" }));
    }
    found.append(name);
    return found;
  }

  costCell(cost, key, text) {
    const found = cell("", `number ${key}`);
    const bar = Object.assign(document.createElement("span"), { className: "bar" });
    const most = this.most(key);
    const share = cost === null || !cost[key] ? 0 : Math.min(1, cost[key] / most);
    bar.style.width = `${round(100 * share)}%`;
    found.append(bar, Object.assign(document.createElement("span"), { textContent: text }));
    return found;
  }

  /** The dearest layer's cost; modules may have more, and their bars are full then. */
  most(key) {
    this.dearest = this.dearest || {};
    this.dearest[key] ??= Math.max(1, ...this.model.data.layers.map((layer) => layer[key] || 0));
    return this.dearest[key];
  }

  /** Rows of closed modules are hidden. */
  fold() {
    const { open } = this.page;
    for (const [item, row] of this.rows) {
      const around = item.kind === "layer" ? [item.box.parent, ...ancestors(item.box.parent)] : ancestors(item);
      row.hidden = around.some((module) => !module.isRoot && !open.has(module));
      if (item.kind === "module") row.setAttribute("aria-expanded", open.has(item));
    }
  }

  mark(from) {
    const { selected, matches } = this.page;
    for (const [item, row] of this.rows) {
      row.classList.toggle("selected", item === selected);
      row.setAttribute("aria-selected", item === selected);
      row.classList.toggle("match", matches.has(item));
      row.tabIndex = item === selected ? 0 : -1;
    }
    if (!selected) this.rows.get(this.items[0])?.setAttribute("tabindex", "0");
    const row = selected && this.rows.get(selected);
    if (row && from !== "table") row.scrollIntoView({ block: "nearest" });
  }

  /** Arrow keys walk through the rows that are seen; left and right close and open. */
  key(event) {
    const seen = this.items.filter((item) => !this.rows.get(item).hidden);
    const { selected } = this.page;
    const at = seen.indexOf(selected);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 };
    if (event.key in steps) {
      const to = Math.max(0, Math.min(seen.length - 1, at + steps[event.key]));
      this.go(seen[to]);
    } else if (event.key === "ArrowRight") this.right(selected, seen, at);
    else if (event.key === "ArrowLeft") this.left(selected);
    else if (event.key === "Enter" || event.key === " ") this.page.open_(selected);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  go(item) {
    if (!item) return;
    this.page.select(item, "keys");
    this.rows.get(item).focus({ preventScroll: false });
  }

  right(selected, seen, at) {
    if (selected?.kind !== "module") return;
    if (!this.page.open.has(selected)) this.page.toggle(selected);
    else this.go(seen[at + 1]);
  }

  left(selected) {
    if (!selected) return;
    if (selected.kind === "module" && this.page.open.has(selected)) this.page.toggle(selected);
    else if (!moduleOf(selected).isRoot) this.go(moduleOf(selected));
  }
}

function cell(text, kind) {
  const found = document.createElement("td");
  found.className = kind;
  found.setAttribute("role", "gridcell");
  found.textContent = text;
  return found;
}
