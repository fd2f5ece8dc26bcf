"""Gradients of BatchNorm, BN, MVN, Softmax, Normalize, LayerNorm and LRN.

As the ``Backward_cpu`` of BVLC's batch_norm_layer.cpp, mvn_layer.cpp, softmax_layer.cpp and
lrn_layer.cpp, and of the forks' layers.
"""

from __future__ import annotations

from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ir.types import dims
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import aligned, axis_in, per_channel
from netc.ops.batch_norm import BATCH_NORM, BatchNormParams, stored_statistics
from netc.ops.forks.batch_norm import (
    BATCHWISE_EPS,
    BN,
    BatchwiseBNParams,
    BNParams,
    RunningBNParams,
)
from netc.ops.forks.layer_norm import LAYER_NORM, LayerNormParams
from netc.ops.forks.normalize import NORMALIZE, NormalizeParams
from netc.ops.gradients.define import INPUT, NOTHING, OUTPUT, Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.pooling import spread
from netc.ops.lrn import LRN, LRNParams, lrn_axes, lrn_scale
from netc.ops.normalization import (
    MVN,
    SOFTMAX,
    SOFTMAX_OF_FIRST,
    MVNParams,
    SoftmaxParams,
    mvn_deviation,
)
from netc.ops.pooling_values import areas

_STATISTICS = 3  # BatchNorm's arrays before those of NVIDIA's fork


class Normalized(NamedTuple):
    """A normalised array, and the deviation it was divided by, which broadcasts over it."""

    value: AnyArray
    deviation: AnyArray


def _by_own(x: AnyArray, axes: tuple[int, ...], eps: float) -> Normalized:
    """x by its own mean and variance over some axes."""
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    deviation = namespace(x).sqrt(variance + x.dtype.type(eps))
    return Normalized(centred / deviation, deviation)


def _through_own(top: AnyArray, made: Normalized, axes: tuple[int, ...]) -> AnyArray:
    """(dy - mean(dy) - y mean(dy y)) / deviation (batch_norm_layer.cpp)."""
    mean = top.mean(axis=axes, keepdims=True)
    along = (top * made.value).mean(axis=axes, keepdims=True)
    result: AnyArray = (top - mean - made.value * along) / made.deviation
    return result


