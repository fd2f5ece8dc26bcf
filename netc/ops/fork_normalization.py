"""Normalising layers of forks: Normalize and BN.

Normalize is SSD's where ``norm_param`` is written; else that of happynear/caffe-windows, which has
no weights.

BN is two layers of one name, told apart by their fields. With ``scale_filler``, ``shift_filler`` or
``bn_mode`` it is the one of SegNet and DecoupledNet: two parameters, and the batch's own statistics
in both phases, or none by ``bn_mode: INFERENCE``. With ``slope_filler``, ``bias_filler``,
``momentum``, ``eps`` or ``frozen`` it is the one of the video and PSPNet forks: four parameters, of
which two are running averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netc.ir.types import Dims, Shape, count, dims, show
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes, per_channel
from netc.ops.cost import per_output
from netc.ops.define import (
    POINTWISE,
    Affine,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    Window,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ONE, CONSTANT_ZERO, Filler, parse_filler
from netc.ops.normalization import batch_statistics, normalized
from netc.ops.numbers import conflict
from netc.ops.role import Role
from netc.schema.message import Message

_WHOLE = Window(whole=True)


@dataclass(frozen=True, slots=True)
class NormalizeParams:
    """Each item divided by its Euclidean norm, times a trained scale.

    Args:
        across_spatial: one norm an item; else one at each place, over the channels.
        scaled: whether there is a scale at all.
        channel_shared: one scale for all channels, not one for each.
        eps: added to the sum of squares.
        filler: of the scale.
    """

    across_spatial: bool = True
    scaled: bool = True
    channel_shared: bool = True
    eps: float = 1e-10
    filler: Filler = CONSTANT_ONE


def _parse_normalize(layer: Message, context: LayerContext) -> NormalizeParams:
    if not layer.has("norm_param"):
        return _parse_plain(layer)
    message = reject_unknown_fields(
        layer.get("norm_param"),
        *("across_spatial", "scale_filler", "channel_shared", "eps", "fix_scale"),
    )
    filler = parse_filler(message.get("scale_filler")) if message.has("scale_filler") else None
    return NormalizeParams(
        message.get("across_spatial"),
        True,
        message.get("channel_shared"),
        message.get("eps"),
        filler or CONSTANT_ONE,
    )


def _parse_plain(layer: Message) -> NormalizeParams:
    for name in ("normalize_param", "softmax_param"):
        if name in layer.type.fields:
            message = reject_unknown_fields(layer.get(name), "normalize_type", "fix_gradient")
            kind = message.get("normalize_type") if message.has("normalize_type") else "L2"
            if kind != "L2":
                raise message.error(
                    "normalize_type",
                    "unsupported-value",
                    f"`normalize_type` {kind} is not one that netc computes",
                    "use L2",
                )
    return NormalizeParams(scaled=False, eps=0.0)


def _normalize_shape(params: NormalizeParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    need_axes(shape, 2, "Normalize")
    if not params.scaled and count(shape[2:]) != 1:
        raise ShapeError(
            f"Normalize without `norm_param` means different things in different forks at the "
            f"{show(shape[2:])} places of {show(shape)}",
            help=("write `norm_param { across_spatial: true }` or `false`",),
        )
    return (shape,)


def _normalize_weights(params: NormalizeParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    if not params.scaled:
        return ()
    return (WeightSpec(() if params.channel_shared else (inputs[0][1],), params.filler),)


def _normalize(params: NormalizeParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """x / sqrt(sum of squares + eps) * scale (normalize_layer.cpp of weiliu89/caffe)."""
    (x,) = inputs
    axes = tuple(range(1, x.ndim)) if params.across_spatial else (1,)
    with np.errstate(all="ignore"):
        squares = (x * x).sum(axis=axes, keepdims=True) + np.float32(params.eps)
        y = x / namespace(x).sqrt(squares)
        return (y * per_channel(weights[0], x.ndim) if params.scaled else y,)


def _normalize_window(
    params: NormalizeParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return _WHOLE if params.across_spatial and len(inputs[0]) > 2 else POINTWISE


NORMALIZE = OpDef(
    name="Normalize",
    arity=ONE_TO_ONE,
    params=_parse_normalize,
    shape=_normalize_shape,
    weights=_normalize_weights,
    cost=per_output(4),
    window=_normalize_window,
    reference=_normalize,
    in_place=True,
    family="normalization",
    role=Role.CHANNEL_VECTORS,
)


@dataclass(frozen=True, slots=True)
class BatchwiseBNParams:
    """SegNet's BN: scale * x + shift, of x normalised by its batch unless ``inference``.

    ``tops`` beyond the first give the batch's mean and variance.
    """

    inference: bool = False
    tops: int = 1
    fillers: tuple[Filler, Filler] = (CONSTANT_ZERO, CONSTANT_ZERO)


@dataclass(frozen=True, slots=True)
class RunningBNParams:
    """PSPNet's BN: slope * x + bias, of x normalised by running averages if ``stored``.

    A ``frozen`` one is so in training too, and passes no gradient to its slope and bias.
    """

    stored: bool = True
    momentum: float = 0.9
    eps: float = 1e-5
    fillers: tuple[Filler, Filler] = (CONSTANT_ZERO, CONSTANT_ZERO)
    variance_filler: Filler = CONSTANT_ZERO
    frozen: bool = False


BNParams = BatchwiseBNParams | RunningBNParams

_BATCHWISE = ("scale_filler", "shift_filler", "bn_mode")
_RUNNING = ("slope_filler", "bias_filler", "momentum", "eps", "frozen")


def _parse_bn(layer: Message, context: LayerContext) -> BNParams:
    message = layer.get("bn_param")
    batchwise = [name for name in _BATCHWISE if message.has(name)]
    running = [name for name in _RUNNING if message.has(name)]
    if batchwise and running:
        raise conflict(message, running[0], batchwise[0])
    if batchwise:
        return _parse_batchwise(reject_unknown_fields(message, *_BATCHWISE), context)
    if running:
        return _parse_running(reject_unknown_fields(message, *_RUNNING), layer, context)
    reject_unknown_fields(message)
    raise layer.error(
        "bn_param" if layer.has("bn_param") else "type",
        "ambiguous-layer",
        "BN means different layers in different forks, and no field tells which",
        "SegNet's is told by `scale_filler { }`, PSPNet's by `slope_filler { }`",
    )


def _fillers(message: Message, names: tuple[str, str]) -> tuple[Filler, Filler]:
    first, second = (parse_filler(message.get(name)) for name in names)
    return first, second


def _parse_batchwise(message: Message, context: LayerContext) -> BatchwiseBNParams:
    inference = message.get("bn_mode") == "INFERENCE"
    if inference and context.tops > 1:
        raise message.error(
            "bn_mode",
            "top-count",
            f"`bn_mode: INFERENCE` takes no statistics for the {context.tops} tops that are named",
            "name one top",
        )
    fillers = _fillers(message, ("scale_filler", "shift_filler"))
    return BatchwiseBNParams(inference, context.tops, fillers)


def _parse_running(message: Message, layer: Message, context: LayerContext) -> RunningBNParams:
    if context.tops > 1:
        raise layer.error("top", "top-count", f"this BN has 1 top, and {context.tops} are named")
    frozen = message.get("frozen")
    return RunningBNParams(
        frozen or context.phase == "TEST",
        message.get("momentum"),
        message.get("eps"),
        _fillers(message, ("slope_filler", "bias_filler")),
        CONSTANT_ONE if frozen else CONSTANT_ZERO,
        frozen,
    )


def _bn_shape(params: BNParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if not 2 <= len(shape) <= len(Dims._fields):
        raise ShapeError(f"BN takes 2 to 4 axes, and the bottom is {show(shape)}")
    if isinstance(params, RunningBNParams):
        return (shape,)
    statistic = (1, shape[1], 1, 1)
    return (tuple(dims(shape)), *(statistic,) * (params.tops - 1))


def _bn_weights(params: BNParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    channels = inputs[0][1]
    shape = (1, channels, 1, 1)
    own = tuple(WeightSpec(shape, filler) for filler in params.fillers)
    if isinstance(params, BatchwiseBNParams):
        return own
    mean = WeightSpec(shape, learned=False, decay_mult=0.0)
    return (*own, mean, mean._replace(filler=params.variance_filler))


def _bn(params: BNParams, inputs: Arrays, weights: Arrays) -> Arrays:
    with np.errstate(all="ignore"):
        if isinstance(params, BatchwiseBNParams):
            return _batchwise(params, inputs[0], weights)
        return _running(params, inputs[0], weights)


BATCHWISE_EPS = 1e-9  # bn_layer.cpp of alexgkendall/caffe-segnet


def _batchwise(params: BatchwiseBNParams, x: AnyArray, weights: Arrays) -> Arrays:
    """The variance is that fork's, E[x^2] - E[x]^2, with what it loses in float32."""
    x = x.reshape(tuple(dims(x.shape)))
    scale, shift = (per_channel(weight, x.ndim) for weight in weights)
    if params.inference:
        return (scale * x + shift,)
    mean = x.mean(axis=(0, 2, 3))
    variance = (x * x).mean(axis=(0, 2, 3)) - mean * mean
    y = scale * normalized(x, mean, variance, BATCHWISE_EPS) + shift
    statistics = (mean.reshape(1, -1, 1, 1), variance.reshape(1, -1, 1, 1))
    return (y, *statistics[: params.tops - 1])


