"""Chains of elementwise layers, alone or after a product, as one sweep over the elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.backends.cpu.emit.emission import EmitContext, Sweeps, by_definition
from netc.backends.cpu.emit.operations import Operations, operations_of
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.elementwise import Operation, add, chain_step, multiply
from netc.backends.shared.views import View, moved
from netc.ir.graph import Node
from netc.ops.fused import BoundStage, bind_stages
from netc.passes.epilogue import chain_of


def emit_elementwise(context: EmitContext, node: Node) -> Sweeps | None:
    """An elementwise layer and those that follow it."""
    first, *rest = bind_stages(chain_of(node), node.inputs, node.parameters)
    stages = [_started(first), *rest]
    start = first.inputs[stages[0].stage.position]
    if operations_of(context, stages[0], context.graph.shape(start)) is None:
        return None
    return chain_sweeps(context, node, context.view(start), stages)


def _started(first: BoundStage) -> BoundStage:
    """The first stage with one of its inputs as the chain's value."""
    params = first.stage.params
    position = 1 if getattr(params, "operation", "") == "MAX" else 0
    others = first.inputs[:position] + first.inputs[position + 1 :]
    return first._replace(stage=replace(first.stage, position=position), inputs=others)


def emit_axpy(context: EmitContext, node: Node) -> Sweeps | None:
    """A factor for each channel of each image, and a sum."""
    factor, x, y = (context.view(v) for v in node.inputs)
    target = context.view(node.outputs[0])
    if (factor.n, factor.c) != (x.n, x.c) or factor.h * factor.w != 1:
        return None
    return [one_sweep(node.name, x, target, [multiply(factor), add(y)])]


def chain_sweeps(context: EmitContext, node: Node, x: View, stages: Sequence[BoundStage]) -> Sweeps:
    """Stages on a value: as few sweeps as possible, and definitions where there are no operations.

    Args:
        context: knows where everything lies.
        node: the one that the stages are of; its output is the target.
        x: the chain's value.
        stages: bound to value and parameter names.
    """
    shape, y = context.graph.shape(node.outputs[0]), context.view(node.outputs[0])
    sweeps: Sweeps = []
    waiting: Operations = []
    for bound in stages:
        operations = operations_of(context, bound, shape)
        if operations is not None:
            waiting += operations
            continue
        if waiting or x != y:
            sweeps.append(one_sweep(node.name, x, y, waiting))
        waiting, x = [], y
        sweeps += _stage_by_definition(context, node, bound)
    if waiting or x != y:
        sweeps.append(one_sweep(node.name, x, y, waiting))
    return sweeps


def _stage_by_definition(context: EmitContext, node: Node, bound: BoundStage) -> Sweeps:
    """A stage on the output where it lies."""
    stage, output = bound.stage, node.outputs[0]
    inputs = [*bound.inputs[: stage.position], output, *bound.inputs[stage.position :]]
    single = Node(
        node.name, stage.op, stage.params, tuple(inputs), (output,), tuple(bound.parameters)
    )
    return by_definition(context, single)


def one_sweep(name: str, x: View, y: View, operations: Sequence[Operation]) -> Sweep:
    """Operations on each element, in one pass."""
    operands = [o.view for o in operations if o.view is not None]
    spread = [view for view in operands if view.pixels != x.pixels]
    pointwise = [x, *(view for view in operands if view.pixels == x.pixels)]
    chain = tuple(operations)
    return sweep_of(lambda: chain_steps(name, x, y, chain), spread, [y], pointwise)


def chain_steps(name: str, x: View, y: View, operations: Sequence[Operation]) -> list[Step]:
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
