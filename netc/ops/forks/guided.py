"""Layers whose forward or backward pass depends on chance, another blob or the iteration.

GuidedDropout (Xiao et al. 2016, guided_dropout_layer.cpp of Cysu's Caffe), Insanity
(insanity_layer.cpp of happynear/caffe-windows, the randomised ReLU of Xu et al. 2015), SeLuDropout
(selu_dropout_layer.cpp of soeaver's Caffe), and GradientScaler (gradient_scaler_layer.cpp of
ddtm/caffe, the gradient reversal of Ganin and Lempitsky 2015, and of yuhuayc/da-faster-rcnn, which
has one factor).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE, sigmoid
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, same_shape
from netc.ops.dropout import seed_of
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.random import iteration_of, layer_number, uniform
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class GuidedDropoutParams:
    """Which channels of an image are kept, by the second bottom, the guidance (num, channels).

    Args:
        chance: in TRAIN a channel is kept with probability sigmoid(guidance * ``scaler``), in TEST
            always ("stochastic"); else where its guidance is above ``threshold`` ("deterministic").
        threshold: of the guidance.
        scaler: factor of the guidance.
        active: whether channels are dropped in this phase.
        seed: the layer's number, for the generator.
    """

    chance: bool
    threshold: float
    scaler: float
    active: bool
    seed: int


def _parse_guided(layer: Message, context: LayerContext) -> GuidedDropoutParams:
    p = reject_unknown_fields(
        layer.get("guided_dropout_param"), "type", "guidance_threshold", "sigmoid_scaler"
    )
    kind = p.get("type")
    if kind not in ("deterministic", "stochastic"):
        raise p.error(
            "type" if p.has("type") else None,
            "unsupported-value",
            f"`type` must be deterministic or stochastic, it is `{kind}`",
        )
    chance = kind == "stochastic"
    active = not chance or context.phase == "TRAIN"
    number = layer_number(layer.get("name"))
    limits = p.get("guidance_threshold"), p.get("sigmoid_scaler")
    return GuidedDropoutParams(chance, *limits, active, number)


def _guided_shape(params: GuidedDropoutParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, guidance = inputs[:2]
    flat = (*guidance, 1, 1)[:4]
    if len(data) < 2 or flat != (*data[:2], 1, 1):
        raise ShapeError(
            f"{show(data)} needs a guidance for each channel of each image, it is {show(guidance)}"
        )
    return (data,)


def guided_factor(
    params: GuidedDropoutParams, data: AnyArray, guidance: AnyArray, key: AnyArray | None
) -> AnyArray:
    """What ``data`` is multiplied by, one number for each channel of each image, to broadcast.

    Kept channels are divided by the share of channels that is kept, or that is kept on average.
    """
    xp = namespace(data)
    guidance = guidance.reshape(data.shape[:2])
    if not params.active:
        factor = xp.ones_like(guidance)
    elif params.chance:
        share = sigmoid(guidance * data.dtype.type(params.scaler))
        drawn = uniform(data, guidance.shape, params.seed, key)
        factor = _spread((drawn <= share).astype(data.dtype), share)
    else:
        stays = (guidance > params.threshold).astype(data.dtype)
        factor = _spread(stays, stays)
    return factor.reshape(*data.shape[:2], *(1,) * (data.ndim - 2))


def _spread(mask: AnyArray, share: AnyArray) -> AnyArray:
    xp = namespace(mask)
    total = share.sum(axis=1, keepdims=True)
    return mask * xp.where(total > 0, mask.shape[1] / xp.where(total > 0, total, 1), 1)


def _guided(params: GuidedDropoutParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, guidance, *key = inputs
    factor = guided_factor(params, data, guidance, key[0] if key else None)
    return ((data * factor).astype(data.dtype),)


GUIDED_DROPOUT = OpDef(
    name="GuidedDropout",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_guided,
    shape=_guided_shape,
    cost=per_output(1),
    reference=_guided,
    draws=lambda params: params.chance and params.active,
    in_place=True,
    family="activation",
)


@dataclass(frozen=True, slots=True)
class InsanityParams:
    """Negative elements are divided by a number.

    In TRAIN (``sample``) it is drawn for each element between ``low`` and ``high``; else it is
    ``mean``, the logarithmic mean of both.
    """

    low: float
    high: float
    mean: float
    sample: bool
    seed: int


def _parse_insanity(layer: Message, context: LayerContext) -> InsanityParams:
    p = reject_unknown_fields(layer.get("insanity_param"), "lb", "ub")
    low, high = p.get("lb"), p.get("ub")
    if not high > low or low * high == 0:
        raise bad_value(p, "ub" if p.has("ub") else "lb", f"must be above `lb` {low:g}, none of 0")
    apart = math.log(abs(high)) - math.log(abs(low))
    mean = (high - low) / apart if apart else math.inf
    return InsanityParams(low, high, mean, context.phase == "TRAIN", seed_of(layer, p))


def insanity_factor(params: InsanityParams, x: AnyArray, key: AnyArray | None) -> AnyArray:
    """What the negative elements of ``x`` are multiplied by: an array of its shape, or a scalar."""
    if not params.sample:
        result: AnyArray = x.dtype.type(1 / params.mean)
        return result
    drawn = uniform(x, x.shape, params.seed, key)
    with np.errstate(all="ignore"):
        return (1 / (params.low + (params.high - params.low) * drawn)).astype(x.dtype)


def _insanity(params: InsanityParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, *key = inputs
    xp = namespace(x)
    factor = insanity_factor(params, x, key[0] if key else None)
    return (xp.maximum(x, 0) + xp.minimum(x, 0) * factor,)


def _two_axes(params: InsanityParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "Insanity")
    return (inputs[0],)


INSANITY = OpDef(
    name="Insanity",
    arity=ONE_TO_ONE,
    params=_parse_insanity,
    shape=_two_axes,
    cost=per_output(3),
    reference=_insanity,
    draws=lambda params: params.sample,
    in_place=True,
    family="activation",
)


@dataclass(frozen=True, slots=True)
class GradientScalerParams:
    """What the gradient is multiplied by; the forward pass copies its bottom.

    Args:
        fixed: the factor, where the text has ``scale_factor``; None where it depends on the
            iteration i: -(2 h / (1 + exp(-``alpha`` min(1, i / ``most``))) - h + ``low``), with h =
            ``high`` - ``low``.
        low: magnitude of the factor at iteration 0.
        high: its limit.
        alpha: how fast it rises.
        most: the iteration at which it stops rising (``max_iter``).
    """

    fixed: float | None
    low: float = 0.0
    high: float = 1.0
    alpha: float = 10.0
    most: float = 1.0


def _parse_scaler(layer: Message, context: LayerContext) -> GradientScalerParams:
    names = ("lower_bound", "upper_bound", "alpha", "max_iter", "scale_factor")
    p = reject_unknown_fields(layer.get("gradient_scaler_param"), *names)
    if p.has("scale_factor"):
        return GradientScalerParams(p.get("scale_factor"))
    if not p.get("max_iter") >= 1:
        raise bad_value(p, "max_iter", "must be at least 1")
    low, high = p.get("lower_bound"), p.get("upper_bound")
    if not low <= high:
        raise bad_value(p, "upper_bound", f"must be at least `lower_bound` {low:g}")
    return GradientScalerParams(None, low, high, p.get("alpha"), p.get("max_iter"))


def gradient_factor(params: GradientScalerParams, key: AnyArray | None) -> float:
    """The factor at the iteration in the generator's ``key``; at iteration 0 where it is None."""
    if params.fixed is not None:
        return params.fixed
    done = min(1.0, (0 if key is None else iteration_of(key)) / params.most)
    height = params.high - params.low
    return -(2 * height / (1 + math.exp(-params.alpha * done)) - height + params.low)