def _running(params: RunningBNParams, x: AnyArray, weights: Arrays) -> Arrays:
    slope, bias, mean, variance = weights
    if not params.stored:
        mean, variance = batch_statistics(x)
    y = normalized(x, mean, variance, params.eps)
    return (y * per_channel(slope, x.ndim) + per_channel(bias, x.ndim),)


def _train_bn(params: BNParams, inputs: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
    """The forward, and the running averages with this batch: ``momentum`` is what they keep."""
    outputs = _bn(params, inputs, weights)
    if isinstance(params, BatchwiseBNParams) or params.stored:
        return outputs, tuple(weights)
    slope, bias, mean, variance = weights
    keep = np.float32(params.momentum)
    batch = batch_statistics(inputs[0])
    new = [
        keep * old + (1 - keep) * seen.reshape(old.shape)
        for old, seen in zip((mean, variance), batch, strict=True)
    ]
    return outputs, (slope, bias, *new)


def _bn_moving(params: BNParams) -> tuple[int, ...]:
    return () if isinstance(params, BatchwiseBNParams) or params.stored else (2, 3)


def _bn_window(params: BNParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return POINTWISE if _is_affine(params) else _WHOLE


def _is_affine(params: BNParams) -> bool:
    return params.inference if isinstance(params, BatchwiseBNParams) else params.stored


def _bn_affine(params: BNParams, inputs: Sequence[Shape], weights: Arrays) -> Affine | None:
    if not _is_affine(params) or len(_bn_shape(params, inputs)[0]) != len(inputs[0]):
        return None
    vectors = [weight.reshape(-1).astype(np.float64) for weight in weights]
    if isinstance(params, BatchwiseBNParams):
        return Affine(*vectors)
    slope, bias, mean, variance = vectors
    deviation = np.sqrt(variance + params.eps)
    if not np.all(deviation > 0):
        return None
    return Affine(slope / deviation, bias - slope * mean / deviation)


BN = OpDef(
    name="BN",
    arity=Arity(bottoms=(1, 1), tops=(1, 3)),
    params=_parse_bn,
    shape=_bn_shape,
    weights=_bn_weights,
    cost=per_output(4),
    window=_bn_window,
    reference=_bn,
    train=_train_bn,
    moving=_bn_moving,
    in_place=True,
    affine=_bn_affine,
    family="normalization",
    role=Role.BATCH_NORM | Role.CHANNEL_VECTORS | Role.FINISHING,
)

OPS = (NORMALIZE, BN)
