"""BN of SegNet's and of PSPNet's forks: two layers of one name, told apart by their fields.

bn_layer.cpp of alexgkendall/caffe-segnet and of hszhao/PSPNet. With ``scale_filler``,
``shift_filler`` or ``bn_mode`` it is SegNet's: trained scale and shift, (1, channels, 1, 1) each,
and the batch's own statistics in both phases, or none by ``bn_mode: INFERENCE``. With
``slope_filler``, ``bias_filler``, ``momentum``, ``eps`` or ``frozen`` it is PSPNet's: slope, bias,
and running mean and variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Dims, Shape, dims, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.axes import per_channel
from netc.ops.batch_norm import batch_statistics, normalized
from netc.ops.cost import per_output
from netc.ops.define import (
    POINTWISE,
    WHOLE,
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
from netc.ops.numbers import conflict
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class BatchwiseBNParams:
    """SegNet's BN: ``scale * x + shift``, x being normalised by its batch unless ``inference``.

    ``tops`` beyond the first give the batch's mean and variance, (1, channels, 1, 1) each.
    ``fillers`` are those of scale and shift.
    """

    inference: bool = False
    tops: int = 1
    fillers: tuple[Filler, Filler] = (CONSTANT_ZERO, CONSTANT_ZERO)


@dataclass(frozen=True, slots=True)
class RunningBNParams:
    """PSPNet's BN: ``slope * x + bias``, x being normalised.

    Args:
        stored: by the running averages, else by the batch's own mean and variance.
        momentum: factor of the running averages when a batch's are added.
        eps: added to the variance.
        fillers: of slope and bias.
        variance_filler: of the running variance.
        frozen: by the running averages in training too, and slope and bias get no gradient.
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


VOLUME_AXES = 5  # pseudo-3-D nets have time between channels and height


def _bn_shape(params: BNParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    limit = VOLUME_AXES if isinstance(params, RunningBNParams) else len(Dims._fields)
    if not 2 <= len(shape) <= limit:
        raise ShapeError(f"BN takes 2 to {limit} axes, and the bottom is {show(shape)}")
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
    return POINTWISE if _is_affine(params) else WHOLE


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
    role=Role.BATCH_NORM | Role.WIDE_ARRAYS | Role.CHANNEL_VECTORS | Role.FINISHING,
)

OPS = (BN,)
OTHER_NAMES = {"SyncBN": BN}  # yjxiong's, over all ranks of a run; over one it is BN
