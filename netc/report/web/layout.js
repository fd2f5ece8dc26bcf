// Where everything stands: layered drawings (Sugiyama, Tagawa and Toda, 1981), one within another.
// A module that is open is laid out by itself and stands as one large box in the module around it;
// what it reads enters at its upper edge, what it gives leaves at its lower one.

const MANY_WAYS = 20000; // waypoints; a level that needs more has its long wires drawn straight
const SPACE = { x: 26, way: 14, y: 40, side: 18, head: 30, foot: 16 };

/**
 * The layout of a module's inside.
 * look.isOpen(module) tells whether a module is drawn open, look.size(part) how large a box or a
 * closed module is, look.headWidth(module) how wide the name of an open one is.
 */
function layOut(module, look) {
  const level = connect(module, look);
  assignRanks(level);
  addWaypoints(level);
  orderRanks(level);
  placeAcross(level);
  placeDown(level, module);
  return finish(level, module, look);
}

// Nodes and wires

function connect(module, look) {
  const nodes = module.parts.map((part) => partNode(part, look));
  const makers = new Map();
  nodes.forEach((node) => node.part.makes.forEach((value) => makers.set(value, node)));
  const ports = module.isRoot ? [] : [...module.reads].map((value) => portNode("in", value));
  ports.forEach((port) => makers.set(port.value, port));
  const gives = module.isRoot ? [] : [...module.gives].map((value) => portNode("out", value));
  const wires = [];
  for (const node of nodes) {
    for (const value of node.part.reads) addWire(wires, value, makers.get(value), node);
  }
  for (const port of gives) addWire(wires, port.value, makers.get(port.value), port);
  return { nodes, ports, gives, wires };
}

function partNode(part, look) {
  if (part.kind === "module" && look.isOpen(part)) {
    const inner = layOut(part, look);
    return { part, inner, width: inner.width, height: inner.height };
  }
  return { part, ...look.size(part) };
}

function portNode(port, value) {
  return { port, value, width: 2, height: 0 };
}

function addWire(wires, value, from, to) {
  if (from && from !== to) wires.push({ value, from, to });
}

// Ranks: every wire goes down

function assignRanks(level) {
  const { nodes, ports, gives, wires } = level;
  const into = groupBy(wires, (wire) => wire.to);
  const outOf = groupBy(wires, (wire) => wire.from);
  ports.forEach((port) => (port.rank = 0));
  const first = ports.length ? 1 : 0;
  for (const node of nodes) {
    const above = (into.get(node) || []).map((wire) => wire.from.rank + 1);
    node.rank = Math.max(first, ...above);
  }
  const last = Math.max(0, ...nodes.map((node) => node.rank)) + 1;
  gives.forEach((port) => (port.rank = last));
  for (const node of [...nodes].reverse()) {
    const below = (outOf.get(node) || []).map((wire) => wire.to.rank - 1);
    if (below.length > (into.get(node) || []).length) node.rank = Math.min(...below);
  }
}

function groupBy(items, key) {
  const groups = new Map();
  items.forEach((item) => addTo(groups, key(item), item));
  return groups;
}

/** A wire over several ranks passes a waypoint in each; wires of one value share them. */
function addWaypoints(level) {
  const all = [...level.ports, ...level.nodes, ...level.gives];
  level.ranks = Array.from({ length: Math.max(0, ...all.map((n) => n.rank)) + 1 }, () => []);
  all.forEach((node) => {
    Object.assign(node, { up: [], down: [] });
    level.ranks[node.rank].push(node);
  });
  const ways = new Map();
  const direct = level.wires.reduce((sum, w) => sum + w.to.rank - w.from.rank - 1, 0) > MANY_WAYS;
  for (const wire of level.wires) {
    wire.via = [];
    let before = wire.from;
    for (let rank = wire.from.rank + 1; rank < wire.to.rank && !direct; rank += 1) {
      const way = waypoint(level, ways, wire, rank);
      join(before, way, wire.value);
      wire.via.push((before = way));
    }
    join(before, wire.to, wire.value);
  }
  weigh([...all, ...ways.values()]);
}

