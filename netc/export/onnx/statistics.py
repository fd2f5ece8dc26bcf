"""Rules of layers that normalise, and of those that reduce axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netc.export.onnx.writer import LayerExport, Rule
from netc.ir.graph import Array
from netc.ir.types import dims
from netc.ops.axes import aligned, per_channel
from netc.ops.batch_norm import BatchNormParams, stored_statistics
from netc.ops.forks.batch_norm import BATCHWISE_EPS, BatchwiseBNParams, RunningBNParams
from netc.ops.forks.layer_norm import LayerNormParams
from netc.ops.forks.normalize import NormalizeParams
from netc.ops.normalization import MVNParams, SoftmaxParams
from netc.ops.reduction import ReductionParams

_OTHERS = 3  # arrays of BatchNorm before those of NVIDIA's fork


def _mean(layer: LayerExport, value: str, axes: Sequence[int], keep: bool = True) -> str:
    return layer.op("ReduceMean", value, axes=list(axes), keepdims=int(keep))


def _squared(layer: LayerExport, value: str) -> str:
    return layer.op("Mul", value, value)


def _batch_norm(layer: LayerExport) -> None:
    params = layer.params_as(BatchNormParams)
    mean, variance, factor, *own = layer.arrays()
    if params.use_global_stats:
        stored = stored_statistics(mean, variance, factor)
        scale, bias = own or (np.ones_like(mean), np.zeros_like(mean))
        _stored(layer, [scale, bias, *stored], params.eps)
        return
    axes = len(layer.shape())
    normal = _by_batch(layer, layer.x, axes, params.eps)
    _scaled(layer, normal, [per_channel(array, axes) for array in own])


def _stored(layer: LayerExport, arrays: Sequence[Array], eps: float) -> None:
    """By constants; ``arrays`` are scale, bias, mean and variance."""
    names = ("scale", "bias", "mean", "variance")
    constants = [
        layer.constant(name, array.reshape(-1)) for name, array in zip(names, arrays, strict=True)
    ]
    layer.give("BatchNormalization", layer.x, *constants, epsilon=eps)


def _by_batch(layer: LayerExport, value: str, axes: int, eps: float) -> str:
    """Each channel less its mean in the batch, divided by its deviation there."""
    others = [axis for axis in range(axes) if axis != 1]
    centred = layer.op("Sub", value, _mean(layer, value, others))
    variance = _mean(layer, _squared(layer, centred), others)
    return layer.op("Div", centred, _deviation(layer, variance, eps))


def _deviation(layer: LayerExport, variance: str, eps: float) -> str:
    return layer.op("Sqrt", layer.op("Add", variance, layer.constant("eps", eps)))


def _scaled(layer: LayerExport, value: str, own: Sequence[Array]) -> None:
    """The top, by a factor and a summand where there are some."""
    if not own:
        layer.give("Identity", value)
        return
    scaled = layer.op("Mul", value, layer.constant("scale", own[0]))
    layer.give("Add", scaled, layer.constant("bias", own[1]))


def _bn(layer: LayerExport) -> None:
    params, arrays = layer.params_as(BatchwiseBNParams, RunningBNParams), layer.arrays()
    if isinstance(params, BatchwiseBNParams):
        _batchwise(layer, arrays)
    elif params.stored:
        _stored(layer, arrays, params.eps)
    else:
        axes = len(layer.shape())
        normal = _by_batch(layer, layer.x, axes, params.eps)
        _scaled(layer, normal, [per_channel(array.reshape(-1), axes) for array in arrays[:2]])


def _batchwise(layer: LayerExport, arrays: Sequence[Array]) -> None:
    """SegNet's: the variance as that fork computes it, E[x^2] - E[x]^2."""
    own = [per_channel(array.reshape(-1), 4) for array in arrays]
    x = _four_axes(layer)
    if layer.params_as(BatchwiseBNParams).inference:
        _scaled(layer, x, own)
        return
    mean = _mean(layer, x, (0, 2, 3))
    squares = _mean(layer, _squared(layer, x), (0, 2, 3))
    variance = layer.op("Sub", squares, _squared(layer, mean))
    centred = layer.op("Sub", x, mean)
    _scaled(layer, layer.op("Div", centred, _deviation(layer, variance, BATCHWISE_EPS)), own)
    for top, value in zip(range(1, len(layer.outputs)), (mean, variance), strict=False):
        layer.give("Identity", value, top=top)


def _four_axes(layer: LayerExport) -> str:
    """The bottom as number, channels, height, width."""
    shape = layer.shape()
    four = tuple(dims(shape))
    if four == shape:
        return layer.x
    return layer.reshape(layer.x, [0 if shape else 1, *four[1:]])


def _mvn(layer: LayerExport) -> None:
    """The deviation gets ``eps`` added, or the variance with ``eps_inside``."""
    params = layer.params_as(MVNParams)
    x = _four_axes(layer)
    axes = (1, 2, 3) if params.across_channels else (2, 3)
    mean = _mean(layer, x, axes)
    if not params.normalize_variance:
        layer.give("Sub", x, mean)
        return
    centred = layer.op("Sub", x, mean)
    variance = _mean(layer, _squared(layer, centred), axes)
    eps = layer.constant("eps", params.eps)
    if params.eps_inside:
        layer.give("Div", centred, layer.op("Sqrt", layer.op("Add", variance, eps)))
        return
    layer.give("Div", centred, layer.op("Add", layer.op("Sqrt", variance), eps))


def _layer_norm(layer: LayerExport) -> None:
    params = layer.params_as(LayerNormParams)
    shape = layer.shape()
    start = params.axis % len(shape)
    axes = range(start, len(shape))
    centred = layer.op("Sub", layer.x, _mean(layer, layer.x, axes))
    variance = _mean(layer, _squared(layer, centred), axes)
    normal = layer.op("Div", centred, _deviation(layer, variance, params.eps))
    _scaled(layer, normal, [aligned(array, start, len(shape)) for array in layer.arrays()])


def _normalize(layer: LayerExport) -> None:
    params, rank = layer.params_as(NormalizeParams), len(layer.shape())
    axes = range(1, rank) if params.across_spatial else (1,)
    total = layer.op("ReduceSumSquare", layer.x, axes=list(axes), keepdims=1)
    norm = _deviation(layer, total, params.eps)
    if params.scaled:
        scale = layer.constant("scale", per_channel(layer.arrays()[0], rank))
        layer.give("Mul", layer.op("Div", layer.x, norm), scale)
    else:
        layer.give("Div", layer.x, norm)


def _softmax(layer: LayerExport) -> None:
    layer.give("Softmax", layer.x, axis=layer.params_as(SoftmaxParams).axis)


_SUMS = {"ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}


def _reduction(layer: LayerExport) -> None:
    params, rank = layer.params_as(ReductionParams), len(layer.shape())
    if rank == 0:
        raise layer.refuse("its bottom is a scalar")
    axes = list(range(params.axis % rank, rank))
    if params.operation == "SUM":
        total = layer.op("ReduceSum", layer.x, layer.whole("axes", axes), keepdims=0)
    else:
        total = layer.op(_SUMS[params.operation], layer.x, axes=axes, keepdims=0)
    if params.coeff == 1:
        layer.give("Identity", total)
    else:
        layer.give("Mul", total, layer.constant("coeff", params.coeff))


RULES: Mapping[str, Rule] = {
    "BN": _bn,
    "BatchNorm": _batch_norm,
    "LayerNorm": _layer_norm,
    "MVN": _mvn,
    "Normalize": _normalize,
    "Reduction": _reduction,
    "Softmax": _softmax,
}
