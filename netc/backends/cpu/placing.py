"""Where every value of a graph lies: in the arena, or in the caller's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netc.backends.cpu.layout import lies_as_given, view_of
from netc.backends.cpu.rules import RULES
from netc.backends.cpu.views import Arena, External, Place, View
from netc.ir.graph import Graph
from netc.plan import arena
from netc.plan.storage import BYTES, Inside, plan_storage


class Placement(NamedTuple):
    """Each value's view, and the arena that holds those which are not the caller's."""

    views: Mapping[str, View]
    arena: arena.Arena


def place_values(graph: Graph) -> Placement:
    """A place for each value; inputs and outputs that need no conversion stay with the caller."""
    outside = _outside(graph)
    storage = plan_storage(graph, RULES, outside)
    arena_places = {root: Arena(offset // BYTES) for root, offset in storage.arena.offsets.items()}
    starts = {**arena_places, **outside}
    views = {
        value: _view(graph, value, inside, starts[inside.root])
        for value, inside in storage.places.items()
    }
    return Placement(views, storage.arena)


def _outside(graph: Graph) -> dict[str, Place]:
    """Inputs and outputs that the steps can read and write where the caller has them."""
    places: dict[str, Place] = {}
    for index, value in enumerate((*graph.inputs, *graph.outputs)):
        if lies_as_given(graph.shape(value)):
            places.setdefault(value, External(index))
    return places


def _view(graph: Graph, value: str, inside: Inside, start: Place) -> View:
    whole = view_of(graph.shape(inside.root), start)
    own = view_of(graph.shape(value), start)
    if whole.c == own.c:
        return own
    return whole.channels(inside.channels, inside.channels + own.c)
