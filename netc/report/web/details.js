// What is known of the selected layer or module, below the table.

class Details {
  constructor(model, page) {
    this.model = model;
    this.page = page;
    this.panel = document.getElementById("details");
  }

  show(item) {
    this.panel.replaceChildren();
    if (!item) return;
    const title = document.createElement("h2");
    title.textContent = item.kind === "layer" ? item.name : item.path;
    const list = document.createElement("dl");
    for (const [term, value] of item.kind === "layer" ? this.ofLayer(item) : this.ofModule(item)) {
      if (value === "" || (Array.isArray(value) && !value.length)) continue;
      list.append(Object.assign(document.createElement("dt"), { textContent: term }));
      list.append(this.value(value));
    }
    this.panel.append(title, list);
    if (item.kind === "layer") this.attributes(item);
  }

  value(value) {
    const found = document.createElement("dd");
    if (Array.isArray(value)) found.append(...value);
    else found.textContent = value;
    return found;
  }

  ofLayer(layer) {
    const { producer, readers } = this.model;
    const from = (value) => this.link(producer.get(value), this.blob(value));
    const to = layer.outputs.flatMap((value) => readers.get(value) || []);
    return [
      ["type", [layer.type, layer.detail].filter(Boolean).join(" ")],
      ["reads", spaced(layer.inputs.map(from))],
      ["makes", layer.outputs.map((value) => this.blob(value)).join(", ")],
      ["read by", spaced([...new Set(to)].map((reader) => this.link(reader, reader.name)))],
      ["parameters", exact(layer.parameters)],
      ["MACs", this.ofBatch(layer.macs, exact)],
      ["memory", layer.bytes === 0 && layer.inPlace ? "none, in place" : this.ofBatch(layer.bytes, bytes)],
      ["sees", layer.field],
      ["written at", layer.place],
      ["note", layer.known ? "" : "netc does not know this layer"],
    ];
  }

  ofModule(module) {
    const { parameters, macs, bytes: total, complete } = module.sums;
    return [
      ["layers", String(module.layers.length)],
      ["parameters", exact(parameters)],
      ["MACs", this.ofBatch(macs, exact)],
      ["memory", this.ofBatch(total, bytes)],
      ["note", complete ? "" : "without layers whose figures are unknown"],
    ];
  }

  /** A figure of the whole batch, and of one image where that is another. */
  ofBatch(number, shown) {
    const { batch } = this.model.data.net;
    if (!number || batch < 2) return shown(number);
    const each = number % batch ? "" : `${shown(number / batch)} an image, `;
    return `${each}${shown(number)} for the batch of ${batch}`;
  }

  /** All that the text says of the layer, fillers and rates among it. */
  attributes(layer) {
    let list = null;
    for (const [group, term, value] of layer.attributes) {
      if (!list || list.dataset.group !== group) {
        const title = Object.assign(document.createElement("h3"), { textContent: group || "layer" });
        list = document.createElement("dl");
        list.dataset.group = group;
        this.panel.append(title, list);
      }
      list.append(Object.assign(document.createElement("dt"), { textContent: term }), this.value(value));
    }
  }

  blob(value) {
    const { name, shape } = this.model.data.values[value];
    return `${name} ${shape}`;
  }

  link(layer, text) {
    if (!layer) return text;
    const button = document.createElement("button");
    button.className = "link";
    button.textContent = text;
    button.addEventListener("click", () => this.page.visit(layer));
    return button;
  }
}

function bytes(number) {
  return short(number, "B");
}

function spaced(nodes) {
  return nodes.flatMap((node, at) => (at ? [", ", node] : [node]));
}
