"""Each parameter is updated as soon as its gradient is whole and nothing reads the parameter more.

Before::

    dy = ...; dx = Gradient(dy; W2); dW2 = Gradient(x, dy); dW1 = Gradient(z, dx)
    W1', h1' = Update(dW1, W1, h1, rate, iteration)
    W2', h2' = Update(dW2, W2, h2, rate, iteration)

After::

    dy = ...; dx = Gradient(dy; W2); dW2 = Gradient(x, dy)
    W2', h2' = Update(dW2, W2, h2, rate, iteration)
    dW1 = Gradient(z, dx); W1', h1' = Update(dW1, W1, h1, rate, iteration)

Caffe holds all gradients until the backward pass has ended. Here a gradient lives for a few nodes,
and the next one may have its memory. An update writes over the parameter, so it waits for the last
node that reads it: the data gradient of the same layer, or of a layer that shares it. Results are
the same to the bit, since each node reads what it read before.

Updates stay where they are if all of them wait for one thing: the norm that clips gradients, or
their means over ranks, which are waited for when backward has ended. With several passes an
iteration, or a rate that depends on the loss, they are a graph of their own, and each gradient is
added to the sum of the passes before, a variable too, as soon as it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from netc.ir.graph import Graph, Node
from netc.ops.gradient_update import Updated, written_by
from netc.ops.inputs import ParameterParams
from netc.ops.ranks import FINISH, FINISH_ROWS
from netc.passes.base import Log, Pass


def update_early(graph: Graph, log: Log) -> Graph:
    """The graph with its updates where they may first run."""
    kept = set(graph.updates.values())
    writing = (node for node in graph.nodes if kept.issuperset(node.outputs))
    known = ((node, written_by(graph, node)) for node in writing)
    updates = [(node, own) for node, own in known if own is not None and own.gradient]
    if not updates:
        return graph
    places = _Places(graph)
    behind: dict[int, list[Node]] = {}
    moving: set[str] = set()
    for node, own in updates:
        reason = _reason(graph, own)
        if reason:
            log.missed(reason, node.name)
            continue
        together = (*sorted(_held(graph, own), key=places.index), node)
        moving.update(one.name for one in together)
        behind.setdefault(places.ready(node, own, together), []).extend(together)
    _tell(graph, behind, moving, log)
    nodes = tuple(_ordered(graph, behind, moving))
    return graph if nodes == graph.nodes else graph.replace(nodes=nodes)


def _reason(graph: Graph, own: Updated) -> str:
    """Why an update stays where it is; empty where it may move."""
    if own.params is not None and own.params.clipped:
        return "clipping needs the norm of all gradients first"
    makers = (graph.producers.get(value) for value in own.gradient)
    if any(maker is not None and maker.op in (FINISH, FINISH_ROWS) for maker in makers):
        return "means over ranks are waited for when the backward pass has ended"
    return ""


def _held(graph: Graph, own: Updated) -> tuple[Node, ...]:
    """The nodes that give the update, and nobody else, a variable as a value."""
    found = []
    for value in (*own.gradient, *own.arrays):
        node = graph.producers.get(value)
        alone = len(graph.readers[value]) == 1 and value not in graph.results
        if node is not None and isinstance(node.params, ParameterParams) and alone:
            found.append(node)
    return tuple(found)


class _Places:
    """Where nodes stand: what makes each value, and what reads each variable last."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._makes = {v: i for i, node in enumerate(graph.nodes) for v in node.outputs}
        self._reads: dict[str, list[tuple[int, str]]] = {}
        for i, node in enumerate(graph.nodes):
            for name in node.parameters:
                owner = graph.parameters[name].owner or name
                self._reads.setdefault(owner, []).append((i, node.name))
        self._variable = {value: variable for variable, value in graph.updates.items()}

    def index(self, node: Node) -> int:
        """The index of a node that makes a value."""
        return self._makes[node.outputs[0]]

    def ready(self, node: Node, own: Updated, together: tuple[Node, ...]) -> int:
        """The index of the node behind which an update may run; -1 if there is none.

        ``together`` are the nodes that are moved with it.
        """
        inside = {value for one in together for value in one.outputs}
        made = [self._makes.get(v, -1) for v in node.inputs if v not in inside]
        return max([*made, *self._last_reads(node, {one.name for one in together})], default=-1)

    def _last_reads(self, node: Node, together: set[str]) -> Iterator[int]:
        """The last reads of the variables that a node updates, by others."""
        for value in node.outputs:
            reads = self._reads.get(self._variable.get(value, ""), [])
            yield from (i for i, name in reads[-1 - len(together) :] if name not in together)


def _tell(graph: Graph, behind: dict[int, list[Node]], moving: set[str], log: Log) -> None:
    """Log the updates that other nodes now follow."""
    staying = [0, *accumulate(int(node.name not in moving) for node in graph.nodes)]
    index = {node.name: i for i, node in enumerate(graph.nodes)}
    for place, nodes in behind.items():
        for node in nodes:
            if written_by(graph, node) and staying[index[node.name]] > staying[place + 1]:
                log.applied("its gradient is freed before the backward pass goes on", node.name)


def _ordered(graph: Graph, behind: dict[int, list[Node]], moving: set[str]) -> Iterator[Node]:
    yield from behind.get(-1, ())
    for index, node in enumerate(graph.nodes):
        if node.name not in moving:
            yield node
        yield from behind.get(index, ())


UPDATE_EARLY = Pass("update-early", update_early, exact=True, in_place=True)
