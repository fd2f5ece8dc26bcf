"""Gradients of Convolution, Deconvolution, Im2col and of locally connected layers.

The gradient of a convolution by its bottom is a deconvolution of the top's gradient with the same
weights, and the other way round (base_conv_layer.cpp), where the window meets all of the bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netc.ir.graph import Node
from netc.ir.types import Shape, count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.columns import add_columns, as_images, at_least_one, window_columns
from netc.ops.convolution import BAND_ELEMENTS, CONVOLUTION, DECONVOLUTION
from netc.ops.convolution_params import (
    ConvolutionParams,
    Im2colParams,
    channel_axis,
    convolution_axes,
    deconvolution_axes,
)
from netc.ops.forks.locally_connected import LOCAL, LOCALLY_CONNECTED
from netc.ops.gradients.define import NOTHING, Build, Gradient, Reads, Saved, gradients, of
from netc.ops.im2col import IM2COL
from netc.ops.window import Axis, bands, taps

Tops = Sequence[str | None]


def _convolution_built(
    build: Build, node: Node, tops: Tops, wanted: Sequence[int]
) -> Mapping[int, str]:
    """A deconvolution, where the last windows end at the padding's end on every axis."""
    params = node.params_as(ConvolutionParams)
    shape = build.shape(node.inputs[0])
    axes = convolution_axes(params, shape)
    met = all(a.stride * (a.out - 1) + a.extent - 2 * a.pad == a.size for a in axes)
    met = met and (not build.loose(node.inputs[0]) or all(a.stride == 1 for a in axes))
    return _turned(build, node, tops, wanted, "Deconvolution") if met else {}


def _deconvolution_built(
    build: Build, node: Node, tops: Tops, wanted: Sequence[int]
) -> Mapping[int, str]:
    return _turned(build, node, tops, wanted, "Convolution")


def _turned(
    build: Build, node: Node, tops: Tops, wanted: Sequence[int], op: str
) -> Mapping[int, str]:
    params = node.params_as(ConvolutionParams)
    shape = build.shape(node.inputs[0])
    axis = channel_axis(params.axis, shape)
    back = replace(params, num_output=shape[axis], axis=axis, bias=False, depthwise=False)
    return {
        index: build.node(op, back, (top,), node.parameters[:1])[0]
        for index in wanted
        if (top := tops[index]) is not None
    }


# By the bottom


