"""Parameters of convolutions, and the windows that they slide along each spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from netc.ir.types import Shape
from netc.ops.axes import axis_in
from netc.ops.define import LayerContext, ShapeError
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ZERO, Filler, parse_filler
from netc.ops.numbers import number, required_number
from netc.ops.window import (
    Axis,
    Window,
    axis_name,
    parse_window,
)
from netc.schema.message import Message

CONVOLUTION_FIELDS = frozenset(
    "num_output bias_term group axis weight_filler bias_filler dilation kernel_size kernel_h "
    "kernel_w stride stride_h stride_w pad pad_h pad_w".split()
)
IDLE_FIELDS = frozenset(
    "force_nd_im2col conv_algorithm conv_algos_override conv_mode "
    "cudnn_convolution_algo_seeker CuDNNFwdAlgo CuDNNBwdDataAlgo CuDNNBwdFilterAlgo "
    "CuDNNWorkspaceSize".split()
)


@dataclass(frozen=True, slots=True)
class ConvolutionParams:
    """Parameters of Convolution and Deconvolution (base_conv_layer.cpp).

    Args:
        num_output: channels of the top.
        window: kernel_size, stride, pad and dilation along the spatial axes.
        group: groups of channels that are convolved apart.
        bias: whether a bias (num_output,) is added.
        axis: of the channels; the axes after it are spatial, those before it are the batch.
        weight_filler, bias_filler: of the trained arrays.
        depthwise: of a layer type that convolves each channel by itself, whatever its ``group``.
    """

    num_output: int
    window: Window = field(default_factory=Window)
    group: int = 1
    bias: bool = True
    axis: int = 1
    weight_filler: Filler = CONSTANT_ZERO
    bias_filler: Filler = CONSTANT_ZERO
    depthwise: bool = False


@dataclass(frozen=True, slots=True)
class Im2colParams:
    """Parameters of Im2col: the window, and the channels' axis (im2col_layer.cpp)."""

    window: Window = field(default_factory=Window)
    axis: int = 1


def parse_convolution(layer: Message, context: LayerContext) -> ConvolutionParams:
    """The fields of ``convolution_param`` that Convolution and Deconvolution share.

    Raises:
        NetcError: unsupported-field, missing-field, out-of-range, conflicting-fields,
            unknown-filler or bad-filler, at the field; group-mismatch, where `num_output` is no
            multiple of `group`.
    """
    return convolution_of(
        reject_unknown_fields(layer.get("convolution_param"), *CONVOLUTION_FIELDS, *IDLE_FIELDS)
    )


def convolution_of(message: Message) -> ConvolutionParams:
    """The parameters that a message with ConvolutionParameter's fields says.

    Raises:
        NetcError: as :func:`parse_convolution`.
    """
    num_output = required_number(message, "num_output")
    return ConvolutionParams(
        num_output,
        parse_window(message),
        checked_group(message, num_output),
        message.get("bias_term"),
        message.get("axis"),
        parse_filler(message.get("weight_filler")),
        parse_filler(message.get("bias_filler")),
    )


def checked_group(message: Message, num_output: int) -> int:
    """The value of ``group``, of which ``num_output`` must be a multiple.

    Raises:
        NetcError: out-of-range or group-mismatch, at the field.
    """
    group = number(message, "group", 1)
    if num_output % group:
        raise message.error(
            "group",
            "group-mismatch",
            f"`num_output` {num_output} is not a multiple of `group` {group}",
            "every group makes an equal share of the outputs",
        )
    return group


def parse_depthwise_convolution(layer: Message, context: LayerContext) -> ConvolutionParams:
    """The fields of ConvolutionDepthwise of the forks, whose ``group`` is ``num_output``.

    Raises:
        NetcError: as :func:`parse_convolution`.
    """
    params = parse_convolution(layer, context)
    return replace(params, group=params.num_output, depthwise=True)


# Geometry


def channel_axis(axis: int, shape: Shape) -> int:
    """The channels' axis counted from the front; ``axis`` may count from the end.

    Raises:
        ShapeError: the shape has no such axis.
    """
    return axis_in(shape, axis, "convolution_param.axis")


def convolution_axes(params: ConvolutionParams | Im2colParams, shape: Shape) -> tuple[Axis, ...]:
    """The window along each spatial axis of a bottom of this shape; ``out`` is the top's size.

    Raises:
        ShapeError: the kernel is larger than the padded input, or the field counts do not fit.
    """
    channels = channel_axis(params.axis, shape)
    axes = params.window.axes(shape[channels + 1 :])
    return tuple(_slid(params.window, axis, i, len(axes)) for i, axis in enumerate(axes))


def _slid(window: Window, axis: Axis, index: int, axes: int) -> Axis:
    """The axis with its number of outputs.

    C divides towards zero: with a stride, a window that overhangs a small input by less than the
    stride still has one place, and what overhangs is zero.
    """
    room = axis.size + 2 * axis.pad - axis.extent
    out = room // axis.stride + 1 if room >= 0 else 1 - -room // axis.stride
    if out > 0:
        return axis._replace(out=out)
    raise ShapeError(
        f"{_spoken_extent(window, axis, index)} is larger than the padded "
        f"{axis_name(index, axes)} {axis.size + 2 * axis.pad}",
        f"convolution_param.{window.field('kernel', index)}",
        (f"the input must be at least {axis.extent - 2 * axis.pad} there, it is {axis.size}",),
    )


def _spoken_extent(window: Window, axis: Axis, index: int) -> str:
    name = f"`{window.field('kernel', index)}` {axis.kernel}"
    if axis.dilation == 1:
        return name
    return f"{name} with `dilation` {axis.dilation}, together {axis.extent},"


def deconvolution_axes(params: ConvolutionParams, shape: Shape) -> tuple[Axis, ...]:
    """The axes of the convolution whose gradient this deconvolution is, for a bottom of this shape.

    ``size`` is the size of the deconvolution's top and ``out`` that of its bottom.

    Raises:
        ShapeError: padding takes away all of the top, or the field counts do not fit.
    """
    channels = channel_axis(params.axis, shape)
    axes = params.window.axes(shape[channels + 1 :])
    return tuple(_spread(params.window, axis, i, len(axes)) for i, axis in enumerate(axes))


def _spread(window: Window, axis: Axis, index: int, axes: int) -> Axis:
    whole = axis.stride * (axis.size - 1) + axis.extent
    size = whole - 2 * axis.pad
    if size <= 0:
        name = window.field("pad", index)
        raise ShapeError(
            f"`{name}` {axis.pad} on both sides takes away all of the {axis_name(index, axes)} "
            f"{whole}",
            f"convolution_param.{name}",
            (f"`{name}` may be at most {(whole - 1) // 2} here",),
        )
    return axis._replace(size=size, out=axis.size)


def convolution_window(
    params: ConvolutionParams | Im2colParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    """Window rule of a window over the bottom, which moves by ``stride`` for each top element."""
    return Window.of(convolution_axes(params, inputs[0]))


def deconvolution_window(
    params: ConvolutionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    """Window rule of a deconvolution: each bottom element is added to ``kernel`` top elements."""
    return Window.of(deconvolution_axes(params, inputs[0]), fractional=True)
