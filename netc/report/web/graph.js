// The graph: boxes, modules and wires as SVG, moved and scaled by the reader.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";
const PEN = document.createElement("canvas").getContext("2d");
const LINE = 15;

function textWidth(text, size, bold) {
  PEN.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
  return PEN.measureText(text).width;
}

/** A text cut in its middle where it is too long. */
function cut(text, most) {
  if (text.length <= most) return text;
  const half = Math.floor((most - 1) / 2);
  return `${text.slice(0, half)}\u2026${text.slice(text.length - half)}`;
}

/** A layer's name without that of the module it is in. */
function ownName(name, module) {
  const path = module && !module.isRoot ? module.path : "";
  if (!path || !name.startsWith(path) || !/^[/_.-]/.test(name.slice(path.length))) return name;
  return name.slice(path.length).replace(/^[/_.-]+/, "") || name;
}

/** What stands in a box: its name, then what it is. */
function boxLines(box) {
  const { head } = box;
  const rest = box.layers.slice(1).map((layer) => layer.type);
  const lines = [[head.type, head.detail].filter(Boolean).join(" ")];
  if (rest.length) lines.push(`+ ${rest.join(", ")}`);
  return { name: cut(ownName(head.name, box.parent) || head.type, 34), lines: lines.map((l) => cut(l, 46)) };
}

function moduleLines(module) {
  const { parameters, macs } = module.sums;
  const lines = [`${module.layers.length} layers`];
  const costs = [parameters && `${short(parameters)} params`, macs && `${short(macs)} MACs`];
  if (costs.some(Boolean)) lines.push(costs.filter(Boolean).join(", "));
  return { name: cut(module.name, 34), lines };
}

function partSize(part) {
  const { name, lines } = part.kind === "box" ? boxLines(part) : moduleLines(part);
  const widths = [textWidth(name, 12.5, true) + (part.kind === "box" ? 0 : 16)];
  lines.forEach((line) => widths.push(textWidth(line, 11, false)));
  return { width: Math.ceil(Math.max(70, ...widths) + 26), height: 16 + LINE * (lines.length + 1) };
}

class Graph {
  constructor(model, page) {
    this.model = model;
    this.page = page;
    this.panel = document.getElementById("graph");
    this.scene = document.getElementById("scene");
    this.svg = document.getElementById("drawing");
    this.view = { x: 0, y: 0, scale: 1 };
    this.elements = new Map();
    this.places = new Map();
    this.listen();
  }

  make(kind, attributes = {}, text = null) {
    const element = document.createElementNS(this.svg.namespaceURI, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== null) element.textContent = text;
    return element;
  }

  /** Lay out and draw anew; a part that is named stays where it is on the screen. */
  draw(keep = null) {
    const before = keep && this.places.get(keep);
    this.elements.clear();
    this.places.clear();
    const look = {
      isOpen: (module) => this.page.open.has(module),
      size: partSize,
      headWidth: (module) => textWidth(module.name, 12.5, true) + 150,
      labelWidth: (value) => textWidth(this.model.data.values[value].image, 10.5, false),
    };
    this.whole = layOut(this.model.root, look);
    this.scene.replaceChildren();
    this.drawLevel(this.scene, this.whole, 0, 0);
    const after = keep && this.places.get(keep);
    if (before && after) {
      this.view.x += (before.x + before.width / 2 - after.x - after.width / 2) * this.view.scale;
      this.view.y += (before.y - after.y) * this.view.scale;
    }
    this.moved();
    this.showBars();
    this.mark();
  }

  drawLevel(parent, level, x, y) {
    const wires = parent.appendChild(this.make("g", { class: "wires" }));
    for (const wire of level.wires) wires.append(this.wire(wire));
    for (const node of level.nodes) this.drawNode(parent, node, x, y);
    for (const label of level.labels) parent.append(this.label(label));
  }

  wire(wire) {
    const attributes = { d: wire.path, class: wire.from.port ? "wire in" : "wire" };
    if (!wire.to.port && !wire.to.inner) attributes["marker-end"] = "url(#tip)";
    const path = this.make("path", attributes);
    path.append(this.make("title", {}, this.valueText(wire.value)));
    return path;
  }

