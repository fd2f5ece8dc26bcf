"""Local response normalisation and softmax."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.normalization import (
    Response,
    lrn_across_step,
    lrn_within_step,
    softmax_axis_step,
    softmax_step,
)
from netc.backends.shared.layout import has_channels
from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.axes import axis_in
from netc.ops.lrn import LRNParams, is_positive
from netc.ops.normalization import SoftmaxParams


def emit_lrn(context: EmitContext, node: Node) -> Sweeps | None:
    """Over neighbouring channels, or over neighbouring pixels of each channel."""
    params = node.params_as(LRNParams)
    if not is_positive(params):
        return None
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    response = Response(params.local_size, params.alpha, params.beta, params.k)
    step = lrn_across_step if params.across else lrn_within_step
    if params.across:
        return [sweep_of(lambda: [step(node.name, x, y, response)], (), [y], pointwise=[x])]
    return [sweep_of(lambda: [step(node.name, x, y, response)], [x], [y])]


def emit_softmax(context: EmitContext, node: Node) -> Sweeps | None:
    """Over the channels of pixels, or over any axis of a value stored as it is."""
    shape = context.graph.shape(node.inputs[0])
    axis = axis_in(shape, node.params_as(SoftmaxParams).axis, "softmax_param.axis")
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    if has_channels(shape) and axis != 1:
        return None

    def step() -> Step:
        if has_channels(shape):
            return softmax_step(node.name, x, y)
        outer, inner = count(shape[:axis]), count(shape[axis + 1 :])
        return softmax_axis_step(node.name, x.place, y.place, outer, shape[axis], inner)

    return [sweep_of(lambda: [step()], (), [y], pointwise=[x])]
