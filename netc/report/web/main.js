// The page: what is open, selected and searched for; keys and switches.

const METRICS = { macs: "MACs", parameters: "params", bytes: "memory" };
const THEMES = { system: "auto", light: "light", dark: "dark" };
const MANY = 120; // boxes; a net of more begins with its modules closed
const WALK = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"]);
const KEYS = [
  ["/", "find a layer or a type; Enter goes on to the next"],
  ["\u2191 \u2193", "walk through the table"],
  ["\u2192 \u2190", "open and close a module, go in and out"],
  ["Enter", "bring the layer into the middle of the graph"],
  ["]  [", "open all modules, close all"],
  ["f", "show all of the graph"],
  ["+  -", "larger, smaller (or Ctrl and the wheel)"],
  ["m", "bars show MACs, parameters, memory"],
  ["t", "colours as the system, light, dark"],
  ["Esc", "forget what was searched or selected"],
];

class Page {
  constructor(data) {
    this.model = buildModel(data);
    this.data = data;
    this.open = new Set(this.model.boxes.length <= MANY ? this.model.modules : []);
    this.selected = null;
    this.matches = new Set();
    this.metric = "macs";
    this.graph = new Graph(this.model, this);
    this.table = new Table(this.model, this);
    this.details = new Details(this.model, this);
    this.paper = new Paper(this);
    this.head();
    this.switches();
    this.readAddress();
    this.showMetric();
    this.table.fold();
    listenToSplitter(document.getElementById("splitter"));
    this.graph.draw();
    this.graph.fit(this.asked.get("fit") === "all");
    this.search(document.getElementById("find").value);
    this.startAt(this.asked.get("select"));
  }

  // What is shown in the head

  head() {
    document.getElementById("title").textContent = this.data.net.name;
    const facts = document.getElementById("facts");
    for (const fact of this.data.net.facts) {
      facts.append(Object.assign(document.createElement("li"), { textContent: fact }));
    }
    const { batch } = this.data.net;
    const caption = document.getElementById("caption");
    caption.textContent = `params once; MACs and memory of the batch of ${batch} images, outputs of one`;
    caption.hidden = batch < 2;
    const legend = document.getElementById("legend");
    for (const family of new Set(this.data.layers.map((layer) => layer.family))) {
      const item = document.createElement("li");
      item.className = `family-${family}`;
      item.append(Object.assign(document.createElement("i"), { className: "dot" }), family);
      legend.append(item);
    }
    const keys = document.querySelector("#keys dl");
    for (const [key, what] of KEYS) {
      keys.append(Object.assign(document.createElement("dt"), { textContent: key }));
      keys.append(Object.assign(document.createElement("dd"), { textContent: what }));
    }
  }

  // Opening and closing

  toggle(module) {
    if (this.open.has(module)) this.open.delete(module);
    else this.open.add(module);
    this.folded(module);
  }

  foldAll(open) {
    this.open = new Set(open ? this.model.modules : []);
    this.folded(null);
    this.graph.fit(false);
    if (this.selected) this.graph.reveal(this.selected, false);
  }

  folded(module) {
    const { selected } = this;
    const hidden = selected && this.graph.seen(selected) !== (selected.box || selected);
    if (hidden) this.selected = this.graph.seen(selected);
    this.table.fold();
    this.graph.draw(module);
    this.marked("fold");
  }

  /** Open the modules around an item. */
  uncover(item) {
    const part = item.kind === "layer" ? item.box : item;
    const closed = ancestors(part).filter((module) => !this.open.has(module));
    if (!closed.length) return;
    closed.forEach((module) => this.open.add(module));
    this.table.fold();
    this.graph.draw(closed[closed.length - 1]);
  }

  // Selecting

  select(item, from) {
    this.selected = item;
    this.marked(from);
    if (from !== "graph") this.graph.reveal(item, false);
  }

  /** Select an item wherever it is. */
  visit(item) {
    this.uncover(item);
    this.select(item, "visit");
  }

  /** What Enter and a double click do: open a module, show a layer. */
  open_(item) {
    if (!item) return;
    if (item.kind === "module") this.toggle(item);
    else this.graph.reveal(item, true);
  }

  marked(from) {
    this.details.show(this.selected);
    this.table.mark(from);
    this.graph.mark();
    this.writeAddress();
  }

  // Searching

  search(text) {
    const wanted = text.trim().toLowerCase();
    const fits = (layer) => `${layer.name} ${layer.type}`.toLowerCase().includes(wanted);
    const found = wanted ? this.data.layers.filter(fits) : [];
    this.matches = new Set(found);
    document.getElementById("found").textContent = wanted ? `${found.length}` : "";
    this.table.mark("search");
    this.graph.mark();
  }

  /** The match after the selected layer, or before it. */
  nextMatch(step) {
    const found = [...this.matches];
    if (!found.length) return;
    const at = found.indexOf(this.selected);
    const next = at < 0 ? (step > 0 ? 0 : found.length - 1) : at + step + found.length;
    this.visit(found[next % found.length]);
  }

  // Switches

