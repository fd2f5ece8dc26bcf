"""Convolution and Deconvolution, over any number of spatial axes.

Both share one arithmetic (base_conv_layer.cpp): a window's inputs are copied into columns,
and a matrix product with the weights does the rest. Kernels are not flipped, so a convolution is
the cross-correlation of the signal processing books.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.columns import add_columns, as_images, at_least_one, window_columns
from netc.ops.convolution_params import (
    ConvolutionParams,
    channel_axis,
    convolution_axes,
    convolution_window,
    deconvolution_axes,
    deconvolution_window,
    parse_convolution,
    parse_depthwise_convolution,
)
from netc.ops.define import (
    Arity,
    Cost,
    MemoryRule,
    OpDef,
    ShapeError,
    WeightSpec,
    copies,
)
from netc.ops.forks.volumes import parse_nd_convolution, parse_volume_convolution
from netc.ops.role import Role
from netc.ops.window import (
    Axis,
    bands,
    columns_memory,
    taps_memory,
)

BAND_ELEMENTS = 2**22  # of a column buffer, 16 MiB


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


# Cost


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


def _memory_of(
    walked: Callable[[ConvolutionParams, Shape], tuple[Axis, ...]], gathers: bool
) -> MemoryRule[ConvolutionParams]:
    """Memory rule of a product over a window: a band's columns, of one image of one bottom."""

    def memory(params: ConvolutionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        def one(shape: Shape) -> int:
            axes = at_least_one(walked(params, shape))
            channels = shape[channel_axis(params.axis, shape)] if gathers else params.num_output
            return taps_memory(axes) + columns_memory(axes, channels, BAND_ELEMENTS)

        return _plain(params, inputs, outputs) + max(map(one, inputs))

    return memory


_plain = copies(1)


_MANY = Arity(bottoms=(1, None), tops=(1, None), same=True)

CONVOLUTION = OpDef(
    name="Convolution",
    arity=_MANY,
    params=parse_convolution,
    shape=_convolved_shape,
    weights=_convolution_weights,
    cost=_convolution_cost,
    window=convolution_window,
    reference=_convolve,
    memory=_memory_of(convolution_axes, True),
    family="convolution",
    role=Role.CONVOLUTION,
)

DECONVOLUTION = OpDef(
    name="Deconvolution",
    arity=_MANY,
    params=parse_convolution,
    shape=_deconvolved_shape,
    weights=_deconvolution_weights,
    cost=_deconvolution_cost,
    window=deconvolution_window,
    reference=_deconvolve,
    memory=_memory_of(deconvolution_axes, False),
    family="convolution",
    role=Role.DECONVOLUTION,
)

OPS = (CONVOLUTION, DECONVOLUTION)

# Layer types of forks that are convolutions by another name: eric612's, with `group` written, and
# that of ShuffleNet's and OpenCV's forks, without; those of volumes.
OTHER_NAMES = {
    "DepthwiseConvolution": CONVOLUTION,
    "ConvolutionDepthwise": replace(CONVOLUTION, params=parse_depthwise_convolution),
    "Convolution3D": replace(CONVOLUTION, params=parse_volume_convolution),
    "CuDNNDeconvolution": DECONVOLUTION,
    "Deconvolution3D": replace(DECONVOLUTION, params=parse_volume_convolution),
    "NdConvolution": replace(CONVOLUTION, params=parse_nd_convolution),
}
