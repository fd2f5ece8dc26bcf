"""Rules of activations and maps that forks of Caffe have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.export.onnx.pointwise import identity, plain
from netc.export.onnx.writer import LayerExport, Rule
from netc.ir.types import count
from netc.ops.forks.activation import HardSigmoidParams, LogSoftmaxParams, SELUParams
from netc.ops.forks.guided import InsanityParams, SeLuDropoutParams
from netc.ops.forks.maps import DarknetUpsampleParams, GRNParams, InnerDistanceParams
from netc.ops.forks.warp import TilingParams


def _mish(layer: LayerExport) -> None:
    layer.give("Mul", layer.x, layer.op("Tanh", layer.op("Softplus", layer.x)))


def _hard_swish(layer: LayerExport) -> None:
    shifted = layer.op("Add", layer.x, layer.constant("three", 3))
    gate = layer.op("Clip", shifted, layer.constant("zero", 0), layer.constant("six", 6))
    layer.give("Div", layer.op("Mul", layer.x, gate), layer.constant("six", 6))


def _hard_tanh(layer: LayerExport) -> None:
    layer.give("Clip", layer.x, layer.constant("low", -1), layer.constant("high", 1))


def _hard_sigmoid(layer: LayerExport) -> None:
    params = layer.params_as(HardSigmoidParams)
    layer.give("HardSigmoid", layer.x, alpha=params.alpha, beta=params.beta)


def _selu(layer: LayerExport) -> None:
    params = layer.params_as(SELUParams)
    layer.give("Selu", layer.x, alpha=params.alpha, gamma=params.scale)


def _log_softmax(layer: LayerExport) -> None:
    layer.give("LogSoftmax", layer.x, axis=layer.params_as(LogSoftmaxParams).axis)


def _insanity(layer: LayerExport) -> None:
    params = layer.params_as(InsanityParams)
    if params.sample:
        raise layer.refuse("in the phase TRAIN it draws at random")
    layer.give("LeakyRelu", layer.x, alpha=1 / params.mean)


def _channel_norm(layer: LayerExport) -> None:
    layer.give("ReduceL2", layer.x, axes=[1], keepdims=1)


def _grn(layer: LayerExport) -> None:
    squares = layer.op("ReduceSumSquare", layer.x, axes=[1], keepdims=1)
    bias = np.float32(layer.params_as(GRNParams).bias)
    total = layer.op("Add", squares, layer.constant("bias", bias))
    layer.give("Div", layer.x, layer.op("Sqrt", total))


def _tiling(layer: LayerExport) -> None:
    layer.give("DepthToSpace", layer.x, blocksize=layer.params_as(TilingParams).side, mode="CRD")


def _inner_distance(layer: LayerExport) -> None:
    length = count(layer.shape(), 1)
    rows = layer.reshape(layer.x, [-1, 1, length])
    (centres,) = layer.arrays()
    difference = layer.op("Sub", rows, layer.constant("centres", centres.reshape(1, -1, length)))
    kind = "ReduceL1" if layer.params_as(InnerDistanceParams).norm == "L1" else "ReduceSumSquare"
    layer.give(kind, difference, axes=[2], keepdims=0)


def _channel_scale(layer: LayerExport) -> None:
    places = layer.reshape(layer.inputs[1], [-1, 1, *layer.shape()[2:]])
    layer.give("Mul", layer.x, places)


def _darknet(layer: LayerExport) -> None:
    params = layer.params_as(DarknetUpsampleParams)
    scales = layer.constant("scales", [1, 1, params.stride, params.stride])
    layer.give(
        "Resize", layer.x, "", scales,
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def _selu_dropout(layer: LayerExport) -> None:
    if layer.params_as(SeLuDropoutParams).sample:
        raise layer.refuse("in the phase TRAIN it draws at random")
    identity(layer)


RULES: Mapping[str, Rule] = {
    "Atan": plain("Atan"),
    "Ceil": plain("Ceil"),
    "ChannelNorm": _channel_norm,
    "ChannelScale": _channel_scale,
    "Cos": plain("Cos"),
    "Floor": plain("Floor"),
    "GRN": _grn,
    "GradientScaler": identity,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "HardTanH": _hard_tanh,
    "InnerDistance": _inner_distance,
    "Insanity": _insanity,
    "LogSoftmax": _log_softmax,
    "Mish": _mish,
    "Round": plain("Round"),
    "SELU": _selu,
    "SeLU": _selu,
    "SeLu": _selu,
    "SeLuDropout": _selu_dropout,
    "Sin": plain("Sin"),
    "Softplus": plain("Softplus"),
    "Softsign": plain("Softsign"),
    "SpatialProduct": plain("Mul"),
    "Tiling": _tiling,
    "UpsampleDarknet": _darknet,
}