def _over_channels(x: AnyArray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


# BatchNorm


def _batch_norm(params: BatchNormParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    top = tops[0]
    if params.fillers:
        top = top * per_channel(saved.weights[_STATISTICS], top.ndim)
    if not params.use_global_stats:
        axes = _over_channels(top)
        return _through_own(top, _by_own(saved.inputs[0], axes, params.eps), axes)
    _, variance = stored_statistics(saved.weights[1], *saved.weights[1:_STATISTICS])
    deviation = namespace(top).sqrt(variance + top.dtype.type(params.eps))
    return top / per_channel(deviation, top.ndim)


def _reads_batch_norm(params: BatchNormParams, index: int, bottoms: int) -> Reads:
    scale = (_STATISTICS,) if params.fillers else ()
    if params.use_global_stats:
        return Reads(weights=(1, 2, *scale))
    return Reads(inputs=(0,), weights=scale)


def _batch_norm_own(params: BatchNormParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By the scale and the bias of NVIDIA's fork."""
    axes = _over_channels(tops[0])
    if index > _STATISTICS:
        result: AnyArray = tops[0].sum(axis=axes)
        return result
    x = saved.inputs[0]
    if not params.use_global_stats:
        result = (tops[0] * _by_own(x, axes, params.eps).value).sum(axis=axes)
        return result
    mean, variance = stored_statistics(*saved.weights[:_STATISTICS])
    result = (tops[0] * _stored(x, mean, variance, params.eps)).sum(axis=axes)
    return result


def _stored(x: AnyArray, mean: AnyArray, variance: AnyArray, eps: float) -> AnyArray:
    deviation = namespace(x).sqrt(variance + x.dtype.type(eps))
    return (x - per_channel(mean, x.ndim)) / per_channel(deviation, x.ndim)


def _reads_own(params: BatchNormParams, index: int, bottoms: int) -> Reads:
    if index > _STATISTICS:
        return NOTHING
    return Reads(inputs=(0,), weights=(0, 1, 2) if params.use_global_stats else ())


# BN of SegNet and of PSPNet


def _bn(params: BNParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    shape = saved.shapes[0]
    scale = saved.weights[0]
    if isinstance(params, BatchwiseBNParams):
        top = tops[0] * per_channel(scale, 4)
        if params.inference:
            return top.reshape(shape)
        made = _by_own(saved.inputs[0].reshape(tuple(dims(shape))), (0, 2, 3), BATCHWISE_EPS)
        return _through_own(top, made, (0, 2, 3)).reshape(shape)
    top = tops[0] * per_channel(scale, len(shape))
    axes = _over_channels(top)
    if not params.stored:
        return _through_own(top, _by_own(saved.inputs[0], axes, params.eps), axes)
    deviation = namespace(top).sqrt(saved.weights[3] + top.dtype.type(params.eps))
    deviation = per_channel(deviation, top.ndim)
    if params.frozen:
        return top / deviation
    value = _stored(saved.inputs[0], saved.weights[2], saved.weights[3], params.eps)
    return _through_own(top, Normalized(value, deviation), axes)


def _bn_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(BatchwiseBNParams, RunningBNParams)
    if isinstance(params, BatchwiseBNParams) or not params.stored:
        return None
    if params.frozen:
        return "PSPNet's frozen BN gives its slope and bias no gradient"
    return "PSPNet's BN takes stored averages for the batch's own in its gradient"


def _reads_bn(params: BNParams, index: int, bottoms: int) -> Reads:
    if isinstance(params, BatchwiseBNParams):
        return Reads(inputs=() if params.inference else (0,), weights=(0,))
    if params.frozen:
        return Reads(weights=(0, 3))
    return Reads(inputs=(0,), weights=(0, 2, 3) if params.stored else (0,))


def _bn_own(params: BNParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By the scale the sum of dy times what was scaled, by the shift the sum of dy."""
    top = tops[0]
    axes = _over_channels(top)
    if not isinstance(params, BatchwiseBNParams) and params.frozen:
        top = top * 0
    terms = top if index else top * _scaled_value(params, saved)
    result: AnyArray = terms.sum(axis=axes).reshape(1, -1, 1, 1)
    return result


def _scaled_value(params: BNParams, saved: Saved) -> AnyArray:
    x = saved.inputs[0]
    if isinstance(params, BatchwiseBNParams):
        x = x.reshape(tuple(dims(x.shape)))
        return x if params.inference else _by_own(x, (0, 2, 3), BATCHWISE_EPS).value
    if params.stored:
        return _stored(x, saved.weights[2], saved.weights[3], params.eps)
    return _by_own(x, _over_channels(x), params.eps).value


def _reads_bn_own(params: BNParams, index: int, bottoms: int) -> Reads:
    if index:
        return NOTHING
    stored = not isinstance(params, BatchwiseBNParams) and params.stored
    return Reads(inputs=(0,), weights=(2, 3) if stored else ())


# MVN, Softmax


def _mvn(params: MVNParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """As mvn_layer.cpp has it: ``eps`` beside the deviation is left out of its derivative.

    The normalised values are read from the top, as a layer in place has left them.
    """
    x, top = saved.inputs[0], tops[0]
    axes = (1, 2, 3) if params.across_channels else (2, 3)
    if not params.normalize_variance:
        result: AnyArray = (top - top.mean(axis=axes, keepdims=True)).reshape(saved.shapes[0])
        return result
    x = x.reshape(tuple(dims(x.shape)))
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    deviation = mvn_deviation(params, variance)
    left = saved.outputs[0]
    value = centred / deviation if left is None else left.reshape(x.shape)
    return _through_own(top, Normalized(value, deviation), axes).reshape(saved.shapes[0])


def _mvn_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(MVNParams)
    if not params.normalize_variance or params.eps < 1e-6 or params.eps_inside:
        return None
    return "Caffe leaves `eps` out of the derivative of the deviation"


def _reads_mvn(params: MVNParams, index: int, bottoms: int) -> Reads:
    return INPUT if params.normalize_variance else NOTHING


def _softmax(params: SoftmaxParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    y, top = saved.outputs[0], tops[0]
    result: AnyArray = (top - (top * y).sum(axis=params.axis, keepdims=True)) * y
    return result


# Normalize


def _normalize(params: NormalizeParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(dy - y sum(dy y)) / norm * scale (normalize_layer.cpp of weiliu89/caffe).

    The sum is one without the scale, as there; with a scale for each channel that is no derivative.
    """
    x, top = saved.inputs[0], tops[0]
    axes = tuple(range(1, x.ndim)) if params.across_spatial else (1,)
    norm = _norm(params, x, axes)
    y = x / norm
    slope = (top - y * (top * y).sum(axis=axes, keepdims=True)) / norm
    result: AnyArray = slope * per_channel(saved.weights[0], x.ndim) if params.scaled else slope
    return result


def _norm(params: NormalizeParams, x: AnyArray, axes: tuple[int, ...]) -> AnyArray:
    squares = (x * x).sum(axis=axes, keepdims=True)
    return namespace(x).sqrt(squares + x.dtype.type(params.eps))


def _normalize_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(NormalizeParams)
    if not params.scaled or params.channel_shared:
        return None
    return "Caffe leaves the channels' scales out of a sum over channels"


def _reads_normalize(params: NormalizeParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(0,), weights=(0,) if params.scaled else ())


def _normalize_scale(params: NormalizeParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    x = saved.inputs[0]
    axes = tuple(range(1, x.ndim)) if params.across_spatial else (1,)
    terms = tops[0] * (x / _norm(params, x, axes))
    if params.channel_shared:
        result: AnyArray = terms.sum().reshape(())
        return result
    result = terms.sum(axis=_over_channels(x))
    return result


# LayerNorm


def _layer_norm(params: LayerNormParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    x, top = saved.inputs[0], tops[0]
    start = axis_in(x.shape, params.axis, "layer_norm_param.axis")
    if params.affine:
        top = top * aligned(saved.weights[0], start, x.ndim)
    axes = tuple(range(start, x.ndim))
    return _through_own(top, _by_own(x, axes, params.eps), axes)


def _reads_layer_norm(params: LayerNormParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(0,), weights=(0,) if params.affine else ())


def _layer_norm_own(params: LayerNormParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    top = tops[0]
    start = axis_in(top.shape, params.axis, "layer_norm_param.axis")
    if index == 0:
        axes = tuple(range(start, top.ndim))
        top = top * _by_own(saved.inputs[0], axes, params.eps).value
    result: AnyArray = top.sum(axis=tuple(range(start)))
    return result


def _reads_layer_norm_own(params: LayerNormParams, index: int, bottoms: int) -> Reads:
    return NOTHING if index else INPUT


# LRN


def _lrn(params: LRNParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """y = x s^-b, s = k + a * the sum of squares around: dx = dy s^-b - 2ab x sum(dy x s^(-b-1)).

    The sum runs over all elements whose neighbourhood x is in (lrn_layer.cpp). Across channels y is
    read from the top, as a layer in place has left it.
    """
    x, top = saved.inputs[0], tops[0]
    kind = x.dtype.type
    axes, scale = lrn_axes(params, x.shape), lrn_scale(params, x)
    power = scale ** kind(-params.beta)
    left = saved.outputs[0] if params.across else None
    share = top * (x * power if left is None else left) / scale
    if params.across:
        around = namespace(x).zeros_like(x)
        for tap in axes[0].taps():
            around[:, tap.inputs] += share[:, tap.outputs]
        factor = kind(params.alpha) / kind(params.local_size)
    else:
        around = spread(share / areas(axes, x), axes, x.shape)
        factor = kind(params.alpha)
    result: AnyArray = top * power - 2 * factor * kind(params.beta) * x * around
    return result


GRADIENTS = gradients(
    of(BATCH_NORM, Gradient(_batch_norm, _reads_batch_norm, _batch_norm_own, _reads_own)),
    of(BN, Gradient(_bn, _reads_bn, _bn_own, _reads_bn_own, tops=(0,), inexact=_bn_inexact)),
    of(MVN, Gradient(_mvn, _reads_mvn, reads_left=True, inexact=_mvn_inexact)),
    of(SOFTMAX, Gradient(_softmax, OUTPUT, reads_left=True)),
    of(SOFTMAX_OF_FIRST, Gradient(_softmax, OUTPUT, reads_left=True, ignored=(1,))),
    of(
        NORMALIZE,
        Gradient(_normalize, _reads_normalize, _normalize_scale, INPUT, inexact=_normalize_inexact),
    ),
    of(
        LAYER_NORM,
        Gradient(_layer_norm, _reads_layer_norm, _layer_norm_own, _reads_layer_norm_own),
    ),
    of(LRN, Gradient(_lrn, INPUT, reads_left=True)),
)
