"""Gradients' means over ranks, in place where storage lets all three values lie in one.

Where ranks share memory, most gradients are written where the others read them. Then nothing has to
be handed over, and an update reads the gradients of all ranks and takes their mean as it goes
(:func:`summands`): of all nodes of an iteration's sums one step is left, which waits for others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import PythonStep
from netc.backends.cpu.status import status_index
from netc.backends.cpu.steps.update import Summands
from netc.backends.cpu.variable_values import area_elements, shared_areas
from netc.backends.shared.views import External, View
from netc.ir.graph import Array, Graph, Node
from netc.ops.ranks import FINISH, FINISH_ROWS, SumParams, group_named, sharing_group
from netc.ops.update import UPDATE, UpdateParams


def emit_start(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient is handed over where it lies, or a copy of it where it is still needed."""
    params = node.params_as(SumParams)
    gradient, handed = context.view(node.inputs[0]), context.view(node.outputs[0])
    if not _sums_in_place(context, node, node.outputs[0]):
        return None
    if _is_in_area(context, node.outputs[0]) and not sharing_group(params.group).whole:
        return []

    def run(own: Array, target: Array, flat: Array) -> None:
        _copy(own, target)
        group_named(params.group).start(params.slot, flat)

    return _swept(node, run, gradient, handed, flat=handed)


def emit_finish(context: EmitContext, node: Node) -> Sweeps | None:
    """Wait; what was handed over is the mean, or its update takes that."""
    params = node.params_as(SumParams)
    handed, mean = context.view(node.inputs[0]), context.view(node.outputs[0])
    if not _sums_in_place(context, node, node.inputs[0]):
        return None
    readers = context.graph.readers[node.outputs[0]]
    if len(readers) == 1 and summands(context, readers[0]) is not None:
        return _waiting(node, mean) if _is_first(context.graph, node) else []

    def run(own: Array, target: Array, flat: Array) -> None:
        group_named(params.group).finish(params.slot)
        _copy(own, target)

    return _swept(node, run, handed, mean, flat=handed)


def summands(context: EmitContext, update: Node) -> Summands | None:
    """The gradients of all ranks whose mean an update takes itself; None where it is given that."""
    if update.op != UPDATE or not update.params_as(UpdateParams).reached:
        return None
    finish = context.graph.producers.get(update.inputs[0])
    if finish is None or finish.op != FINISH or not _is_in_area(context, finish.outputs[0]):
        return None
    params = finish.params_as(SumParams)
    alone = len(context.graph.readers[finish.outputs[0]]) == 1
    whole = sharing_group(params.group).whole
    if not alone or whole or update.params_as(UpdateParams).has_local_rate:
        return None
    return Summands(shared_areas(context.graph, params), params.ranks, area_elements(params))


def _is_in_area(context: EmitContext, value: str) -> bool:
    """True of a value in the memory where the other ranks look for it."""
    place = context.view(value).place
    return isinstance(place, External) and place.array == status_index(context.graph) + 1


def _is_first(graph: Graph, node: Node) -> bool:
    """True of the first node of an iteration that waits for the other ranks."""
    return next(n for n in graph.nodes if n.op in (FINISH, FINISH_ROWS)) is node


def _waiting(node: Node, mean: View) -> Sweeps:
    group = node.params_as(SumParams).group
    step = PythonStep(node.name, lambda: sharing_group(group).wait(), ())
    return [sweep_of(lambda: [step], (), [mean])]


def _sums_in_place(context: EmitContext, node: Node, under_way: str) -> bool:
    """True if a sum is taken where the value under way lies: without gaps, in slices in C order.

    The node that starts a sum and the one that waits for it must agree: definitions sum a copy
    that the group alone has, and its mean is never where the value lies. So this asks of nothing
    else, and a gradient with gaps, a part of a larger value, is copied.
    """
    view = context.view(under_way)
    sliced = node.params_as(SumParams).sliced
    return view.ld == view.c and (not sliced or context.in_c_order(under_way))


def _swept(
    node: Node,
    function: Callable[[Array, Array, Array], None],
    read: View,
    written: View,
    *,
    flat: View,
) -> Sweeps:
    """A step on two values, element by element, and on one of them as it lies in memory.

    Ranks hand over elements channels last: any order does, if it is that of all.
    """
    seen = ((read, None), (written, None), (flat, (flat.count,)))
    step = PythonStep(node.name, function, seen, reads_first=True)
    return [sweep_of(lambda: [step], (), [written], pointwise=[read])]


def _copy(source: Array, target: Array) -> None:
    if source.ctypes.data != target.ctypes.data:
        np.copyto(target, source)
