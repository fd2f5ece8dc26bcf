"""Inner products, alone or with the stages that follow them."""

from __future__ import annotations

from collections.abc import Sequence

from netc.backends.cpu.emit.elementwise import chain_steps
from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.emit.epilogues import Matched, is_sum, match_epilogue
from netc.backends.cpu.emit.products import weights_of
from netc.backends.cpu.layout import lies_as_given
from netc.backends.cpu.rules import needs_planes
from netc.backends.cpu.steps.epilogue import Epilogue
from netc.backends.cpu.steps.linear import linear_step
from netc.backends.cpu.steps.transpose import to_planes
from netc.backends.cpu.views import View, dense
from netc.ir.graph import Array, Node
from netc.ir.types import Shape, count
from netc.ops.axes import axis_in
from netc.ops.fused import Bound, bind_stages
from netc.passes.epilogue import chain_of


def emit_inner_product(emission: Emission, node: Node) -> Steps | None:
    """An inner product of each row; a map of several pixels is brought to Caffe's order before."""
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    params, value = first.stage.params, first.inputs[0]
    shape, top = emission.graph.shape(value), emission.graph.shape(node.outputs[0])
    axis = axis_in(shape, params.axis, "inner_product_param.axis")
    rows, columns = count(shape[:axis]), count(shape[axis:])
    y = _as_rows(emission.view(node.outputs[0]), top, rows, params.num_output)
    steps: Steps = []
    if needs_planes(emission.graph, node):
        place = emission.scratch(node)
        steps.append(to_planes(node.name, emission.view(value), place))
        x: View | None = dense(place, rows, 1, 1, columns)
    else:
        x = _as_rows(emission.view(value), shape, rows, columns)
    if x is None or y is None:
        return None
    weight, bias = weights_of(emission, first)
    matched = _matched(emission, bias, stages, top)
    weight = weight.T if params.transpose else weight
    steps.append(linear_step(node.name, x, y, weight, emission.target, matched.epilogue))
    return [*steps, *chain_steps(emission, node, emission.view(node.outputs[0]), matched.rest)]


def _as_rows(view: View, shape: Shape, rows: int, columns: int) -> View | None:
    """A stored value as rows; None where its order is another one than its shape's."""
    if view.h * view.w == 1 and (view.n, view.c) == (rows, columns):
        return view
    if not lies_as_given(shape) or view.ld != view.c:
        return None
    return dense(view.place, rows, 1, 1, columns)


def _matched(
    emission: Emission, bias: Array | None, stages: Sequence[Bound], shape: Shape
) -> Matched:
    """The part of a chain that the kernel does; it adds no residual and knows one axis only."""
    first = stages[0] if stages else None
    if first is None or is_sum(first) or (first.stage.op == "PReLU" and len(shape) != 2):
        return Matched(Epilogue(bias), list(stages))
    matched = match_epilogue(emission, bias, stages[:1], shape[-1])
    return Matched(matched.epilogue, [*matched.rest, *stages[1:]])
