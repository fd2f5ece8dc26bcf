"""Windows of convolutions that need memory of their own: padded inputs, and values between two."""

from __future__ import annotations

from netc.backends.shared.layout import is_in_c_order
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.fused import Stage, bind_stages
from netc.ops.reduced import REDUCED_CONVOLUTION, ReducedParams
from netc.ops.role import Role
from netc.passes.epilogue import chain_of
from netc.passes.tile_bottlenecks import cut, may_run_whole, window_of


def padded_image(graph: Graph, node: Node) -> tuple[int, int, int, int] | None:
    """Images, height, width and channels of an input as a convolution wants it; None elsewhere.

    An input of few channels that one convolution alone reads is brought from the caller's order to
    pixels with the padding around them, so that a row of the kernel reads one run of memory.
    """
    first = next(bind_stages(chain_of(node), node.inputs, node.parameters), None)
    if first is None or len(first.inputs) != 1:
        return None
    value, params = first.inputs[0], _convolution_of(first.stage)
    if params is None:
        return None
    shape = graph.shape(value)
    alone = value in graph.inputs and value not in graph.outputs
    if not alone or len(graph.readers[value]) != 1 or is_in_c_order(shape):
        return None
    if shape[1] > _FEW_CHANNELS or params.group != 1 or params.axis not in (1, -3):
        return None
    if any(axis.kernel == 1 or axis.dilation > 1 for axis in convolution_axes(params, shape)):
        return None
    high, wide = (
        axis.pad + max(axis.size, (axis.out - 1) * axis.stride + axis.kernel - axis.pad)
        for axis in convolution_axes(params, shape)
    )
    if high * wide > _MAX_PADDING * (shape[2] * shape[3] + _FEW_PIXELS):
        return None
    return shape[0], high, wide, shape[1]


def _convolution_of(stage: Stage) -> ConvolutionParams | None:
    """The parameters of a convolution, of whatever numbers; None of other stages."""
    if stage.op == REDUCED_CONVOLUTION:
        return stage.params_as(ReducedParams).params_as(ConvolutionParams)
    is_convolution = has_role(stage.op, Role.CONVOLUTION)
    return stage.params_as(ConvolutionParams) if is_convolution else None


_MAX_PADDING = 4  # times the image's own pixels, and some
_FEW_PIXELS = 1 << 10
_FEW_CHANNELS = 4


def value_between(graph: Graph, node: Node) -> tuple[int, int, int, int] | None:
    """Images, height, width and channels of what is kept of the value between a chain's windows.

    See netc.passes.tile_bottlenecks. It is all of it where both may run one after the other, else
    the rows of a band. None where a chain has no second window.
    """
    stages = chain_of(node).stages
    at = second_window(node)
    if at is None:
        return None
    shape = shape_between(graph, node)
    window = window_of(stages[at], shape)
    if window is None or may_run_whole(stages[at], window):
        return shape[0], shape[2], shape[3], shape[1]
    height = cut(shape, graph.shape(node.outputs[0]), 0, window).height
    return 1, height, shape[3], shape[1]


def shape_between(graph: Graph, node: Node) -> Shape:
    """The shape of what a chain's first convolution makes."""
    params = chain_of(node).stages[0].params_as(ConvolutionParams)
    given = graph.shape(node.inputs[0])
    pixels = (axis.out for axis in convolution_axes(params, given))
    return (given[0], params.num_output, *pixels)


def second_window(node: Node) -> int | None:
    """Which stage of a convolution's chain is a window of its own; None where there is none."""
    stages = chain_of(node).stages
    if not has_role(stages[0].op, Role.CONVOLUTION):
        return None
    return next(
        (i for i, s in enumerate(stages) if i and has_role(s.op, Role.CONVOLUTION | Role.POOLING)),
        None,
    )
