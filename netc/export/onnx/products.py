"""Rules of convolutions and of products with a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netc.export.onnx.writer import LayerExport, Rule
from netc.ir.types import count
from netc.ops.convolution_params import (
    ConvolutionParams,
    Im2colParams,
    channel_axis,
    convolution_axes,
    deconvolution_axes,
)
from netc.ops.linear import InnerProductParams
from netc.ops.window import Axis


def pads(axes: Sequence[Axis]) -> list[int]:
    """Padding before and after that makes exactly the shapes that Caffe makes."""
    after = [
        max(0, (axis.out - 1) * axis.stride + axis.extent - axis.size - axis.pad) for axis in axes
    ]
    return [axis.pad for axis in axes] + after


def _slid(axes: Sequence[Axis], padding: Sequence[int]) -> dict[str, Any]:
    return {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "dilations": [axis.dilation for axis in axes],
        "pads": list(padding),
    }


def _convolution(layer: LayerExport) -> None:
    axes = convolution_axes(layer.params_as(ConvolutionParams), layer.shape()) or (Axis(1, 1),)
    _each_bottom(layer, "Conv", **_slid(axes, pads(axes)))


def _deconvolution(layer: LayerExport) -> None:
    axes = deconvolution_axes(layer.params_as(ConvolutionParams), layer.shape()) or (Axis(1, 1),)
    both = [axis.pad for axis in axes] * 2
    _each_bottom(layer, "ConvTranspose", **_slid(axes, both))


def _each_bottom(layer: LayerExport, kind: str, **attributes: object) -> None:
    """The product for each bottom, with a batch of one axis and at least one spatial one."""
    shape = layer.shape()
    params = layer.params_as(ConvolutionParams)
    channels = channel_axis(params.axis, shape)
    spatial = shape[channels + 1 :]
    weights = layer.weights()
    if not spatial:
        matrix = layer.arrays()[0]
        weights[0] = layer.constant("weight", matrix.reshape(*matrix.shape, 1))
    plain = channels == 1 and spatial
    for top, value in enumerate(layer.inputs):
        if plain:
            layer.give(kind, value, *weights, top=top, group=params.group, **attributes)
            continue
        image = _image(layer, value, channels)
        made = layer.op(kind, image, *weights, group=params.group, **attributes)
        layer.give_reshaped(made, top)


def _image(layer: LayerExport, value: str, channels: int) -> str:
    """A bottom as number x channels x spatial sizes."""
    shape = layer.shape()
    return layer.reshape(value, [-1, shape[channels], *(shape[channels + 1 :] or (1,))])


# Windows as columns


def _columns(layer: LayerExport, value: str, channels: int, axes: Sequence[Axis]) -> str:
    """What each place of the window sees: number x (channels x kernel) x places."""
    kernel = tuple(axis.kernel for axis in axes)
    picked = np.eye(count(kernel), dtype=np.float32).reshape(-1, 1, *kernel)
    weight = layer.constant("window", np.tile(picked, (channels, *(1,) * (len(axes) + 1))))
    return layer.op("Conv", value, weight, group=channels, **_slid(axes, pads(axes)))


def _im2col(layer: LayerExport) -> None:
    params = layer.params_as(Im2colParams)
    shape = layer.shape()
    channels = channel_axis(params.axis, shape)
    image = layer.x if channels == 1 else _image(layer, layer.x, channels)
    axes = convolution_axes(params, shape)
    layer.give_reshaped(_columns(layer, image, shape[channels], axes))


def _locally_connected(layer: LayerExport) -> None:
    """A product of its own at each place: (group, place) matrices by one MatMul."""
    params, shape = layer.params_as(ConvolutionParams), layer.shape()
    channels = channel_axis(params.axis, shape)
    axes = convolution_axes(params, shape)
    if not axes:
        raise layer.refuse("it has no spatial axis")
    weights, *bias = layer.arrays()
    group, places = params.group, count(tuple(axis.out for axis in axes))
    share = params.num_output // group
    matrices = weights.reshape(group, share, -1, places).transpose(0, 3, 2, 1)
    image = layer.x if channels == 1 else _image(layer, layer.x, channels)
    columns = _columns(layer, image, shape[channels], axes)
    seen = layer.reshape(columns, [-1, group, matrices.shape[2], places])
    by_place = layer.op("Transpose", seen, perm=[1, 3, 0, 2])
    made = layer.op("MatMul", by_place, layer.constant("weight", np.ascontiguousarray(matrices)))
    made = layer.op("Transpose", made, perm=[2, 0, 3, 1])
    if bias:
        flat = layer.constant("bias", bias[0].reshape(group, share, places))
        made = layer.op("Add", made, flat)
    layer.give_reshaped(made)


# Matrices


def _inner_product(layer: LayerExport) -> None:
    params = layer.params_as(InnerProductParams)
    shape = layer.shape()
    axis = params.axis % len(shape)
    plain = len(shape) == 2 and axis == 1
    flat = layer.x if plain else layer.op("Flatten", layer.x, axis=axis)
    transposed = 0 if params.transpose else 1
    if axis == 1:
        layer.give("Gemm", flat, *layer.weights(), transB=transposed)
    else:
        layer.give_reshaped(layer.op("Gemm", flat, *layer.weights(), transB=transposed))


def _embed(layer: LayerExport) -> None:
    from onnx import TensorProto

    index = layer.op("Cast", layer.x, to=TensorProto.INT64)
    vectors, *bias = layer.weights()
    if bias:
        layer.give("Add", layer.op("Gather", vectors, index), bias[0])
    else:
        layer.give("Gather", vectors, index)


RULES: Mapping[str, Rule] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "Embed": _embed,
    "Im2col": _im2col,
    "InnerProduct": _inner_product,
    "Local": _locally_connected,
    "LocallyConnected": _locally_connected,
}