function waypoint(level, ways, wire, rank) {
  const key = `${wire.value} ${rank}`;
  if (!ways.has(key)) {
    const way = { way: true, value: wire.value, rank, width: 2, height: 0, up: [], down: [] };
    ways.set(key, way);
    level.ranks[rank].push(way);
  }
  return ways.get(key);
}

function join(above, below, value) {
  if (above.down.some((link) => link.node === below && link.value === value)) return;
  const link = { above, below, value };
  above.down.push({ ...link, node: below });
  below.up.push({ ...link, node: above });
}

/** How much each link wants to be straight: long wires most, then plain chains. */
function weigh(nodes) {
  for (const link of nodes.flatMap((node) => [...node.up, ...node.down])) {
    const { above, below } = link;
    link.rigid = (above.way && below.way) || (above.down.length === 1 && below.up.length === 1);
    link.weight = link.rigid ? 8 : above.way || below.way ? 2 : 1;
  }
}

// Order within ranks: few crossings

function orderRanks(level) {
  const number = (rank) => rank.forEach((node, at) => (node.at = at));
  level.ranks.forEach(number);
  let best = { crossings: countCrossings(level), ranks: level.ranks.map((rank) => [...rank]) };
  for (let sweep = 0; sweep < 12 && best.crossings > 0; sweep += 1) {
    const down = sweep % 2 === 0;
    const ranks = down ? level.ranks : [...level.ranks].reverse();
    for (const rank of ranks) {
      sortByNeighbours(rank, down ? "up" : "down");
      number(rank);
    }
    const crossings = countCrossings(level);
    if (crossings < best.crossings) {
      best = { crossings, ranks: level.ranks.map((rank) => [...rank]) };
    }
  }
  level.ranks = best.ranks;
  level.ranks.forEach(number);
}

function sortByNeighbours(rank, side) {
  for (const node of rank) {
    const places = node[side].map((link) => link.node.at);
    node.key = places.length ? places.reduce((a, b) => a + b, 0) / places.length : node.at;
  }
  rank.sort((a, b) => a.key - b.key || a.at - b.at);
}

function countCrossings(level) {
  return level.ranks.reduce((sum, rank) => sum + crossingsBelow(rank), 0);
}

/** Pairs of links that cross: inversions, counted in a Fenwick tree. */
function crossingsBelow(rank) {
  const ends = rank.flatMap((node) => node.down.map((l) => l.node.at).sort((a, b) => a - b));
  const tree = new Array(Math.max(0, ...ends) + 2).fill(0);
  let crossings = 0;
  ends.forEach((end, seen) => {
    let before = 0;
    for (let i = end + 1; i > 0; i -= i & -i) before += tree[i];
    crossings += seen - before;
    for (let i = end + 1; i < tree.length; i += i & -i) tree[i] += 1;
  });
  return crossings;
}

// Across: each node near the middle of its neighbours, in its rank's order

function placeAcross(level) {
  for (const rank of level.ranks) {
    let x = 0;
    rank.forEach((node, at) => {
      if (at) x += separation(rank[at - 1], node);
      node.x = x;
    });
    rank.forEach((node) => (node.x -= x / 2));
  }
  for (let sweep = 0; sweep < 16; sweep += 1) {
    const sides = sweep > 7 ? ["up", "down"] : sweep % 2 ? ["down"] : ["up"];
    const ranks = sweep % 2 ? [...level.ranks].reverse() : level.ranks;
    ranks.forEach((rank) => pull(rank, sides));
  }
  straighten(level);
}

/** The least distance of two neighbours' middles. */
function separation(left, right) {
  const gap = left.way || right.way || left.port || right.port ? SPACE.way : SPACE.x;
  return (left.width + right.width) / 2 + gap;
}

/** Where a wire of a value meets a node, from the node's middle. */
function offset(node, value, side) {
  if (!node.inner) return 0;
  const places = side === "up" ? node.inner.inX : node.inner.outX;
  return (places.get(value) ?? node.inner.width / 2) - node.inner.width / 2;
}

