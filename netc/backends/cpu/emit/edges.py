"""What happens at a net's edges: the caller's arrays to stored values and back."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.cpu.steps.transpose import from_planes, to_planes
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import External


def load_inputs(context: EmitContext) -> list[Step]:
    """Conversions of the inputs that are not read where the caller has them."""
    steps: list[Step] = []
    for index, name in enumerate(context.graph.inputs):
        view, place = context.view(name), External(index)
        if view.place != place:
            steps.append(from_planes(f"input {name}", place, view))
    return steps


def store_outputs(context: EmitContext) -> list[Step]:
    """Conversions of the outputs that were not written where the caller wants them."""
    graph = context.graph
    first = len(graph.inputs)
    return [
        step
        for index, name in enumerate(graph.outputs, first)
        for step in _store(context, f"output {name}", name, External(index))
    ]


def store_updates(context: EmitContext) -> list[Step]:
    """Copies of values to the variables that they are to be in after a run.

    They are the last steps: until then each variable holds what it held before the run.
    """
    graph = context.graph
    first = len(graph.inputs) + len(graph.outputs)
    return [
        step
        for index, (name, value) in enumerate(graph.updates.items(), first)
        for step in _store(context, f"update {name}", value, External(index))
    ]


def _store(context: EmitContext, step: str, value: str, place: External) -> list[Step]:
    """The copy of a value to an array of its own shape, if it is not there."""
    shape, view = context.graph.shape(value), context.view(value)
    if view.place == place:
        return []
    if is_in_c_order(shape):
        return [copy_step(step, view, view_of(shape, place))]
    return [to_planes(step, view, place)]