def _unchanged(params: GradientScalerParams, inputs: Arrays, weights: Arrays) -> Arrays:
    return (inputs[0],)


def _one(params: GradientScalerParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return same_shape(params, inputs[:1])


GRADIENT_SCALER = OpDef(
    name="GradientScaler",
    arity=ONE_TO_ONE,
    params=_parse_scaler,
    shape=_one,
    reference=_unchanged,
    draws=lambda params: params.fixed is None,
    in_place=True,
    family="activation",
)


@dataclass(frozen=True, slots=True)
class SeLuDropoutParams:
    """Alpha dropout (Klambauer et al. 2017): mean and variance stay as they were.

    Args:
        ratio: probability that an element is dropped.
        alpha: what a dropped element becomes.
        scale, shift: all elements are then ``scale`` * x + ``shift``.
        sample: whether anything is dropped (TRAIN).
        seed: the layer's number, for the generator.
    """

    ratio: float
    alpha: float
    scale: float
    shift: float
    sample: bool
    seed: int


def _parse_selu_dropout(layer: Message, context: LayerContext) -> SeLuDropoutParams:
    p = reject_unknown_fields(layer.get("selu_dropout_param"), "dropout_ratio", "alpha")
    ratio, alpha = p.get("dropout_ratio"), p.get("alpha")
    if not 0 < ratio < 1:
        raise bad_value(p, "dropout_ratio", "must be greater than 0 and less than 1")
    scale = ((1 - ratio) * (1 + alpha * alpha * ratio)) ** -0.5
    sample = context.phase == "TRAIN"
    return SeLuDropoutParams(ratio, alpha, scale, -scale * ratio * alpha, sample, seed_of(layer, p))


def selu_kept(params: SeLuDropoutParams, x: AnyArray, key: AnyArray | None) -> AnyArray:
    """Which elements of ``x`` are kept: booleans of its shape."""
    return uniform(x, x.shape, params.seed, key) >= np.float32(params.ratio)


def _selu_dropout(params: SeLuDropoutParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x, *key = inputs
    if not params.sample:
        return (x,)
    kept = selu_kept(params, x, key[0] if key else None)
    mixed = namespace(x).where(kept, x, x.dtype.type(params.alpha))
    return (mixed * x.dtype.type(params.scale) + x.dtype.type(params.shift),)


def _selu_shape(params: SeLuDropoutParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (inputs[0],)


def _drops_nothing(params: SeLuDropoutParams, inputs: Sequence[Shape]) -> bool:
    return not params.sample


SELU_DROPOUT = OpDef(
    name="SeLuDropout",
    arity=ONE_TO_ONE,
    params=_parse_selu_dropout,
    shape=_selu_shape,
    cost=per_output(3),
    reference=_selu_dropout,
    draws=lambda params: params.sample,
    identity=_drops_nothing,
    in_place=True,
    family="activation",
)

OPS = (SELU_DROPOUT, GUIDED_DROPOUT, INSANITY, GRADIENT_SCALER)