/** Least squares with the order kept: pools of neighbours that would overlap move as one. */
function pull(rank, sides) {
  const pools = [];
  let shift = 0;
  rank.forEach((node, at) => {
    if (at) shift += separation(rank[at - 1], node);
    const { wanted, weight } = wish(node, sides);
    let pool = { sum: (wanted - shift) * weight, weight, nodes: [[node, shift]] };
    while (pools.length && mean(pools[pools.length - 1]) > mean(pool)) {
      const before = pools.pop();
      pool = {
        sum: before.sum + pool.sum,
        weight: before.weight + pool.weight,
        nodes: [...before.nodes, ...pool.nodes],
      };
    }
    pools.push(pool);
  });
  for (const pool of pools) pool.nodes.forEach(([node, by]) => (node.x = mean(pool) + by));
}

function mean(pool) {
  return pool.sum / pool.weight;
}

function wish(node, sides) {
  let sum = 0;
  let weight = 0;
  for (const side of sides) {
    const other = side === "up" ? "down" : "up";
    for (const link of node[side]) {
      const there = link.node.x + offset(link.node, link.value, other);
      sum += (there - offset(node, link.value, side)) * link.weight;
      weight += link.weight;
    }
  }
  return weight ? { wanted: sum / weight, weight } : { wanted: node.x, weight: 0.01 };
}

// Chains and long wires, each moved as one column so that it is straight

function straighten(level) {
  const columns = columnsOf(level);
  for (let pass = 0; pass < 16; pass += 1) {
    const order = pass % 2 ? [...columns].reverse() : columns;
    order.forEach((column) => slide(level, column));
  }
}

/** Nodes that rigid links join, each with its distance from the first one's middle. */
function columnsOf(level) {
  const columns = [];
  const taken = new Set();
  for (const top of level.ranks.flat()) {
    if (taken.has(top)) continue;
    const column = [];
    for (let node = top, by = 0; node && !taken.has(node); ) {
      column.push({ node, by });
      taken.add(node);
      const link = node.down.find((down) => down.rigid);
      if (link) by += offset(node, link.value, "down") - offset(link.node, link.value, "up");
      node = link && link.node;
    }
    columns.push(Object.assign(column, { members: new Set(column.map((member) => member.node)) }));
  }
  return columns;
}

/** Move a column to where its other neighbours want it, as far as there is room. */
function slide(level, column) {
  let [low, high, sum, weight] = [-Infinity, Infinity, 0, 0];
  for (const { node, by } of column) {
    const rank = level.ranks[node.rank];
    const [before, after] = [rank[node.at - 1], rank[node.at + 1]];
    if (before) low = Math.max(low, before.x + separation(before, node) - by);
    if (after) high = Math.min(high, after.x - separation(node, after) - by);
    for (const side of ["up", "down"]) {
      for (const link of node[side]) {
        if (column.members.has(link.node)) continue;
        const there = link.node.x + offset(link.node, link.value, side === "up" ? "down" : "up");
        sum += (there - offset(node, link.value, side) - by) * link.weight;
        weight += link.weight;
      }
    }
  }
  if (low > high) return;
  const wanted = weight ? sum / weight : column.reduce((a, m) => a + m.node.x - m.by, 0) / column.length;
  const x = Math.max(low, Math.min(high, wanted));
  for (const { node, by } of column) node.x = x + by;
}

// Down: ranks below each other

function placeDown(level, module) {
  let y = module.isRoot ? 0 : SPACE.head;
  level.tops = [];
  level.bottoms = [];
  level.ranks.forEach((rank, at) => {
    const height = Math.max(0, ...rank.map((node) => node.height));
    level.tops.push(y);
    level.bottoms.push(y + height);
    rank.forEach((node) => (node.y = y + (height - node.height) / 2));
    const port = rank.every((node) => node.port) || (level.ranks[at + 1] || []).every((n) => n.port);
    y += height + (port ? SPACE.y / 2 : SPACE.y);
  });
  level.bottom = level.bottoms[level.bottoms.length - 1] || 0;
}

// The result: corners instead of middles, and paths

