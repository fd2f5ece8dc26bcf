"""Which values share bytes: slices of a concatenation, views, and results that replace an input.

A value either has a buffer of its own or lies inside another value's, some channels further on.
Concatenations need no copies where the parts are produced straight into the whole; channel slices
and reshapes are views of what they are made from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import CATALOG
from netc.plan.arena import Arena, Buffer, plan_arena

BYTES = 4  # of a float32


class Alias(NamedTuple):
    """A value that lies ``channels`` further on in the buffer of value ``root``."""

    root: str
    channels: int = 0


class Rules(NamedTuple):
    """What a backend can do without copying.

    Args:
        concat_offsets: a node that is a concatenation along channels -> where each input's channels
            start; None for other nodes.
        view_offsets: a node whose outputs are views of its first input -> where each output's
            channels start in it; None for other nodes.
        in_place: a node -> the inputs whose bytes its first output may be written over.
        scratch: a node -> bytes it needs while it runs.
        padding: elements that a value's buffer has besides the value's.
    """

    concat_offsets: Callable[[Graph, Node], tuple[int, ...] | None]
    view_offsets: Callable[[Graph, Node], tuple[int, ...] | None]
    in_place: Callable[[Graph, Node], tuple[str, ...]]
    scratch: Callable[[Graph, Node], int] = lambda graph, node: 0
    padding: Callable[[Graph, str], int] = lambda graph, value: 0


def is_identity(graph: Graph, node: Node) -> bool:
    """Whether all outputs are the first input; of a Concat the input lies in the output instead."""
    same = CATALOG[node.op].identity
    if same is None or node.op == "Concat":
        return False
    return same(node.params, [graph.shape(v) for v in node.inputs])


class Storage(NamedTuple):
    """Every value's place, and where the buffers of the roots lie."""

    places: Mapping[str, Alias]
    arena: Arena


def plan_storage(graph: Graph, rules: Rules, outside: Iterable[str] = ()) -> Storage:
    """Places for all values of a graph.

    The graph's outputs and updates stay until the end, its inputs are there from the start. Inputs
    and outputs that are ``outside`` have their bytes elsewhere, and others may lie inside them; an
    output that is a view of another value lies there all the same.
    """
    planner = _Planner(graph, rules, frozenset(outside))
    planner.share()
    planner.overwrite()
    buffers = planner.buffers()
    return Storage(
        {v: planner.place(v) for v in graph.values},
        plan_arena(buffers),
    )


class _Planner:
    """Decides who lies inside whom, then when each buffer is needed."""

    def __init__(self, graph: Graph, rules: Rules, outside: frozenset[str]) -> None:
        self.graph = graph
        self.rules = rules
        self.outside = outside
        self.aliases: dict[str, Alias] = {}
        self.members: dict[str, list[str]] = {v: [v] for v in graph.values}
        self.spans = lifetimes(graph)

    def root(self, value: str) -> str:
        return self.place(value).root

    def place(self, value: str) -> Alias:
        channels = 0
        while value in self.aliases:
            value, further = self.aliases[value]
            channels += further
        return Alias(value, channels)

    def put(self, value: str, whole: str, channels: int) -> None:
        """Let a value, a root so far, lie inside another."""
        self.aliases[value] = Alias(whole, channels)
        root = self.root(whole)
        self.members[root] += self.members.pop(value)

    def share(self) -> None:
        """Views of inputs, and parts produced straight into concatenations."""
        views: set[str] = set()
        for node in self.graph.nodes:
            offsets = self.rules.view_offsets(self.graph, node)
            if offsets is not None:
                for value, channels in zip(node.outputs, offsets, strict=True):
                    self.put(value, node.inputs[0], channels)
                    views.add(value)
        for node in reversed(self.graph.nodes):
            offsets = self.rules.concat_offsets(self.graph, node)
            if offsets is not None:
                self._join(node, offsets, views)

    def _join(self, node: Node, starts: tuple[int, ...], views: set[str]) -> None:
        whole = node.outputs[0]
        for value, channels in zip(node.inputs, starts, strict=True):
            free = value not in self.aliases and value not in views
            produced = value in self.graph.producers and value not in self.outside
            if free and produced:
                self.put(value, whole, channels)

    def overwrite(self) -> None:
        """Results that take the bytes of an input that is read for the last time."""
        for index, node in enumerate(self.graph.nodes):
            if not node.outputs or node.outputs[0] in self.aliases:
                continue
            output = node.outputs[0]
            for value in self.rules.in_place(self.graph, node):
                alone = sum(self.root(v) == self.root(value) for v in node.inputs) == 1
                if alone and self._can_take(index, value, output):
                    self.put(output, value, 0)
                    break

    def _can_take(self, index: int, value: str, output: str) -> bool:
        place = self.place(value)
        if place.root in self.outside or output in self.outside or place.root == output:
            return False
        if self._size(place.root) != self._size(output) or place.channels:
            return False
        others = [m for m in self.members[place.root] if m != output]
        return all(self.spans[m][1] <= index for m in others) and self._starts_after(output, index)

    def _starts_after(self, output: str, index: int) -> bool:
        """Whether nothing inside the output's buffer is there before the node runs."""
        return all(self.spans[m][0] >= index for m in self.members[output])

    def _size(self, value: str) -> int:
        return count(self.graph.shape(value)) + self.rules.padding(self.graph, value)

    def buffers(self) -> list[Buffer]:
        """The roots' buffers with their lifetimes, and the nodes' scratch memory."""
        found = []
        for root, members in self.members.items():
            if root not in self.outside:
                first = min(self.spans[m][0] for m in members)
                last = max(self.spans[m][1] for m in members)
                found.append(Buffer(root, BYTES * self._size(root), first, last))
        for index, node in enumerate(self.graph.nodes):
            scratch = self.rules.scratch(self.graph, node)
            if scratch:
                found.append(Buffer(scratch_name(node), scratch, index, index))
        return found


def scratch_name(node: Node) -> str:
    """The buffer name of a node's scratch memory."""
    return f"scratch of {node.name}"


def lifetimes(graph: Graph) -> dict[str, tuple[int, int]]:
    """Value -> index of the node that makes it (-1 for inputs) and of the last that reads it."""
    end = len(graph.nodes)
    spans = {v: (-1, -1) for v in graph.values}
    for index, node in enumerate(graph.nodes):
        for value in node.outputs:
            spans[value] = (index, index)
        for value in node.inputs:
            spans[value] = (spans[value][0], index)
    for value in graph.results:
        spans[value] = (spans[value][0], end)
    return spans
