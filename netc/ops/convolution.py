"""Convolution, Deconvolution and Im2col, over any number of spatial axes.

All three share one arithmetic (base_conv_layer.cpp): a window's inputs are copied into columns,
and a matrix product with the weights does the rest. Kernels are not flipped, so a convolution is
the cross-correlation of the signal processing books.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    MemoryRule,
    OpDef,
    Params,
    ShapeError,
    WeightSpec,
    Window,
    copies,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ZERO, Filler, parse_filler
from netc.ops.numbers import number, required_number
from netc.ops.role import Role
from netc.ops.window import (
    Axis,
    Taps,
    WindowParams,
    axis_name,
    bands,
    columns_memory,
    parse_window,
    taps,
    taps_memory,
)
from netc.schema.message import Message

BAND_ELEMENTS = 2**22  # of a column buffer, 16 MiB

_FIELDS = frozenset(
    "num_output bias_term group axis weight_filler bias_filler dilation kernel_size kernel_h "
    "kernel_w stride stride_h stride_w pad pad_h pad_w".split()
)
_IDLE = frozenset(
    "force_nd_im2col conv_algorithm conv_algos_override conv_mode "
    "cudnn_convolution_algo_seeker CuDNNFwdAlgo CuDNNBwdDataAlgo CuDNNBwdFilterAlgo "
    "CuDNNWorkspaceSize".split()
)


@dataclass(frozen=True, slots=True)
class ConvolutionParams:
    """Parameters of Convolution and Deconvolution.

    ``axis`` is the channels' axis; those after it are spatial, those before it are a batch.
    ``depthwise`` is of layers that convolve each channel by itself, whatever the text says of
    groups: they have as many outputs as channels.
    """

    num_output: int
    window: WindowParams = field(default_factory=WindowParams)
    group: int = 1
    bias: bool = True
    axis: int = 1
    weight_filler: Filler = CONSTANT_ZERO
    bias_filler: Filler = CONSTANT_ZERO
    depthwise: bool = False


def _parse(layer: Message, context: LayerContext) -> ConvolutionParams:
    message = reject_unknown_fields(layer.get("convolution_param"), *_FIELDS, *_IDLE)
    num_output = required_number(message, "num_output")
    group = number(message, "group", 1)
    if num_output % group:
        raise message.error(
            "group",
            "group-mismatch",
            f"`num_output` {num_output} is not a multiple of `group` {group}",
            "every group makes an equal share of the outputs",
        )
    return ConvolutionParams(
        num_output,
        parse_window(message),
        group,
        message.get("bias_term"),
        message.get("axis"),
        parse_filler(message.get("weight_filler")),
        parse_filler(message.get("bias_filler")),
    )


def _parse_depthwise(layer: Message, context: LayerContext) -> ConvolutionParams:
    """ConvolutionDepthwise of the forks: `group` is the number of channels and not written."""
    params = _parse(layer, context)
    return replace(params, group=params.num_output, depthwise=True)


# Geometry


def channel_axis(axis: int, shape: Shape) -> int:
    """The channels' axis counted from the front.

    Raises:
        ShapeError: there is no such axis.
    """
    return axis_in(shape, axis, "convolution_param.axis")


def convolution_axes(params: ConvolutionParams | Im2colParams, shape: Shape) -> tuple[Axis, ...]:
    """The window along each spatial axis of a bottom, with the number of its places.

    Raises:
        ShapeError: the window fits nowhere.
    """
    channels = channel_axis(params.axis, shape)
    axes = params.window.axes(shape[channels + 1 :])
    return tuple(_slid(params.window, axis, i, len(axes)) for i, axis in enumerate(axes))


def _slid(window: WindowParams, axis: Axis, index: int, axes: int) -> Axis:
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


def _spoken_extent(window: WindowParams, axis: Axis, index: int) -> str:
    name = f"`{window.field('kernel', index)}` {axis.kernel}"
    if axis.dilation == 1:
        return name
    return f"{name} with `dilation` {axis.dilation}, together {axis.extent},"


def deconvolution_axes(params: ConvolutionParams, shape: Shape) -> tuple[Axis, ...]:
    """The axes of the convolution that this deconvolution turns around.

    ``size`` is that of the deconvolution's top and ``out`` that of its bottom.

    Raises:
        ShapeError: nothing would be left of the top.
    """
    channels = channel_axis(params.axis, shape)
    axes = params.window.axes(shape[channels + 1 :])
    return tuple(_spread(params.window, axis, i, len(axes)) for i, axis in enumerate(axes))


def _spread(window: WindowParams, axis: Axis, index: int, axes: int) -> Axis:
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


# Shapes and weights


def _convolved_shape(params: ConvolutionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    _check_bottoms(params, inputs)
    spatial = tuple(axis.out for axis in convolution_axes(params, inputs[0]))
    return (_top(params, inputs[0], spatial),) * len(inputs)


def _deconvolved_shape(params: ConvolutionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    _check_bottoms(params, inputs)
    spatial = tuple(axis.size for axis in deconvolution_axes(params, inputs[0]))
    return (_top(params, inputs[0], spatial),) * len(inputs)


def _top(params: ConvolutionParams, shape: Shape, spatial: Shape) -> Shape:
    return (*shape[: channel_axis(params.axis, shape)], params.num_output, *spatial)


def _check_bottoms(params: ConvolutionParams, inputs: Sequence[Shape]) -> None:
    first = inputs[0]
    channels = first[channel_axis(params.axis, first)]
    if channels < 1:
        raise ShapeError(f"the bottom has {channels} channels, at least 1 is needed")
    if params.depthwise and channels != params.num_output:
        raise ShapeError(
            f"{channels} channels of the bottom are convolved each by itself, and `num_output` is "
            f"{params.num_output}",
            "convolution_param.num_output",
            (f"write `num_output: {channels}`",),
        )
    if channels % params.group:
        raise ShapeError(
            f"{channels} channels of the bottom are not a multiple of `group` {params.group}",
            "convolution_param.group",
            ("every group reads an equal share of the channels",),
        )
    for index, other in enumerate(inputs):
        if other != first:
            raise ShapeError(
                f"all bottoms must have one shape, bottom 0 is {show(first)}, bottom {index} is "
                f"{show(other)}",
                help=("use a layer for each, and share weights with `param { name }`",),
            )


def _convolution_weights(
    params: ConvolutionParams, inputs: Sequence[Shape]
) -> tuple[WeightSpec, ...]:
    channels = inputs[0][channel_axis(params.axis, inputs[0])]
    kernel = tuple(axis.kernel for axis in convolution_axes(params, inputs[0]))
    return _weights(params, (params.num_output, channels // params.group, *kernel))


def _deconvolution_weights(
    params: ConvolutionParams, inputs: Sequence[Shape]
) -> tuple[WeightSpec, ...]:
    channels = inputs[0][channel_axis(params.axis, inputs[0])]
    kernel = tuple(axis.kernel for axis in deconvolution_axes(params, inputs[0]))
    return _weights(params, (channels, params.num_output // params.group, *kernel))


def _weights(params: ConvolutionParams, shape: Shape) -> tuple[WeightSpec, ...]:
    weight = WeightSpec(shape, params.weight_filler)
    bias = WeightSpec((params.num_output,), params.bias_filler)
    return (weight, bias) if params.bias else (weight,)


# Cost and window


def _convolution_cost(
    params: ConvolutionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Cost:
    weight = _convolution_weights(params, inputs)[0].shape
    return _cost(params, sum(map(count, outputs)) * count(weight, 1), outputs)


def _deconvolution_cost(
    params: ConvolutionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Cost:
    weight = _deconvolution_weights(params, inputs)[0].shape
    return _cost(params, sum(map(count, inputs)) * count(weight, 1), outputs)


def _cost(params: ConvolutionParams, macs: int, outputs: Sequence[Shape]) -> Cost:
    return Cost(macs, sum(map(count, outputs)) if params.bias else 0)


def _convolution_window(
    params: ConvolutionParams | Im2colParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return _window(convolution_axes(params, inputs[0]), fractional=False)


def _deconvolution_window(
    params: ConvolutionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return _window(deconvolution_axes(params, inputs[0]), fractional=True)


def _window(axes: Sequence[Axis], fractional: bool) -> Window:
    return Window(
        tuple(axis.kernel for axis in axes),
        tuple(axis.stride for axis in axes),
        tuple(axis.pad for axis in axes),
        tuple(axis.dilation for axis in axes),
        fractional,
    )


# Reference kernels


def _convolve(params: ConvolutionParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return tuple(_convolve_one(params, x, weights) for x in inputs)


def _convolve_one(params: ConvolutionParams, x: AnyArray, weights: Arrays) -> AnyArray:
    """y[n] = W . columns(x[n]) + b, group by group, in bands of rows to bound the columns."""
    xp, group = namespace(x), params.group
    axes = at_least_one(convolution_axes(params, x.shape))
    images = as_images(x, params.axis, [axis.size for axis in axes])
    matrix = weights[0].reshape(group, params.num_output // group, -1)
    out = [axis.out for axis in axes]
    y = xp.empty((len(images), params.num_output, *out), dtype=x.dtype)
    row_size = images.shape[1] * count(tuple(a.kernel for a in axes)) * count(tuple(out[1:]))
    for rows, met in bands(axes, row_size, BAND_ELEMENTS):
        places = (rows.stop - rows.start, *out[1:])
        for image, result in zip(images, y, strict=True):
            columns = window_columns(image, met, axes, places).reshape(group, matrix.shape[2], -1)
            result[:, rows] = (matrix @ columns).reshape(-1, *places)
            del columns  # before the next are made
    return _biased(y, weights).reshape(_convolved_shape(params, (x.shape,))[0])


def window_columns(
    image: AnyArray, met: Sequence[Taps], axes: Sequence[Axis], places: Shape
) -> AnyArray:
    """What each place of the window sees: channels x kernel x places; padding is zero."""
    shape = (image.shape[0], *(axis.kernel for axis in axes), *places)
    columns = namespace(image).zeros(shape, dtype=image.dtype)
    for element, outputs, inputs in met:
        columns[(slice(None), *element, *outputs)] = image[(slice(None), *inputs)]
    return columns


def as_images(x: AnyArray, axis: int, sizes: Sequence[int]) -> AnyArray:
    """Batch axes as one: number x channels x spatial sizes."""
    channels = channel_axis(axis, x.shape)
    return x.reshape(count(x.shape, 0, channels), x.shape[channels], *sizes)


def at_least_one(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes; without any, one of a single element, which changes nothing."""
    return axes or (Axis(size=1, kernel=1),)


