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
  }

  value(value) {
    const found = document.createElement("dd");
    if (Array.isArray(value)) found.append(...value);
    else found.textContent = value;
    return found;
  }

  ofLayer(layer) {
    const { data, producer, readers } = this.model;
    const from = (value) => this.link(producer.get(value), this.blob(value));
    const to = layer.outputs.flatMap((value) => readers.get(value) || []);
    return [
      ["type", [layer.type, layer.detail].filter(Boolean).join(" ")],
      ["reads", spaced(layer.inputs.map(from))],
      ["makes", layer.outputs.map((value) => this.blob(value)).join(", ")],
      ["read by", spaced([...new Set(to)].map((reader) => this.link(reader, reader.name)))],
      ["parameters", exact(layer.parameters)],
      ["MACs", exact(layer.macs)],
      ["memory", layer.bytes === 0 && layer.inPlace ? "none, in place" : short(layer.bytes, "B")],
      ["sees", layer.field],
      ["written at", layer.place],
      ["note", layer.known ? "" : "netc does not know this layer"],
      ["figures", data.net.batch > 1 ? `of ${data.net.batch} images` : ""],
    ];
  }

  ofModule(module) {
    const { parameters, macs, bytes, complete } = module.sums;
    return [
      ["layers", String(module.layers.length)],
      ["parameters", exact(parameters)],
      ["MACs", exact(macs)],
      ["memory", short(bytes, "B")],
      ["note", complete ? "" : "without layers whose figures are unknown"],
    ];
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

function spaced(nodes) {
  return nodes.flatMap((node, at) => (at ? [", ", node] : [node]));
}