function finish(level, module, look) {
  const every = level.ranks.flat();
  const left = Math.min(0, ...every.map((node) => node.x - node.width / 2));
  const right = Math.max(0, ...every.map((node) => node.x + node.width / 2));
  const side = module.isRoot ? 0 : SPACE.side;
  const width = Math.max(right - left + 2 * side, module.isRoot ? 0 : look.headWidth(module));
  const move = (width - (right - left)) / 2 - left;
  every.forEach((node) => {
    node.x += move;
    node.left = node.x - node.width / 2;
  });
  const height = level.bottom + (module.isRoot || level.gives.length ? 0 : SPACE.foot);
  placePorts(level, width, height);
  spreadEnds(level);
  const wires = level.wires.map((wire) => ({ ...wire, path: pathOf(wire, level) }));
  return {
    width,
    height,
    nodes: level.nodes,
    wires,
    labels: apart(labelsOf(level), look.labelWidth),
    inX: new Map(level.ports.map((port) => [port.value, port.x])),
    outX: new Map(level.gives.map((port) => [port.value, port.x])),
  };
}

/** Ports lie on the module's edges; a single one in the middle, so that modules stand in line. */
function placePorts(level, width, height) {
  level.ports.forEach((port) => (port.y = 0));
  level.gives.forEach((port) => (port.y = height));
  for (const ports of [level.ports, level.gives]) {
    if (ports.length === 1) ports[0].x = width / 2;
  }
}

/** Wires that meet a box side by side, in the order they come. */
function spreadEnds(level) {
  const next = (wire) => (wire.via.length ? wire.via[0] : wire.to).x;
  const before = (wire) => (wire.via.length ? wire.via[wire.via.length - 1] : wire.from).x;
  for (const [node, wires] of groupBy(level.wires, (wire) => wire.to)) {
    spread(node, groupBy(wires, (w) => w.value), before, "toX", "up");
  }
  for (const [node, wires] of groupBy(level.wires, (wire) => wire.from)) {
    spread(node, groupBy(wires, (w) => w.value), next, "fromX", "down");
  }
}

function spread(node, byValue, place, key, side) {
  const middle = (wires) => wires.reduce((sum, wire) => sum + place(wire), 0) / wires.length;
  const groups = [...byValue.values()].sort((a, b) => middle(a) - middle(b));
  const step = Math.min(18, (node.width * 0.7) / Math.max(1, groups.length - 1));
  groups.forEach((wires, at) => {
    const across = node.inner
      ? offset(node, wires[0].value, side)
      : (at - (groups.length - 1) / 2) * step;
    wires.forEach((wire) => (wire[key] = node.x + across));
  });
}

function pathOf(wire, level) {
  const { from, to } = wire;
  let [x, y] = [wire.fromX, from.y + from.height];
  let path = `M${round(x)} ${round(y)}`;
  const straight = (down) => {
    if (down > y) path += `V${round((y = down))}`;
  };
  const bend = (across, down) => {
    const middle = round((y + down) / 2);
    path += `C${round(x)} ${middle} ${round(across)} ${middle} ${round(across)} ${round(down)}`;
    [x, y] = [across, down];
  };
  straight(level.bottoms[from.rank]);
  for (const way of wire.via) {
    bend(way.x, level.tops[way.rank]);
    straight(level.bottoms[way.rank]);
  }
  bend(wire.toX, level.tops[to.rank]);
  straight(to.y);
  return path;
}

function round(number) {
  return Math.round(number * 10) / 10;
}

/** One label for each value, below what makes it; what only leaves the module has it outside. */
function labelsOf(level) {
  const labels = [];
  for (const [node, wires] of groupBy(level.wires, (wire) => wire.from)) {
    if (node.port) continue;
    const values = new Map(wires.filter((w) => !w.to.port).map((w) => [w.value, w]));
    for (const wire of values.values()) {
      labels.push({ value: wire.value, x: wire.fromX, y: level.bottoms[node.rank] });
    }
  }
  return labels;
}

const LABEL = { rows: 3, height: 11, gap: 8 }; // rows fit between two ranks

/** Labels of one rank side by side; those that would lie on each other in further rows, or not at all. */
function apart(labels, widthOf) {
  const shown = [];
  for (const rank of groupBy(labels, (label) => label.y).values()) {
    const ends = new Array(LABEL.rows).fill(-Infinity);
    for (const label of rank.sort((a, b) => a.x - b.x)) {
      const row = ends.findIndex((end) => end + LABEL.gap < label.x);
      if (row < 0) continue;
      ends[row] = label.x + widthOf(label.value);
      shown.push({ ...label, y: label.y + row * LABEL.height });
    }
  }
  return shown;
}
