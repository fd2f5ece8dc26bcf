"""DeformableConvolution (Dai et al. 2017, arXiv:1703.06211): each tap of a kernel has an offset.

deformable_conv_layer.cu and deformable_im2col.cu of unsky/Deformable-ConvNets-caffe and
makefile/frcnn. The second bottom has, for each group of channels and each element of the kernel,
how far its place is moved down and right. Between places the bottom is interpolated; a place in the
last row's or column's cell takes that row or column, and one outside of the bottom is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.convolution_params import (
    CONVOLUTION_FIELDS,
    IDLE_FIELDS,
    ConvolutionParams,
    convolution_axes,
    convolution_of,
)
from netc.ops.define import FLOAT, Arity, Cost, LayerContext, OpDef, ShapeError, WeightSpec, Window
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DeformableParams:
    """A convolution of two axes, and how many groups of channels have offsets of their own."""

    convolution: ConvolutionParams
    groups: int


def _parse(layer: Message, context: LayerContext) -> DeformableParams:
    message = reject_unknown_fields(
        layer.get("deformable_convolution_param"),
        *CONVOLUTION_FIELDS,
        *IDLE_FIELDS,
        "deformable_group",
    )
    return DeformableParams(convolution_of(message), number(message, "deformable_group", 1))


def _shape(params: DeformableParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, offset = inputs
    if len(data) != 4 or params.convolution.axis not in (1, -3):
        raise ShapeError(f"the bottom must have 4 axes, it is {show(data)}")
    channels, groups = data[1], params.groups
    if channels % params.convolution.group or channels % groups:
        raise ShapeError(
            f"{channels} channels must be a multiple of `group` {params.convolution.group} and of "
            f"`deformable_group` {groups}"
        )
    high, wide = convolution_axes(params.convolution, data)
    wanted = (data[0], 2 * groups * high.kernel * wide.kernel, high.out, wide.out)
    if offset != wanted:
        raise ShapeError(f"the offsets must be {show(wanted)}, the second bottom is {show(offset)}")
    return ((data[0], params.convolution.num_output, high.out, wide.out),)


def _weights(params: DeformableParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    own, kernel = params.convolution, (a.kernel for a in convolution_axes(*_first(params, inputs)))
    shape = (own.num_output, inputs[0][1] // own.group, *kernel)
    weight = WeightSpec(shape, own.weight_filler)
    return (weight, WeightSpec((own.num_output,), own.bias_filler)) if own.bias else (weight,)


def _first(params: DeformableParams, inputs: Sequence[Shape]) -> tuple[ConvolutionParams, Shape]:
    return params.convolution, inputs[0]


def _columns_size(params: DeformableParams, inputs: Sequence[Shape]) -> int:
    """Elements of an image's columns."""
    high, wide = convolution_axes(params.convolution, inputs[0])
    return inputs[0][1] * high.kernel * wide.kernel * high.out * wide.out


def _cost(params: DeformableParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    weight = _weights(params, inputs)[0].shape
    columns = inputs[0][0] * _columns_size(params, inputs)
    return Cost(count(outputs[0]) * count(weight, 1) + 4 * columns, 8 * columns)


def _window(params: DeformableParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return Window(whole=True)


def _memory(params: DeformableParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return FLOAT * (16 * _columns_size(params, inputs) + 8 * count(outputs[0]))


class CornerSample(NamedTuple):
    """One of the four elements around each place of an image, (groups, kernel * places) each.

    ``down`` and ``right`` are its weights, ``by_row`` and ``by_column`` their slopes.
    """

    place: AnyArray
    down: AnyArray
    right: AnyArray
    by_row: AnyArray
    by_column: AnyArray


def samples(params: DeformableParams, shape: Shape, offset: AnyArray) -> list[CornerSample]:
    """The four elements around each place of one image of ``shape`` (channels, height, width).

    Args:
        params: the layer's parameters.
        shape: of the bottom, with the batch.
        offset: of the image, (2 * groups * kernel, height, width) of the top.
    """
    axes = convolution_axes(params.convolution, shape)
    taps = axes[0].kernel * axes[1].kernel
    moved = offset.reshape(params.groups, taps, 2, -1).astype(np.float64)
    bases = np.meshgrid(*(np.arange(a.kernel) * a.dilation for a in axes), indexing="ij")
    starts = np.meshgrid(*(np.arange(a.out) * a.stride - a.pad for a in axes), indexing="ij")
    at = [bases[i].reshape(-1, 1) + starts[i].reshape(-1) + moved[:, :, i] for i in (0, 1)]
    inside = np.logical_and.reduce([(at[i] >= 0) & (at[i] < axes[i].size) for i in (0, 1)])
    sides = [_sides(at[i], axes[i].size) for i in (0, 1)]
    made = []
    for row, down, by_row in sides[0]:
        for column, right, by_column in sides[1]:
            place = np.where(inside, row * axes[1].size + column, 0)
            numbers = (np.where(inside, a, 0) for a in (down, right, by_row, by_column))
            made.append(CornerSample(*(a.reshape(params.groups, -1) for a in (place, *numbers))))
    return made


def _sides(at: AnyArray, size: int) -> list[tuple[AnyArray, AnyArray, AnyArray]]:
    """The elements before and behind places along an axis: index, weight and its slope."""
    low = np.clip(np.floor(at), 0, size - 1).astype(np.int64)
    last = low >= size - 1
    part = np.where(last, 0, at - low)
    slope = np.where(last, 0.0, 1.0)
    return [(low, 1 - part, -slope), (np.minimum(low + 1, size - 1), part, slope)]


def taken(params: DeformableParams, image: AnyArray, sample: CornerSample) -> AnyArray:
    """An image's elements at a sample, (groups, channels of a group, kernel * places)."""
    flat = image.reshape(params.groups, image.shape[0] // params.groups, -1)
    found: AnyArray = np.take_along_axis(flat, sample.place[:, None], axis=2)
    return found


def deformed_columns(params: DeformableParams, image: AnyArray, offset: AnyArray) -> AnyArray:
    """An image's columns for the product with the weights: (group, channels * kernel, places)."""
    shape = (1, *image.shape)
    total: AnyArray = np.zeros(())
    for sample in samples(params, shape, offset):
        total = total + (sample.down * sample.right)[:, None] * taken(params, image, sample)
    places = offset.shape[1] * offset.shape[2]
    return total.reshape(params.convolution.group, -1, places)


def _convolve(params: DeformableParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, offset = (np.asarray(array) for array in inputs)
    own = params.convolution
    matrix = np.asarray(weights[0]).reshape(own.group, own.num_output // own.group, -1)
    (shape,) = _shape(params, [data.shape, offset.shape])
    top = np.empty(shape, data.dtype)
    for at in range(len(data)):
        columns = deformed_columns(params, data[at], offset[at])
        top[at] = (matrix @ columns).reshape(shape[1:])
    return (top + np.asarray(weights[1]).reshape(1, -1, 1, 1) if own.bias else top,)


DEFORMABLE_CONVOLUTION = OpDef(
    name="DeformableConvolution",
    arity=Arity((2, 2), (1, 1)),
    params=_parse,
    shape=_shape,
    weights=_weights,
    cost=_cost,
    window=_window,
    memory=_memory,
    reference=_convolve,
    family="convolution",
    host=True,
)

OPS = (DEFORMABLE_CONVOLUTION,)
