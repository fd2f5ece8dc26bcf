"""Values of the forward pass made again for the backward pass, until memory suffices.

Before::

    r = ReLU(c); y = Convolution(r; W); ...; dW = Gradient(r, dy); dc = Gradient(r, dr)

After::

    r = ReLU(c); y = Convolution(r; W); ...; r~again = ReLU(c); dW = Gradient(r~again, dy); ...

A value that the backward pass reads lives from the layer that makes it to its gradient: all of them
together are most of what training takes. One that is made again lives twice for a short while. The
nodes are the same, on the same kernels and with the same inputs (what layers draw follows from the
generator's key), so that results are the same to the bit.

Cheap layers come first: activations, BatchNorm, Concat, pooling, all that multiplies no matrices,
from the bottom of the net upwards, as many as are needed. Where that does not do, convolutions are
made again too, from checkpoints that are kept (Chen, Xu, Zhang and Guestrin, arXiv:1604.06174): at
most one more forward pass. How many checkpoints are best is tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.edit import rename_inputs
from netc.ir.graph import Graph, Node, Value
from netc.ir.names import first_free
from netc.ir.types import count
from netc.ir.verify import verify
from netc.memory import shown
from netc.ops.catalog import CATALOG
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient_update import NAME as GRADIENT_UPDATE
from netc.passes.base import Applied, Remark

PASS = "recompute"
_SEGMENTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_BYTES = 4

Measure = Callable[[Graph], int]


class Fitted(NamedTuple):
    """A graph that fits, what it takes, and the layers that run twice."""

    graph: Graph
    size: int
    again: tuple[str, ...]


def fitted(graph: Graph, measure: Measure, limit: int) -> Fitted:
    """The graph with as much made again as is needed, and no more.

    Args:
        graph: a joint graph of forward and backward pass, after all other passes. Without a
            backward pass there is nothing to make again.
        measure: what a graph takes as it is planned, in bytes.
        limit: what it may take, in bytes.

    Raises:
        NetcError: too-little-memory, with what it takes at the least.
    """
    size = measure(graph)
    if size <= limit:
        return Fitted(graph, size, ())
    search = _Search(_Passes(graph), measure, limit, size)
    for names in _choices(search.passes):
        found = search.fewest(names)
        if found is not None:
            verify(found.graph, "loaded")
            return found
    raise _too_little(search.minimum, limit, size)


def recomputed(
    graph: Graph, applied: tuple[Applied, ...], measure: Measure, limit: int | None
) -> tuple[Graph, tuple[Applied, ...]]:
    """A backend's graph after all other passes, brought down to a limit; None leaves it.

    Raises:
        NetcError: as :func:`fitted`.
    """
    if limit is None:
        return graph, applied
    start = time.perf_counter()
    found = fitted(graph, measure, limit)
    if not found.again:
        return graph, applied
    seconds, sizes = time.perf_counter() - start, (len(graph.nodes), len(found.graph.nodes))
    remarks = (Remark(f"{len(found.again)} layers run twice, to save memory", found.again),)
    return found.graph, (*applied, Applied(PASS, *sizes, seconds, remarks))


def blobs_within(limit: int, parameters: int) -> int:
    """What a limit of all memory leaves for blobs and gradients.

    Raises:
        NetcError: too-little-memory, where parameters and history alone are more.
    """
    if parameters >= limit:
        message = f"parameters and history need {shown(parameters)}, and there are {shown(limit)}"
        over = f"{shown(parameters - limit)} are missing, besides blobs and gradients"
        raise NetcError(Diagnostic("too-little-memory", message, help=(over,)))
    return limit - parameters


def _too_little(minimum: int, limit: int, size: int) -> NetcError:
    given = f"there are {shown(limit)}"
    if minimum < size:
        given = f"{shown(size)} where nothing is computed twice, and {given}"
    message = f"blobs and gradients need {shown(minimum)} at the least, {given}"
    over = f"{shown(minimum - limit)} are missing: allow more, or make the batch smaller"
    return NetcError(Diagnostic("too-little-memory", message, help=(over,)))


def _choices(passes: _Passes) -> Iterator[tuple[str, ...]]:
    """Sets of layers to run twice, the cheapest first; each in the order of the net."""
    cheap = tuple(node.name for node in passes.forward if not _multiplies(passes, node))
    yield cheap
    for number in _SEGMENTS:
        kept = passes.checkpoints(number)
        yield tuple(node.name for node in passes.forward if node.name not in kept)


def _multiplies(passes: _Passes, node: Node) -> bool:
    """True if a layer is a matrix product or a recurrence, which are expensive to recompute."""
    cost, graph = CATALOG[node.op].cost, passes.graph
    shapes = [[graph.shape(v) for v in names] for names in (node.inputs, node.outputs)]
    return bool(node.parameters) and cost(node.params, *shapes).macs > sum(map(count, shapes[1]))


@dataclass
class _Search:
    passes: _Passes
    measure: Measure
    limit: int
    minimum: int

    def fewest(self, names: tuple[str, ...]) -> Fitted | None:
        """The least number of these layers, from the first on, with which the graph fits.

        More is not always less memory: what is made again at the very turn saves nothing.
        """
        sizes = [len(names) * part // 4 for part in (4, 3, 2, 1)]
        tried = ((number, self._tried(names[:number])) for number in sizes)
        high, best = next(((n, found) for n, found in tried if found is not None), (0, None))
        if best is None:
            return None
        low = 0
        while high - low > max(1, len(names) // 32):
            middle = (low + high) // 2
            found = self._tried(names[:middle])
            if found is None:
                low = middle
            else:
                best, high = found, middle
        return best

    def _tried(self, names: tuple[str, ...]) -> Fitted | None:
        graph, again = remade(self.passes, frozenset(names))
        size = self.measure(graph)
        self.minimum = min(self.minimum, size)
        return Fitted(graph, size, again) if size <= self.limit else None


@dataclass(frozen=True)
class _Passes:
    """A graph as forward pass and backward pass."""

    graph: Graph

    @cached_property
    def turn(self) -> int:
        """The index of the backward pass's first node."""
        nodes = self.graph.nodes
        backward = (GRADIENT, GRADIENT_UPDATE)
        return next((i for i, node in enumerate(nodes) if node.op in backward), len(nodes))

    @cached_property
    def later(self) -> frozenset[str]:
        """Values that the backward pass reads."""
        return frozenset(v for node in self.graph.nodes[self.turn :] for v in node.inputs)

    @cached_property
    def forward(self) -> tuple[Node, ...]:
        """Nodes of the forward pass that may run twice: none of their values is given back."""
        given = {*self.graph.results}
        nodes = self.graph.nodes[: self.turn]
        return tuple(n for n in nodes if n.inputs and not given.intersection(n.outputs))

    @cached_property
    def index(self) -> dict[str, int]:
        return {node.name: i for i, node in enumerate(self.graph.nodes)}

    def bytes(self, node: Node) -> int:
        """Bytes of a node's values that the backward pass reads."""
        later = self.later.intersection(node.outputs)
        return _BYTES * sum(count(self.graph.shape(v)) for v in later)

    def checkpoints(self, number: int) -> frozenset[str]:
        """Layers that are kept, so that about as many bytes lie between one and the next.

        Where the net narrows to one value is the best place: nothing beside it has to be made
        again.
        """
        share = sum(map(self.bytes, self.forward)) / number
        kept, since = set(), 0.0
        for node in self.forward:
            since += self.bytes(node)
            if since >= share and (node.name in self._narrow or since >= 1.5 * share):
                kept.add(node.name)
                since = 0.0
        return frozenset(kept)

    @cached_property
    def _narrow(self) -> frozenset[str]:
        """Nodes behind which the rest of the forward pass reads their values alone."""
        nodes = self.graph.nodes[: self.turn]
        last = {value: i for i, node in enumerate(nodes) for value in node.inputs}
        open_, found = set[str](), set[str]()
        for i, node in enumerate(nodes):
            open_ -= {v for v in node.inputs if last[v] == i}
            open_ |= {v for v in node.outputs if last.get(v, i) > i}
            if open_ <= set(node.outputs):
                found.add(node.name)
        return frozenset(found)