  valueText(value) {
    const { name, shape } = this.model.data.values[value];
    return `${name}: ${shape}`;
  }

  label(label) {
    const shape = this.model.data.values[label.value].image;
    return this.make("text", { class: "shape", x: label.x + 6, y: label.y + 14 }, shape);
  }

  drawNode(parent, node, x, y) {
    const { part } = node;
    const place = { x: x + node.left, y: y + node.y, width: node.width, height: node.height };
    this.places.set(part, place);
    const group = this.make("g", { transform: `translate(${round(node.left)} ${round(node.y)})` });
    if (node.inner) this.drawOpen(group, node, place);
    else if (part.kind === "module") this.drawClosed(group, node);
    else this.drawBox(group, node);
    group.dataset.name = part.kind === "box" ? part.head.name : part.path;
    this.elements.set(part, group);
    parent.append(group);
  }

  drawBox(group, node) {
    const { part } = node;
    group.setAttribute("class", `box family-${part.family}`);
    group.append(this.make("rect", { class: "body", width: node.width, height: node.height, rx: 7 }));
    this.texts(group, node, boxLines(part));
    group.append(this.make("rect", { class: "bar", x: 7, y: node.height - 5, height: 2.5, rx: 1.2, width: 0 }));
    const tip = part.layers.map((l) => `${l.name}: ${l.type} ${l.detail}`.trim()).join("\n");
    group.append(this.make("title", {}, `${tip}\n${part.layers[part.layers.length - 1].shape}`));
    group.addEventListener("click", () => this.page.select(part.head, "graph"));
  }

  drawClosed(group, node) {
    const { part, width, height } = node;
    group.setAttribute("class", "box module closed");
    group.append(this.make("rect", { class: "behind", x: 4, y: 4, width, height, rx: 9 }));
    group.append(this.make("rect", { class: "body", width, height, rx: 9 }));
    this.texts(group, node, moduleLines(part), "\u25b8 ");
    group.append(this.make("rect", { class: "bar", x: 8, y: height - 5, height: 2.5, rx: 1.2, width: 0 }));
    group.append(this.make("title", {}, `${part.path}: ${part.layers.length} layers; double-click opens`));
    group.addEventListener("click", () => this.page.select(part, "graph"));
    group.addEventListener("dblclick", () => this.page.toggle(part));
  }

  drawOpen(group, node, place) {
    const { part, inner, width, height } = node;
    group.setAttribute("class", "module open");
    group.append(this.make("rect", { class: "frame", width, height, rx: 11 }));
    const head = this.make("g", { class: "head" });
    head.append(this.make("rect", { class: "grip", width, height: 24, rx: 11 }));
    head.append(this.make("text", { class: "name", x: 12, y: 17 }, `\u25be ${part.name}`));
    const costs = moduleLines(part).lines.slice(1).join("");
    if (textWidth(part.name, 12.5, true) + textWidth(costs, 11, false) + 60 < width) {
      head.append(this.make("text", { class: "sum", x: width - 12, y: 17 }, costs));
    }
    head.append(this.make("title", {}, `${part.path}: double-click closes`));
    head.addEventListener("click", () => this.page.select(part, "graph"));
    head.addEventListener("dblclick", () => this.page.toggle(part));
    group.append(head);
    this.drawLevel(group, inner, place.x, place.y);
  }

  texts(group, node, { name, lines }, mark = "") {
    const middle = node.width / 2;
    group.append(this.make("text", { class: "name", x: middle, y: 19 }, mark + name));
    lines.forEach((line, at) => {
      group.append(this.make("text", { class: "line", x: middle, y: 19 + LINE * (at + 1) }, line));
    });
  }

  /** Bars at the foot of boxes: their share of the dearest box. */
  showBars() {
    const { metric } = this.page;
    const cost = (part) => (part.kind === "box" ? sums(part.layers) : part.sums)[metric];
    const shown = [...this.elements].filter(([, group]) => group.querySelector(":scope > .bar"));
    const most = Math.max(1, ...shown.map(([part]) => cost(part)));
    for (const [part, group] of shown) {
      const bar = group.querySelector(":scope > .bar");
      const room = this.places.get(part).width - 2 * bar.getAttribute("x");
      bar.setAttribute("width", round((room * cost(part)) / most));
    }
  }