  switches() {
    const on = (id, what) => document.getElementById(id).addEventListener("click", what);
    on("unfold", () => this.foldAll(true));
    on("fold", () => this.foldAll(false));
    on("closer", () => this.graph.zoom(1.25));
    on("further", () => this.graph.zoom(0.8));
    on("fit", () => this.graph.fit(true));
    on("theme", () => this.setTheme(next(Object.keys(THEMES), this.theme)));
    on("help", () => document.getElementById("keys").showModal());
    const find = document.getElementById("find");
    find.addEventListener("input", () => this.search(find.value));
    find.addEventListener("keydown", (event) => this.findKey(event, find));
    for (const [key, name] of Object.entries(METRICS)) this.addMetric(key, name);
    this.setTheme(remembered() || "system");
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("hashchange", () => this.readAddress());
  }

  addMetric(key, name) {
    const button = Object.assign(document.createElement("button"), { textContent: name });
    button.setAttribute("role", "radio");
    button.dataset.metric = key;
    button.title = `bars show ${name} (m)`;
    button.addEventListener("click", () => this.setMetric(key));
    document.getElementById("metrics").append(button);
  }

  setMetric(metric) {
    this.metric = metric;
    this.showMetric();
    this.graph.showBars();
    this.writeAddress();
  }

  showMetric() {
    for (const button of document.querySelectorAll("#metrics button")) {
      button.setAttribute("aria-checked", button.dataset.metric === this.metric);
    }
    document.getElementById("side").dataset.metric = this.metric;
  }

  setTheme(theme) {
    this.theme = theme;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.getElementById("theme").textContent = THEMES[theme];
    remember(theme);
  }

  findKey(event, find) {
    if (event.key === "Enter") this.nextMatch(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      find.value = "";
      this.search("");
      find.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    if (document.getElementById("keys").open) return;
    const does = {
      "/": () => document.getElementById("find").focus(),
      f: () => this.graph.fit(true),
      "+": () => this.graph.zoom(1.25),
      "=": () => this.graph.zoom(1.25),
      "-": () => this.graph.zoom(0.8),
      "]": () => this.foldAll(true),
      "[": () => this.foldAll(false),
      m: () => this.setMetric(next(Object.keys(METRICS), this.metric)),
      t: () => this.setTheme(next(Object.keys(THEMES), this.theme)),
      "?": () => document.getElementById("keys").showModal(),
      Escape: () => this.forget(),
    }[event.key];
    if (does) {
      does();
      event.preventDefault();
    } else if (event.key === "Enter" ? !event.target.matches("button") : WALK.has(event.key)) {
      this.table.key(event);
    }
  }

  forget() {
    this.selected = null;
    document.getElementById("find").value = "";
    this.search("");
    this.marked("forget");
  }

  // The address: #select=conv1&open=all&metric=bytes&theme=dark&find=relu

  readAddress() {
    this.asked = new URLSearchParams(location.hash.slice(1));
    const open = this.asked.get("open");
    if (open === "all") this.open = new Set(this.model.modules);
    if (open === "none") this.open = new Set();
    if (this.asked.get("metric") in METRICS) this.metric = this.asked.get("metric");
    if (this.asked.get("theme") in THEMES) this.setTheme(this.asked.get("theme"));
    document.getElementById("find").value = this.asked.get("find") || "";
  }

  startAt(name) {
    const items = [...this.data.layers, ...this.model.modules];
    const found = items.find((item) => name && (item.path || item.name) === name);
    if (!found) return this.marked("start");
    this.uncover(found);
    this.select(found, "start");
    this.graph.reveal(found, true);
  }

  writeAddress() {
    const address = new URLSearchParams(this.asked);
    const { selected } = this;
    if (selected) address.set("select", selected.path || selected.name);
    else address.delete("select");
    address.set("metric", this.metric);
    try {
      history.replaceState(null, "", `#${address}`);
    } catch {
      // a page without an address of its own, as in a frame
    }
  }
}

function next(keys, key) {
  return keys[(keys.indexOf(key) + 1) % keys.length];
}

function remembered() {
  try {
    const theme = localStorage.getItem("netc-theme");
    return theme in THEMES ? theme : null;
  } catch {
    return null; // pages from files may have no storage
  }
}

function remember(theme) {
  try {
    localStorage.setItem("netc-theme", theme);
  } catch {
    // as above
  }
}

/** The bar between graph and table, moved by the pointer or the arrow keys. */
function listenToSplitter(bar) {
  const side = document.getElementById("side");
  const set = (width) => {
    const most = document.body.clientWidth - 240;
    side.style.flexBasis = `${Math.max(240, Math.min(most, width))}px`;
  };
  const whole = document.querySelector("table").scrollWidth + 20;
  set(Math.min(whole, document.body.clientWidth * 0.48));
  bar.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const drag = (move) => set(document.body.clientWidth - move.clientX);
    window.addEventListener("pointermove", drag);
    window.addEventListener("pointerup", () => window.removeEventListener("pointermove", drag), {
      once: true,
    });
  });
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 32, ArrowRight: -32 }[event.key];
    if (!step) return;
    set(side.clientWidth + step);
    event.preventDefault();
    event.stopPropagation();
  });
}

window.addEventListener("error", (event) => {
  document.body.dataset.error = event.message;
});
window.netc = new Page(JSON.parse(document.getElementById("data").textContent));
// Milliseconds since the page was asked for, for those who measure.
document.body.dataset.ready = String(Math.round(performance.now()));
