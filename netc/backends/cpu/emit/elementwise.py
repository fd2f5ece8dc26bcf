"""Chains of elementwise layers, alone or after a product, as one sweep over the elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.backends.cpu.emit.emission import Emission, Steps, reference_step
from netc.backends.cpu.emit.operations import Operations, operations_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.elementwise import Operation, add, chain_step, multiply
from netc.backends.shared.views import View, moved
from netc.ir.graph import Node
from netc.ops.fused import Bound, bind_stages
from netc.passes.epilogue import chain_of


def emit_elementwise(emission: Emission, node: Node) -> Steps | None:
    """An elementwise layer and those that follow it."""
    first, *rest = bind_stages(chain_of(node), node.inputs, node.parameters)
    stages = [_started(first), *rest]
    start = first.inputs[stages[0].stage.position]
    if operations_of(emission, stages[0], emission.graph.shape(start)) is None:
        return None
    return chain_steps(emission, node, emission.view(start), stages)


def _started(first: Bound) -> Bound:
    """The first stage with one of its inputs as the chain's value."""
    params = first.stage.params
    position = 1 if getattr(params, "operation", "") == "MAX" else 0
    others = first.inputs[:position] + first.inputs[position + 1 :]
    return first._replace(stage=replace(first.stage, position=position), inputs=others)


def emit_axpy(emission: Emission, node: Node) -> Steps | None:
    """A factor for each channel of each image, and a sum."""
    factor, x, y = (emission.view(v) for v in node.inputs)
    target = emission.view(node.outputs[0])
    if (factor.n, factor.c) != (x.n, x.c) or factor.h * factor.w != 1:
        return None
    return sweep(node.name, x, target, [multiply(factor), add(y)])


def chain_steps(emission: Emission, node: Node, x: View, stages: Sequence[Bound]) -> Steps:
    """Stages on a value: as few sweeps as possible, and definitions where there are no operations.

    Args:
        emission: knows where everything lies.
        node: the one that the stages are of; its output is the target.
        x: the chain's value.
        stages: bound to value and parameter names.
    """
    shape, y = emission.graph.shape(node.outputs[0]), emission.view(node.outputs[0])
    steps: Steps = []
    waiting: Operations = []
    for bound in stages:
        operations = operations_of(emission, bound, shape)
        if operations is not None:
            waiting += operations
            continue
        if waiting or x != y:
            steps += sweep(node.name, x, y, waiting)
        waiting, x = [], y
        steps += _by_definition(emission, node, bound)
    if waiting or x != y:
        steps += sweep(node.name, x, y, waiting)
    return steps


def _by_definition(emission: Emission, node: Node, bound: Bound) -> Steps:
    """A stage on the output where it lies."""
    stage, output = bound.stage, node.outputs[0]
    inputs = [*bound.inputs[: stage.position], output, *bound.inputs[stage.position :]]
    single = Node(
        node.name, stage.op, stage.params, tuple(inputs), (output,), tuple(bound.parameters)
    )
    return reference_step(emission, single)


def sweep(name: str, x: View, y: View, operations: Sequence[Operation]) -> Steps:
    """A chain; image by image where an operand has one value for each channel of each image."""
    if not any(_is_spread(o, x) for o in operations):
        return [chain_step(name, x, y, operations)]
    return [_image_step(name, x, y, operations, image) for image in range(x.n)]


def _is_spread(operation: Operation, x: View) -> bool:
    return operation.view is not None and operation.view.pixels != x.pixels


def _image_step(name: str, x: View, y: View, operations: Sequence[Operation], image: int) -> Step:
    own = []
    for operation in operations:
        view = operation.view
        if view is not None:
            spread = _is_spread(operation, x)
            view = _image(view, image)
            view = replace(view, h=x.h, w=x.w, ld=0) if spread else view
        own.append(replace(operation, view=view))
    return chain_step(name, _image(x, image), _image(y, image), own)


def _image(view: View, image: int) -> View:
    place = moved(view.place, image * view.h * view.w * view.ld)
    return replace(view, place=place, n=1)
