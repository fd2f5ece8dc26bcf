"""What happens at a net's edges: the caller's arrays to stored values and back."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.cpu.steps.transpose import from_planes, to_planes
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import External


def load_inputs(emission: Emission) -> Steps:
    """Conversions of the inputs that are not read where the caller has them."""
    steps: Steps = []
    for index, name in enumerate(emission.graph.inputs):
        view, place = emission.view(name), External(index)
        if view.place != place:
            steps.append(from_planes(f"input {name}", place, view))
    return steps


def store_outputs(emission: Emission) -> Steps:
    """Conversions of the outputs that were not written where the caller wants them."""
    steps: Steps = []
    first = len(emission.graph.inputs)
    for index, name in enumerate(emission.graph.outputs, first):
        shape, view, place = emission.graph.shape(name), emission.view(name), External(index)
        if view.place == place:
            continue
        if is_in_c_order(shape):
            steps.append(copy_step(f"output {name}", view, view_of(shape, place)))
        else:
            steps.append(to_planes(f"output {name}", view, place))
    return steps