  /** Show what is selected and what was found. */
  mark() {
    const { selected, matches } = this.page;
    const chosen = selected && this.seen(selected);
    for (const [part, group] of this.elements) {
      const layers = this.page.open.has(part) ? [] : part.layers;
      group.classList.toggle("selected", part === chosen);
      group.classList.toggle("match", layers.some((layer) => matches.has(layer)));
    }
    this.panel.classList.toggle("searching", matches.size > 0);
  }

  /** The box or closed module that an item is drawn in. */
  seen(item) {
    const part = item.kind === "layer" ? item.box : item;
    const closed = ancestors(part).reverse().find((module) => !this.page.open.has(module));
    return closed || part;
  }

  // Moving about

  listen() {
    this.panel.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.panel.addEventListener("pointerdown", (event) => this.grab(event));
    this.svg.addEventListener("mousedown", (event) => event.detail > 1 && event.preventDefault());
    // A drag that ends on a box does not select it.
    const swallow = (event) => this.dragged && event.stopPropagation();
    this.panel.addEventListener("click", swallow, true);
  }

  wheel(event) {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      this.zoom(Math.exp(-event.deltaY / 250), event.offsetX, event.offsetY);
      return;
    }
    const step = event.deltaMode === 1 ? 24 : 1;
    this.view.x -= (event.shiftKey ? event.deltaY : event.deltaX) * step;
    this.view.y -= (event.shiftKey ? 0 : event.deltaY) * step;
    this.moved();
  }

  grab(event) {
    if (event.button !== 0 || event.target.closest("button, ul")) return;
    const start = { x: event.clientX - this.view.x, y: event.clientY - this.view.y };
    this.dragged = false;
    const drag = (move) => {
      if (Math.hypot(move.clientX - event.clientX, move.clientY - event.clientY) < 4) return;
      this.dragged = true;
      this.view.x = move.clientX - start.x;
      this.view.y = move.clientY - start.y;
      this.panel.classList.add("dragging");
      this.moved();
    };
    const stop = () => {
      this.panel.classList.remove("dragging");
      window.removeEventListener("pointermove", drag);
    };
    window.addEventListener("pointermove", drag);
    window.addEventListener("pointerup", stop, { once: true });
  }

  zoom(factor, x = this.panel.clientWidth / 2, y = this.panel.clientHeight / 2) {
    const scale = Math.min(3, Math.max(0.03, this.view.scale * factor));
    const by = scale / this.view.scale;
    this.view = { x: x - (x - this.view.x) * by, y: y - (y - this.view.y) * by, scale };
    this.moved();
  }

  moved() {
    const { x, y, scale } = this.view;
    this.scene.setAttribute("transform", `translate(${round(x)} ${round(y)}) scale(${scale})`);
    this.panel.classList.toggle("far", scale < 0.35);
  }

  /** Show all of it, or its upper end as wide as the panel. */
  fit(all) {
    const [width, height] = [this.panel.clientWidth, this.panel.clientHeight];
    const across = (width - 60) / Math.max(1, this.whole.width);
    const down = (height - 80) / Math.max(1, this.whole.height);
    const scale = Math.max(0.03, Math.min(1, across, all ? down : Math.max(down, 0.85)));
    const spare = height - this.whole.height * scale;
    this.view = {
      x: (width - this.whole.width * scale) / 2,
      y: spare > 80 ? spare / 2 : 34,
      scale,
    };
    this.moved();
  }

  /** Bring an item into the middle where it is out of sight, or in any case. */
  reveal(item, always) {
    const place = this.places.get(this.seen(item));
    if (!place) return;
    const { x, y, scale } = this.view;
    const [width, height] = [this.panel.clientWidth, this.panel.clientHeight];
    const left = place.x * scale + x;
    const top = place.y * scale + y;
    const inside = left > 10 && top > 10 && left + place.width * scale < width - 10 && top + Math.min(place.height, 60) * scale < height - 10;
    if (inside && !always) return;
    this.view.x += width / 2 - (left + (place.width * scale) / 2);
    this.view.y += height / 2 - (top + (Math.min(place.height * scale, height * 0.7)) / 2);
    this.moved();
  }
}
