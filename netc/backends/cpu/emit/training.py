"""What a training step has besides layers and gradients: variables as values, updates."""

from __future__ import annotations

from typing import cast

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.cpu.steps.transpose import from_planes
from netc.backends.cpu.steps.update import update_step
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import External, Place
from netc.ir.graph import Node
from netc.ops.update import UpdateParams


def emit_parameter(context: EmitContext, node: Node) -> Sweeps | None:
    """A trained array, or a history, as a value."""
    (array,) = context.arrays(node)
    place = cast(Place, array)  # steps take the address of either
    shape, view = context.graph.shape(node.outputs[0]), context.view(node.outputs[0])
    if isinstance(view.place, External) and node.outputs[0] not in context.graph.outputs:
        return []  # it lies in the variable: see netc.backends.cpu.variable_values
    if is_in_c_order(shape):
        return [sweep_of(lambda: [copy_step(node.name, view_of(shape, place), view)], (), [view])]
    return [sweep_of(lambda: [from_planes(node.name, place, view)], (), [view])]


def emit_update(context: EmitContext, node: Node) -> Sweeps | None:
    """A parameter's update; all of its arrays lie without gaps and in one order."""
    params: UpdateParams = node.params
    if not params.rule.is_caffes:
        return None
    histories = params.rule.histories
    given = [context.view(value) for value in node.inputs]
    gradient = given.pop(0) if params.reached else None
    arrays, scalars = given[: 1 + histories], given[1 + histories :]
    results = [context.view(value) for value in node.outputs]
    views = [*arrays, *results, *([gradient] if gradient else [])]
    if any(view.ld != view.c for view in views):
        return None
    step = update_step(
        node.name,
        params,
        arrays[0].count,
        gradient.place if gradient else None,
        [view.place for view in arrays],
        [view.place for view in scalars],
        [view.place for view in results],
    )
    return [sweep_of(lambda: [step], [gradient, *arrays, *scalars], results)]
