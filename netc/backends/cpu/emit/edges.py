"""What happens at a net's edges: the caller's arrays to stored values and back."""

from __future__ import annotations

from collections.abc import Sequence

from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.program import PythonStep, Step
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.cpu.steps.transpose import from_planes, to_planes
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import External, dense
from netc.ir.graph import Array
from netc.ir.types import count
from netc.ops.gradient_update import part_of


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


def store_updates(context: EmitContext) -> list[Step | PythonStep]:
    """Copies of values to the variables that they are to be in after a run.

    They are the last steps: until then each variable holds what it held before the run.
    """
    graph = context.graph
    first = len(graph.inputs) + len(graph.outputs)
    steps: list[Step | PythonStep] = []
    for index, (name, value) in enumerate(graph.updates.items(), first):
        part, place = part_of(graph, value), External(index)
        if part:
            steps += _store_part(context, f"update {name}", value, place, part)
        else:
            steps += _store(context, f"update {name}", value, place)
    return steps


def _store_part(
    context: EmitContext, step: str, value: str, place: External, part: Sequence[int]
) -> list[Step | PythonStep]:
    """Some elements of a value, in C order; other ranks write the others at the same time."""
    shape, view = context.graph.shape(value), context.view(value)
    if view.place == place:
        return []
    begin, end = part

    def store(new: Array, kept: Array) -> None:
        kept[begin:end] = new.reshape(-1)[begin:end]

    elements = count(shape)
    whole = dense(place, 1, 1, 1, elements)
    return [PythonStep(step, store, ((view, shape), (whole, (elements,))))]


def _store(context: EmitContext, step: str, value: str, place: External) -> list[Step]:
    """The copy of a value to an array of its own shape, if it is not there."""
    shape, view = context.graph.shape(value), context.view(value)
    if view.place == place:
        return []
    if is_in_c_order(shape):
        return [copy_step(step, view, view_of(shape, place))]
    return [to_planes(step, view, place)]
