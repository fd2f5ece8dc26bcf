"""Where every value of a graph lies: in the arena, or in the caller's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netc.backends.cpu.rules import RULES, padded_image
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import Arena, External, Place, View
from netc.ir.graph import Graph
from netc.plan import arena
from netc.plan.storage import BYTES, Alias, plan_storage, scratch_name


class Placement(NamedTuple):
    """Each value's view, and the arena that holds those which are not the caller's.

    ``scratch`` has the places of what nodes need while they run, by the node's name.
    """

    views: Mapping[str, View]
    scratch: Mapping[str, Place]
    arena: arena.Arena


def place_values(graph: Graph) -> Placement:
    """A place for each value; inputs and outputs that need no conversion stay with the caller."""
    outside = _outside(graph)
    storage = plan_storage(graph, RULES, outside)
    arena_places = {root: Arena(offset // BYTES) for root, offset in storage.arena.offsets.items()}
    empty = {root: Arena(0) for root in graph.values if 0 in graph.shape(root)}  # need no place
    starts = {**empty, **arena_places, **outside}
    views = {
        value: _view(graph, value, alias, starts[alias.root])
        for value, alias in storage.places.items()
    }
    scratch = {
        node.name: starts[scratch_name(node)]
        for node in graph.nodes
        if scratch_name(node) in arena_places
    }
    return Placement(views, scratch, storage.arena)


def _outside(graph: Graph) -> dict[str, Place]:
    """Inputs and outputs that the steps can read and write where the caller has them."""
    places: dict[str, Place] = {}
    for index, value in enumerate((*graph.inputs, *graph.outputs)):
        if is_in_c_order(graph.shape(value)) or _is_converted_later(graph, value):
            places.setdefault(value, External(index))
    return places


def _is_converted_later(graph: Graph, value: str) -> bool:
    """Whether the only reader of an input takes it in the caller's order; its view says nothing."""
    readers = graph.readers[value][:2]  # one alone takes it so
    return any(padded_image(graph, node) is not None for node in readers)


def _view(graph: Graph, value: str, alias: Alias, start: Place) -> View:
    whole = view_of(graph.shape(alias.root), start)
    own = view_of(graph.shape(value), start)
    if whole.c == own.c:
        return own
    return whole.channels(alias.channels, alias.channels + own.c)