def _biased(y: AnyArray, weights: Arrays) -> AnyArray:
    if len(weights) > 1:
        y += weights[1].reshape(-1, *(1,) * (y.ndim - 2))
    return y


def _deconvolve(params: ConvolutionParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return tuple(_deconvolve_one(params, x, weights) for x in inputs)


def _deconvolve_one(params: ConvolutionParams, x: AnyArray, weights: Arrays) -> AnyArray:
    """A convolution's gradient by its input: columns = W^T . x[n], added where they came from."""
    xp, group = namespace(x), params.group
    axes = at_least_one(deconvolution_axes(params, x.shape))
    images = as_images(x, params.axis, [axis.out for axis in axes])
    share, kernel = params.num_output // group, tuple(axis.kernel for axis in axes)
    matrix = weights[0].reshape(group, x.shape[channel_axis(params.axis, x.shape)] // group, -1)
    matrix = matrix.swapaxes(1, 2)
    y = xp.zeros((len(images), params.num_output, *(a.size for a in axes)), dtype=x.dtype)
    row_size = group * share * count(kernel) * count(images.shape, 3)
    for rows, met in bands(axes, row_size, BAND_ELEMENTS):
        for image, result in zip(images, y, strict=True):
            part = image[:, rows]
            columns = matrix @ part.reshape(group, matrix.shape[2], -1)
            add_columns(columns.reshape(group * share, *kernel, *part.shape[1:]), met, result)
    return _biased(y, weights).reshape(_deconvolved_shape(params, (x.shape,))[0])


def add_columns(columns: Any, met: Sequence[Taps], image: AnyArray) -> None:
    """Add what each place of the window sees to where it was seen, in ``image``."""
    for element, outputs, inputs in met:
        image[(slice(None), *inputs)] += columns[(slice(None), *element, *outputs)]


def _memory_of(walked: Callable[[Any, Shape], tuple[Axis, ...]], gathers: bool) -> MemoryRule:
    """Memory rule of a product over a window: a band's columns, of one image of one bottom."""

    def memory(params: Params, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        def one(shape: Shape) -> int:
            axes = at_least_one(walked(params, shape))
            channels = shape[channel_axis(params.axis, shape)] if gathers else params.num_output
            return taps_memory(axes) + columns_memory(axes, channels, BAND_ELEMENTS)

        return _plain(params, inputs, outputs) + max(map(one, inputs))

    return memory


def _im2col_memory(params: Im2colParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _plain(params, inputs, outputs) + taps_memory(convolution_axes(params, inputs[0]))


_plain = copies(1)


# Im2col


@dataclass(frozen=True, slots=True)
class Im2colParams:
    """Parameters of Im2col."""

    window: WindowParams = field(default_factory=WindowParams)
    axis: int = 1


def _parse_im2col(layer: Message, context: LayerContext) -> Im2colParams:
    message = reject_unknown_fields(layer.get("convolution_param"), *_FIELDS, *_IDLE)
    return Im2colParams(parse_window(message), message.get("axis"))


def _im2col_shape(params: Im2colParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    (shape,) = inputs
    channels = channel_axis(params.axis, shape)
    if channels == len(shape) - 1:
        raise ShapeError(
            f"Im2col needs a spatial axis after axis {channels}, and the bottom has "
            f"{len(shape)} axes",
            "convolution_param.axis",
        )
    axes = convolution_axes(params, shape)
    kernel = count(tuple(axis.kernel for axis in axes))
    spatial = tuple(axis.out for axis in axes)
    return ((*shape[:channels], shape[channels] * kernel, *spatial),)


def _im2col(params: Im2colParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    (x,) = inputs
    axes = convolution_axes(params, x.shape)
    images = as_images(x, params.axis, [axis.size for axis in axes])
    (shape,) = _im2col_shape(params, (x.shape,))
    y = namespace(x).empty((len(images), count(shape) // max(1, len(images))), dtype=x.dtype)
    met, places = taps(axes), tuple(axis.out for axis in axes)
    for image, result in zip(images, y, strict=True):
        result[:] = window_columns(image, met, axes, places).reshape(-1)
    return (y.reshape(shape),)


_MANY = Arity(bottoms=(1, None), tops=(1, None), same=True)

CONVOLUTION = OpDef(
    name="Convolution",
    arity=_MANY,
    params=_parse,
    shape=_convolved_shape,
    weights=_convolution_weights,
    cost=_convolution_cost,
    window=_convolution_window,
    reference=_convolve,
    memory=_memory_of(convolution_axes, True),
    family="convolution",
    role=Role.CONVOLUTION,
)

DECONVOLUTION = OpDef(
    name="Deconvolution",
    arity=_MANY,
    params=_parse,
    shape=_deconvolved_shape,
    weights=_deconvolution_weights,
    cost=_deconvolution_cost,
    window=_deconvolution_window,
    reference=_deconvolve,
    memory=_memory_of(deconvolution_axes, False),
    family="convolution",
    role=Role.DECONVOLUTION,
)

IM2COL = OpDef(
    name="Im2col",
    arity=Arity(bottoms=(1, 1), tops=(1, 1)),
    params=_parse_im2col,
    shape=_im2col_shape,
    window=_convolution_window,
    reference=_im2col,
    memory=_im2col_memory,
    family="convolution",
)

OPS = (CONVOLUTION, DECONVOLUTION, IM2COL)

# Layer types of forks that are convolutions by another name: eric612's, with `group` written, and
# that of ShuffleNet's and OpenCV's forks, without.
OTHER_NAMES = {
    "DepthwiseConvolution": CONVOLUTION,
    "ConvolutionDepthwise": replace(CONVOLUTION, params=_parse_depthwise),
}