def _by_bottom(params: ConvolutionParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """columns = W^T . dy[n], added where the columns came from."""
    top, shape = tops[index], saved.shapes[index]
    axes, group = at_least_one(convolution_axes(params, shape)), params.group
    grads = as_images(top, params.axis, [axis.out for axis in axes])
    channels = shape[channel_axis(params.axis, shape)]
    kernel = tuple(axis.kernel for axis in axes)
    matrix = saved.weights[0].reshape(group, params.num_output // group, -1).swapaxes(1, 2)
    x = namespace(top).zeros((len(grads), channels, *(a.size for a in axes)), dtype=top.dtype)
    row_size = channels * count(kernel) * count(grads.shape, 3)
    for rows, met in bands(axes, row_size, BAND_ELEMENTS):
        for grad, image in zip(grads, x, strict=True):
            part = grad[:, rows]
            columns = matrix @ part.reshape(group, matrix.shape[2], -1)
            add_columns(columns.reshape(channels, *kernel, *part.shape[1:]), met, image)
    return x.reshape(shape)


_READS_WEIGHT = Reads(weights=(0,))


# By the weights


def _by_weight(params: ConvolutionParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """dW = the sum of dy[n] . columns(x[n])^T; db = the sum of dy over all but the channels."""
    arrived = [top for top in tops if top is not None]
    if index == 1:
        return _summed(params, arrived)
    parts = [
        _products(params, x, top, convolution_axes(params, x.shape))
        for x, top in zip(saved.inputs, tops, strict=True)
        if top is not None
    ]
    shape = saved.inputs[0].shape
    channels = shape[channel_axis(params.axis, shape)] // params.group
    return _added(parts).reshape(params.num_output, channels, *_kernel(params, shape))


def _by_turned_weight(
    params: ConvolutionParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    """As of the convolution that is turned around: dy in its bottom's place, x in its top's."""
    arrived = [top for top in tops if top is not None]
    if index == 1:
        return _summed(params, arrived)
    parts = [
        _products(params, top, x, deconvolution_axes(params, x.shape))
        for x, top in zip(saved.inputs, tops, strict=True)
        if top is not None
    ]
    shape = saved.inputs[0].shape
    channels, share = shape[channel_axis(params.axis, shape)], params.num_output // params.group
    return _added(parts).reshape(channels, share, *_kernel(params, shape))


def _kernel(params: ConvolutionParams, shape: Shape) -> Shape:
    spatial = shape[channel_axis(params.axis, shape) + 1 :]
    return tuple(axis.kernel for axis in params.window.axes(spatial))


def _products(
    params: ConvolutionParams, x: AnyArray, y: AnyArray, axes: tuple[Axis, ...]
) -> AnyArray:
    """The sum over images and places of y . columns(x)^T: groups x rows of y x columns."""
    axes, group = at_least_one(axes), params.group
    images = as_images(x, params.axis, [axis.size for axis in axes])
    grads = as_images(y, params.axis, [axis.out for axis in axes])
    places = tuple(axis.out for axis in axes)
    per_row = images.shape[1] * count(tuple(a.kernel for a in axes)) * count(places, 1)
    width = images.shape[1] // group * count(tuple(a.kernel for a in axes))
    total = namespace(x).zeros((group, grads.shape[1] // group, width), dtype=x.dtype)
    for rows, met in bands(axes, per_row, BAND_ELEMENTS):
        seen = (rows.stop - rows.start, *places[1:])
        for image, grad in zip(images, grads, strict=True):
            columns = window_columns(image, met, axes, seen).reshape(group, width, -1)
            total += grad[:, rows].reshape(group, total.shape[1], -1) @ columns.swapaxes(1, 2)
    return total


def _summed(params: ConvolutionParams, tops: Arrays) -> AnyArray:
    def over(top: AnyArray) -> AnyArray:
        axis = channel_axis(params.axis, top.shape)
        result: AnyArray = top.sum(axis=tuple(a for a in range(top.ndim) if a != axis))
        return result

    return _added([over(top) for top in tops])


def _added(parts: Arrays) -> AnyArray:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _reads_bottoms(params: ConvolutionParams, index: int, bottoms: int) -> Reads:
    return NOTHING if index else Reads(inputs=tuple(range(bottoms)))


# Im2col


def _im2col(params: Im2colParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each column's elements added where they came from."""
    top, shape = tops[0], saved.shapes[0]
    axes = convolution_axes(params, shape)
    channels = channel_axis(params.axis, shape)
    kernel, places = tuple(a.kernel for a in axes), tuple(a.out for a in axes)
    columns = top.reshape(-1, shape[channels], *kernel, *places)
    sizes = tuple(axis.size for axis in axes)
    x = namespace(top).zeros((len(columns), shape[channels], *sizes), dtype=top.dtype)
    for part, image in zip(columns, x, strict=True):
        add_columns(part, taps(axes), image)
    return x.reshape(shape)


# LocallyConnected and Local


_ALL = slice(None)


def _patches(params: ConvolutionParams, shape: Shape) -> tuple[tuple[Axis, ...], Shape]:
    """The axes, and the images' shape with the groups apart."""
    axes = convolution_axes(params, shape)
    channels = shape[channel_axis(params.axis, shape)] // params.group
    return axes, (-1, params.group, channels, *(axis.size for axis in axes))


def _grouped(params: ConvolutionParams, top: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    share = params.num_output // params.group
    return top.reshape(-1, params.group, share, *(axis.out for axis in axes))


def _local(params: ConvolutionParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    xp, shape = namespace(tops[0]), saved.shapes[0]
    axes, split = _patches(params, shape)
    grads = _grouped(params, tops[0], axes)
    kernel, places = tuple(a.kernel for a in axes), tuple(a.out for a in axes)
    weight: AnyArray = saved.weights[0].reshape(params.group, -1, split[2], *kernel, *places)
    x = xp.zeros((len(grads), *split[1:]), dtype=tops[0].dtype)
    for element, outputs, seen in taps(axes):
        own: tuple[slice | int, ...] = (_ALL, _ALL, _ALL, *element, *outputs)
        factor = weight[own]
        part = grads[(_ALL, _ALL, _ALL, *outputs)]
        x[(_ALL, _ALL, _ALL, *seen)] += xp.einsum("ngm...,gmc...->ngc...", part, factor)
    return x.reshape(shape)


def _local_weight(params: ConvolutionParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """In the order of LocallyConnected's weights; Local's have the same elements."""
    xp = namespace(tops[0])
    axes, split = _patches(params, saved.shapes[0])
    grads = _grouped(params, tops[0], axes)
    if index == 1:
        result: AnyArray = grads.sum(axis=0).reshape(
            params.num_output, *(axis.out for axis in axes)
        )
        return result
    kernel, places = tuple(a.kernel for a in axes), tuple(a.out for a in axes)
    images = saved.inputs[0].reshape(split)
    weight = xp.zeros((*grads.shape[1:3], split[2], *kernel, *places), dtype=grads.dtype)
    for element, outputs, seen in taps(axes):
        patch, part = images[(_ALL, _ALL, _ALL, *seen)], grads[(_ALL, _ALL, _ALL, *outputs)]
        own: tuple[slice | int, ...] = (_ALL, _ALL, _ALL, *element, *outputs)
        weight[own] = xp.einsum("ngm...,ngc...->gmc...", part, patch)
    return weight.reshape(params.num_output, *weight.shape[2:])


def _square_local_weight(
    params: ConvolutionParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    made = _local_weight(params, saved, tops, index)
    places = count(made.shape[-2:])
    if index == 1:
        return made.reshape(1, 1, params.num_output, places)
    return made.reshape(params.num_output, 1, -1, places)


GRADIENTS = gradients(
    of(
        CONVOLUTION,
        Gradient(
            _by_bottom,
            _READS_WEIGHT,
            _by_weight,
            _reads_bottoms,
            build=_convolution_built,
            paired=True,
        ),
    ),
    of(
        DECONVOLUTION,
        Gradient(
            weight=_by_turned_weight,
            weight_reads=_reads_bottoms,
            build=_deconvolution_built,
            paired=True,
        ),
    ),
    of(IM2COL, Gradient(_im2col)),
    of(LOCALLY_CONNECTED, Gradient(_local, _READS_WEIGHT, _local_weight, _reads_bottoms)),
    of(LOCAL, Gradient(_local, _READS_WEIGHT, _square_local_weight, _reads_bottoms)),
)