def remade(passes: _Passes, dropped: Collection[str]) -> tuple[Graph, tuple[str, ...]]:
    """The graph in which the backward pass reads values of these layers made again.

    Each is made once more, right before the first node that reads it, from what is kept.

    Returns:
        The graph, and the layers that run twice.
    """
    graph = passes.graph
    writer = _RecomputeWriter(passes, dropped, dict(graph.values))
    nodes = list(graph.nodes[: passes.turn])
    for node in graph.nodes[passes.turn :]:
        nodes += writer.needed(node)
        nodes.append(rename_inputs(node, writer.names))
    return graph.replace(nodes=tuple(nodes), values=writer.values), tuple(writer.again)


@dataclass
class _RecomputeWriter:
    """``names`` are values made again, and what they are called then."""

    passes: _Passes
    dropped: Collection[str]
    values: dict[str, Value]

    def __post_init__(self) -> None:
        self.names: dict[str, str] = {}
        self.again: list[str] = []
        self._nodes = {node.name for node in self.passes.graph.nodes}
        forward = [node for node in self.passes.forward if node.name in self.dropped]
        self._makers = {value: node for node in forward for value in node.outputs}

    def needed(self, reader: Node) -> list[Node]:
        """Nodes that make again what a node of the backward pass reads, in order."""
        found: dict[str, Node] = {}
        open_ = list(reader.inputs)
        while open_:
            value = open_.pop()
            maker = self._makers.get(value)
            if maker is not None and value not in self.names and maker.name not in found:
                found[maker.name] = maker
                open_ += maker.inputs
        index = self.passes.index
        return [self._copy(node) for node in sorted(found.values(), key=lambda n: index[n.name])]

    def _copy(self, node: Node) -> Node:
        self.again.append(node.name)
        inputs = rename_inputs(node, self.names).inputs
        outputs = tuple(self._value(value) for value in node.outputs)
        name = _fresh(node.name, self._nodes)
        self._nodes.add(name)
        self.names.update(zip(node.outputs, outputs, strict=True))
        return replace(node, name=name, inputs=inputs, outputs=outputs)

    def _value(self, value: str) -> str:
        name = _fresh(value, self.values)
        self.values[name] = replace(self.values[value], name=name)
        return name


def _fresh(name: str, taken: Collection[str]) -> str:
    return first_free(f"{name}~again", taken, lambda number: f"{name}~again{number}")
