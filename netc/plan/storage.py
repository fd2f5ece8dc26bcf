"""Aliases and in-place results: which values share bytes, and where each buffer begins.

A value either has a buffer of its own or lies inside another value's, some channels further on.
Concatenations need no copies where the parts are produced straight into the whole; channel slices
and reshapes are views of what they are made from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import CATALOG, has_role
from netc.ops.role import Role
from netc.plan.arena import ArenaPlan, BufferLifetime, plan_arena

BYTES = 4  # of a float32


class Alias(NamedTuple):
    """A value that lies ``channels`` further on in the buffer of value ``root``."""

    root: str
    channels: int = 0


class AliasRules(NamedTuple):
    """A backend's rules for nodes whose inputs and outputs may be aliases.

    Args:
        concat_offsets: a node that is a concatenation along channels -> where each input's channels
            start; None for other nodes.
        view_offsets: a node whose outputs are views of its first input -> where each output's
            channels start in it; None for other nodes.
    """

    concat_offsets: Callable[[Graph, Node], tuple[int, ...] | None]
    view_offsets: Callable[[Graph, Node], tuple[int, ...] | None]


class StorageNeeds(NamedTuple):
    """What a lowered node needs of storage: inputs it may overwrite, and scratch memory.

    Args:
        overwritable: inputs over whose bytes its first output may be written, the best first.
        scratch: bytes it needs while it runs.
    """

    overwritable: tuple[str, ...] = ()
    scratch: int = 0


def is_identity(graph: Graph, node: Node) -> bool:
    """True if all outputs equal the first input; never for a Concat, which holds its inputs."""
    same = CATALOG[node.op].identity
    if same is None or has_role(node.op, Role.CONCAT):
        return False
    return same(node.params, [graph.shape(v) for v in node.inputs])


class Storage(NamedTuple):
    """Every value's place, and where the buffers of the roots lie."""

    places: Mapping[str, Alias]
    arena: ArenaPlan


class Aliases:
    """Which values lie inside others; each value lies in the buffer of a root."""

    def __init__(self, graph: Graph, outside: frozenset[str]) -> None:
        self.graph = graph
        self.outside = outside
        self.members: dict[str, list[str]] = {v: [v] for v in graph.values}
        self._inside: dict[str, Alias] = {}

    def __contains__(self, value: object) -> bool:
        return value in self._inside

    def place(self, value: str) -> Alias:
        """The buffer a value lies in, and how many channels into it."""
        channels = 0
        while value in self._inside:
            value, further = self._inside[value]
            channels += further
        return Alias(value, channels)

    def root(self, value: str) -> str:
        """The name of the buffer a value lies in."""
        return self.place(value).root

    def put(self, value: str, whole: str, channels: int) -> None:
        """Let a value, a root so far, lie inside another."""
        self._inside[value] = Alias(whole, channels)
        self.members[self.root(whole)] += self.members.pop(value)


def find_aliases(graph: Graph, rules: AliasRules, outside: Iterable[str] = ()) -> Aliases:
    """Views of inputs, and parts that are produced straight into concatenations.

    Inputs and outputs that are ``outside`` have their bytes elsewhere, and others may lie inside
    them; an output that is a view of another value lies there all the same.
    """
    aliases = Aliases(graph, frozenset(outside))
    views: set[str] = set()
    for node in graph.nodes:
        offsets = rules.view_offsets(graph, node)
        if offsets is not None:
            for value, channels in zip(node.outputs, offsets, strict=True):
                aliases.put(value, node.inputs[0], channels)
                views.add(value)
    for node in reversed(graph.nodes):
        offsets = rules.concat_offsets(graph, node)
        if offsets is not None:
            _join(aliases, node, offsets, views)
    return aliases


def _join(aliases: Aliases, node: Node, starts: tuple[int, ...], views: set[str]) -> None:
    """Let the inputs of a concatenation that have no place yet lie in its output."""
    for value, channels in zip(node.inputs, starts, strict=True):
        free = value not in aliases and value not in views
        produced = value in aliases.graph.producers and value not in aliases.outside
        if free and produced:
            aliases.put(value, node.outputs[0], channels)


def plan_storage(
    graph: Graph,
    aliases: Aliases,
    needs: Callable[[Node], StorageNeeds],
    padding: Callable[[str], int] = lambda value: 0,
) -> Storage:
    """Places for all values of a graph; ``aliases`` gets what is written over others.

    The graph's outputs and updates stay until the end, its inputs are there from the start.

    Args:
        graph: after all passes.
        aliases: its values'.
        needs: what each node needs.
        padding: elements that a value's buffer has besides the value's.
    """
    wanted = {node.name: needs(node) for node in graph.nodes}
    planner = _Planner(graph, aliases, wanted, padding)
    planner.overwrite()
    places = {value: aliases.place(value) for value in graph.values}
    return Storage(places, plan_arena(planner.buffers()))


class _Planner:
    """Decides what is written over what, then when each buffer is needed."""

    def __init__(
        self,
        graph: Graph,
        aliases: Aliases,
        needs: Mapping[str, StorageNeeds],
        padding: Callable[[str], int],
    ) -> None:
        self.graph = graph
        self.aliases = aliases
        self.needs = needs
        self.padding = padding
        self.outside = aliases.outside
        self.members = aliases.members
        self.spans = lifetimes(graph)

    def overwrite(self) -> None:
        """Results that take the bytes of an input that is read for the last time."""
        root = self.aliases.root
        for index, node in enumerate(self.graph.nodes):
            if not node.outputs or node.outputs[0] in self.aliases:
                continue
            output = node.outputs[0]
            for value in self.needs[node.name].overwritable:
                alone = sum(root(v) == root(value) for v in node.inputs) == 1
                if alone and self._can_take(index, value, output):
                    self.aliases.put(output, value, 0)
                    break

    def _can_take(self, index: int, value: str, output: str) -> bool:
        place = self.aliases.place(value)
        if place.root in self.outside or output in self.outside or place.root == output:
            return False
        if self._size(place.root) != self._size(output) or place.channels:
            return False
        others = [m for m in self.members[place.root] if m != output]
        return all(self.spans[m][1] <= index for m in others) and self._starts_after(output, index)

    def _starts_after(self, output: str, index: int) -> bool:
        """True if no value of the output's buffer is alive before the node runs."""
        return all(self.spans[m][0] >= index for m in self.members[output])

    def _size(self, value: str) -> int:
        return count(self.graph.shape(value)) + self.padding(value)

    def buffers(self) -> list[BufferLifetime]:
        """The roots' buffers with their lifetimes, and the nodes' scratch memory."""
        found = []
        for root, members in self.members.items():
            if root not in self.outside:
                first = min(self.spans[m][0] for m in members)
                last = max(self.spans[m][1] for m in members)
                found.append(BufferLifetime(root, BYTES * self._size(root), first, last))
        for index, node in enumerate(self.graph.nodes):
            scratch = self.needs[node.name].scratch
            if scratch:
                found.append(BufferLifetime(scratch_name(node), scratch, index, index))
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
