"""Locally connected layers."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.local import local_step
from netc.backends.shared.geometry import Geometry
from netc.ir.graph import Node
from netc.ops.convolution_params import ConvolutionParams, channel_axis, convolution_axes


def emit_local(context: EmitContext, node: Node) -> Sweeps | None:
    """LocallyConnected and Local, over images of two axes."""
    params = node.params_as(ConvolutionParams)
    shape = context.graph.shape(node.inputs[0])
    if len(shape) != 4 or channel_axis(params.axis, shape) != 1:
        return None
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    high, wide = convolution_axes(params, shape)
    window = Geometry(
        (high.kernel, wide.kernel),
        (high.stride, wide.stride),
        (high.pad, wide.pad),
        (high.dilation, wide.dilation),
    )
    weights, *bias = context.arrays(node)
    sizes = (params.num_output, x.c // params.group, *window.kernel, y.h, y.w)
    own = bias[0].reshape(params.num_output, y.h, y.w) if bias else None

    def build() -> list[Step]:
        array = weights.reshape(*sizes)
        return [local_step(node.name, x, y, array, own, window, params.group, context.target)]

    return [sweep_of(build, [x], [y])]
