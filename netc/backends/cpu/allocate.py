"""From a graph to records and places: what the backend plans before any step is built.

aliases: which values lie inside others        shapes alone
views:   how each value lies, in named buffers
records: how each node runs                    netc.backends.cpu.lowering
arena:   where each buffer begins              lifetimes and records
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.emit.table import is_empty, lower
from netc.backends.cpu.lowering import LoweredNode
from netc.backends.cpu.status import status_places
from netc.backends.cpu.variable_values import VariableValues, variable_values
from netc.backends.cpu.windows import padded_image
from netc.backends.shared.aliases import concat_offsets, view_offsets
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import Arena, Buffer, External, View
from netc.ir.graph import Graph
from netc.ops.reduced import Number
from netc.passes.reduce import kept_reduced
from netc.plan import arena
from netc.plan.storage import (
    BYTES,
    Alias,
    Aliases,
    AliasRules,
    StorageNeeds,
    find_aliases,
    plan_storage,
)

RULES = AliasRules(concat_offsets, view_offsets)


@dataclass(frozen=True)
class ExecutionPlan:
    """A graph's records, and where their buffers lie.

    Args:
        context: what the records were made with.
        records: node -> how it runs, in order.
        arena: offsets and sizes in bytes.
        buffers: buffer -> where it begins, in floats.
    """

    context: EmitContext
    records: Mapping[str, LoweredNode]
    arena: arena.ArenaPlan
    buffers: Mapping[str, Arena | External]


def plan_graph(context: EmitContext) -> ExecutionPlan:
    """Records and places for a graph; ``context`` has no views yet."""
    graph = context.graph
    filled = [node for node in graph.nodes if not is_empty(graph, node)]
    images = {n.name: found for n in filled if (found := padded_image(graph, n)) is not None}
    inside_variables = variable_values(graph)
    outside = {
        **_outside(graph, {n.inputs[0] for n in graph.nodes if n.name in images}),
        **inside_variables.places,
    }
    aliases = find_aliases(graph, RULES, outside)
    kept = kept_reduced(graph)
    views = _views(graph, aliases, outside, inside_variables)
    views |= {v: _in_words(views[v], number) for v, number in kept.items()}
    context = replace(context, views=views, images=images, kept=kept, status=status_places(graph))
    records = {node.name: lower(context, node) for node in graph.nodes}
    roots = {value: aliases.place(value).root for value in graph.values}
    storage = plan_storage(
        graph,
        aliases,
        lambda node: _needs(graph, records[node.name], roots),
        lambda value: _words_less(views[value], kept[value]) if value in kept else 0,
    )
    begins = {name: Arena(offset // BYTES) for name, offset in storage.arena.offsets.items()}
    empty = {v: Arena(0) for v in graph.values if 0 in graph.shape(v)}  # need no place
    inside = {v: begins[a.root] for v, a in storage.places.items() if a.root in begins}
    return ExecutionPlan(context, records, storage.arena, {**empty, **outside, **inside, **begins})


def _in_words(view: View, number: Number) -> View:
    """A value's view where its elements are kept in fewer bits, alone or in a concatenation."""
    place = view.place
    inside = place._replace(offset=place.offset // number.per_word)
    return replace(view, place=inside, ld=view.ld // number.per_word)


def _words_less(view: View, number: Number) -> int:
    """How many words more than it has elements a value takes: a number below zero."""
    return view.count // number.per_word - view.count


def _needs(graph: Graph, record: LoweredNode, roots: Mapping[str, str]) -> StorageNeeds:
    outputs = record.node.outputs
    return StorageNeeds(
        record.overwritable(graph, roots) if outputs else (), BYTES * record.scratch
    )


def _outside(graph: Graph, converted: set[str]) -> dict[str, External]:
    """Inputs and outputs that steps can read and write where the caller has them.

    Those are the ones that are stored as they are given, and inputs that a convolution converts.
    """
    places: dict[str, External] = {}
    for index, value in enumerate((*graph.inputs, *graph.outputs)):
        if is_in_c_order(graph.shape(value)) or value in converted:
            places.setdefault(value, External(index))
    return places


def _views(
    graph: Graph, aliases: Aliases, outside: Mapping[str, External], special: VariableValues
) -> dict[str, View]:
    return {
        value: special.view(graph, value, outside.get(value, Buffer(value)))
        or _view(graph, value, aliases.place(value), outside)
        for value in graph.values
    }


def _view(graph: Graph, value: str, alias: Alias, outside: Mapping[str, External]) -> View:
    start = outside.get(alias.root, Buffer(alias.root))
    whole = view_of(graph.shape(alias.root), start)
    own = view_of(graph.shape(value), start)
    if whole.c == own.c:
        return own
    return whole.channels(alias.channels, alias.channels + own.c)
