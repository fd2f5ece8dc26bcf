// The net as a tree of parts: boxes (layers in a chain) within modules within the net.

/** Boxes, modules and layers of the page's data, linked with each other. */
function buildModel(data) {
  const model = { data, boxes: [], modules: [], producer: new Map(), readers: new Map() };
  data.layers.forEach((layer, index) => {
    layer.kind = "layer";
    layer.index = index;
    layer.outputs.forEach((value) => model.producer.set(value, layer));
    layer.inputs.forEach((value) => addTo(model.readers, value, layer));
  });
  data.boxes.forEach((indices, index) => model.boxes.push(buildBox(data, indices, index)));
  model.root = buildModule(model, data.tree, null);
  model.root.isRoot = true;
  linkValues(model, model.root);
  return model;
}

function addTo(map, key, item) {
  if (!map.has(key)) map.set(key, []);
  map.get(key).push(item);
}

function buildBox(data, indices, index) {
  const layers = indices.map((at) => data.layers[at]);
  const box = { kind: "box", index, layers, head: layers[0], family: layers[0].family };
  layers.forEach((layer) => (layer.box = box));
  box.makes = new Set(layers.flatMap((layer) => layer.outputs));
  box.reads = new Set(layers.flatMap((layer) => layer.inputs).filter((v) => !box.makes.has(v)));
  return box;
}

function buildModule(model, tree, parent) {
  const module = { kind: "module", name: tree.name, path: tree.path, parent };
  module.depth = parent ? parent.depth + 1 : 0;
  if (parent) model.modules.push(module);
  module.parts = tree.parts.map((part) =>
    typeof part === "number" ? adopt(model.boxes[part], module) : buildModule(model, part, module),
  );
  module.boxes = module.parts.flatMap((part) => (part.kind === "box" ? [part] : part.boxes));
  module.layers = module.boxes.flatMap((box) => box.layers);
  module.sums = sums(module.layers);
  return module;
}

function adopt(box, module) {
  box.parent = module;
  box.layers.forEach((layer) => (layer.depth = module.depth));
  return box;
}

/** Sums over layers; what is unknown counts as nothing and is remembered. */
function sums(layers) {
  const total = { parameters: 0, macs: 0, bytes: 0, complete: true };
  for (const layer of layers) {
    for (const key of ["parameters", "macs", "bytes"]) {
      if (layer[key] === null) total.complete = false;
      total[key] += layer[key] || 0;
    }
  }
  return total;
}

/** What each module reads from outside, makes, and gives to the outside. */
function linkValues(model, module) {
  module.parts.filter((part) => part.kind === "module").forEach((part) => linkValues(model, part));
  module.makes = new Set(module.boxes.flatMap((box) => [...box.makes]));
  const read = module.boxes.flatMap((box) => [...box.reads]);
  module.reads = new Set(read.filter((value) => !module.makes.has(value)));
  const inside = new Set(module.layers);
  const isGiven = (value) => (model.readers.get(value) || []).some((layer) => !inside.has(layer));
  module.gives = new Set([...module.makes].filter(isGiven));
}

/** The modules around a part, the innermost first. */
function ancestors(part) {
  const found = [];
  for (let at = part.parent; at && !at.isRoot; at = at.parent) found.push(at);
  return found;
}

function moduleOf(item) {
  return item.kind === "layer" ? item.box.parent : item.parent;
}

// Numbers as people read them

const STEPS = ["", "k", "M", "G", "T", "P"];

/** Three digits and a decimal prefix: 15.5 G. */
function short(number, unit = "") {
  if (number === null) return "?";
  if (number === 0) return "";
  let step = 0;
  let shown = number;
  while (shown >= 999.5 && step < STEPS.length - 1) {
    step += 1;
    shown /= 1000;
  }
  const digits = step === 0 || shown >= 99.95 ? 0 : shown >= 9.995 ? 1 : 2;
  return `${shown.toFixed(digits)} ${STEPS[step]}${unit}`.trim();
}

function exact(number) {
  if (number === null) return "?";
  return number === 0 ? "" : number.toLocaleString("en-US");
}
