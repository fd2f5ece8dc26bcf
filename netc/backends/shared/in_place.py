"""Updates that may work in the variables themselves, in the place of copies of them.

A training step reads a parameter and its history as values, and an update makes new ones that are
written to the same variables. Where nothing else reads any of those values, and no later node reads
the variables, they need no memory of their own:

    W~value, W/history0~value      in the variables, as they are
    W~next, W/history0~next        there too, each element written after it was read

The values that a run starts from are gone once the update has run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ops.gradient_update import written_by
from netc.ops.inputs import ParameterParams


class InPlaceValue(NamedTuple):
    """A variable, and the values that are its elements before and after an update."""

    variable: str
    before: str
    after: str


def in_place_updates(graph: Graph) -> Iterator[tuple[Node, list[InPlaceValue]]]:
    """The nodes that may update variables in place, and all that they write."""
    last = last_reads(graph)
    for position, node in enumerate(graph.nodes):
        found = _written(graph, node)
        if found and all(last.get(value.variable, -1) <= position for value in found):
            yield node, found


def last_reads(graph: Graph) -> Mapping[str, int]:
    """Variable -> the last node that reads it, by a parameter or as a value."""
    found: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in node.parameters:
            found[graph.parameters[name].owner or name] = index
    return found


def _written(graph: Graph, node: Node) -> list[InPlaceValue]:
    """What an update writes, where it may do so in place; nothing for other nodes."""
    own = written_by(graph, node)
    if own is None:
        return []
    updated = {value: variable for variable, value in graph.updates.items()}
    if len(updated) != len(graph.updates):
        return []
    found = list(_matched(graph, updated, own.arrays, node.outputs))
    return found if len(found) == len(node.outputs) else []


def _matched(
    graph: Graph, updated: Mapping[str, str], before: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[InPlaceValue]:
    for old, new in zip(before, after, strict=True):
        producer = graph.producers.get(old)
        variable = updated.get(new)
        if producer is None or variable is None:
            return
        if not isinstance(producer.params, ParameterParams):
            return
        own = graph.parameters[producer.parameters[0]]
        alone = len(graph.readers[old]) == 1 and not graph.readers.get(new)
        if (own.owner or own.name) != variable or own.shape != graph.shape(old) or not alone:
            return
        if old in graph.outputs or new in graph.outputs:
            return
        yield InPlaceValue(variable, old, new)
