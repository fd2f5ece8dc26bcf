"""LRN, local response normalization (lrn_layer.cpp).

Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.define import Arity, Cost, LayerContext, OpDef, ShapeError, Window
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number, one_of
from netc.ops.pooling_values import average
from netc.ops.role import Role
from netc.ops.window import Axis
from netc.schema.message import Message

REGIONS = ("ACROSS_CHANNELS", "WITHIN_CHANNEL")


@dataclass(frozen=True, slots=True)
class LRNParams:
    """x / (k + alpha / n * sum of squares) ** beta, over ``local_size`` neighbouring elements.

    Args:
        local_size: of the neighbourhood along each of its axes, odd.
        alpha, beta, k: of the formula; n is the number of elements of the neighbourhood. Within a
            channel 1 stands for ``k``.
        across: along the channels (ACROSS_CHANNELS), else height and width (WITHIN_CHANNEL).
    """

    local_size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0
    across: bool = True


def _parse(layer: Message, context: LayerContext) -> LRNParams:
    message = reject_unknown_fields(
        layer.get("lrn_param"), "local_size", "alpha", "beta", "k", "norm_region"
    )
    size = number(message, "local_size", 1)
    if size % 2 == 0:
        raise message.error(
            "local_size",
            "out-of-range",
            f"`local_size` must be odd, it is {size}",
            f"use {size - 1} or {size + 1}: an element stands in the middle of its neighbours",
        )
    for name in ("alpha", "beta", "k"):
        if not math.isfinite(message.get(name)):
            raise bad_value(message, name, "must be a finite number")
    across = one_of(message, "norm_region", REGIONS) == "ACROSS_CHANNELS"
    return LRNParams(size, message.get("alpha"), message.get("beta"), message.get("k"), across)


def is_positive(params: LRNParams) -> bool:
    """Whether the base of the power is greater than 0 for every input, so that kernels may take its
    logarithm.
    """
    minimum = params.k if params.across else 1.0
    return minimum > _MIN_ARGUMENT and params.alpha >= 0 and params.beta != 0


_MIN_ARGUMENT = 1e-30  # the logarithm's argument must not be a denormal number


def _shape(params: LRNParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    (shape,) = inputs
    if len(shape) != 4:
        raise ShapeError(
            f"the bottom must have 4 axes, number x channels x height x width, it is {show(shape)}",
            help=("reshape the bottom first",),
        )
    return (shape,)


def lrn_axes(params: LRNParams, shape: Shape) -> tuple[Axis, ...]:
    """The neighbourhood along the channels, or along height and width, of a 4-axis shape."""
    size, pad = params.local_size, (params.local_size - 1) // 2
    lengths = shape[1:2] if params.across else shape[2:]
    return tuple(Axis(length, size, 1, pad, 1, length) for length in lengths)


def _cost(params: LRNParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    seen = count(tuple(min(axis.kernel, axis.size) for axis in lrn_axes(params, inputs[0])))
    return Cost(operations=count(outputs[0]) * (seen + 5))


def _window(params: LRNParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    if params.across:
        return Window()
    size, pad = params.local_size, (params.local_size - 1) // 2
    return Window((size, size), (1, 1), (pad, pad), (1, 1))


def _normalize(params: LRNParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    (x,) = inputs
    with np.errstate(all="ignore"):
        return (x * lrn_scale(params, x) ** x.dtype.type(-params.beta),)


def lrn_scale(params: LRNParams, x: AnyArray) -> AnyArray:
    """k + alpha / n * sum of squares, in the bottom's shape: what is raised to -``beta``."""
    axes = lrn_axes(params, x.shape)
    return _across(params, x, axes[0]) if params.across else _within(params, x, axes)


def _across(params: LRNParams, x: AnyArray, axis: Axis) -> AnyArray:
    """k + alpha/size * the sum of squares over neighbouring channels."""
    squares = x * x
    total = namespace(x).zeros_like(x)
    for tap in axis.taps():
        total[:, tap.outputs] += squares[:, tap.inputs]
    kind = x.dtype.type
    result: AnyArray = kind(params.k) + kind(params.alpha) / kind(params.local_size) * total
    return result


def _within(params: LRNParams, x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """1 + alpha * the average of squares over the plane's neighbourhood, padding included."""
    kind = x.dtype.type
    result: AnyArray = kind(1) + kind(params.alpha) * average(x * x, axes)
    return result


LRN = OpDef(
    name="LRN",
    arity=Arity(bottoms=(1, 1), tops=(1, 1)),
    params=_parse,
    shape=_shape,
    cost=_cost,
    window=_window,
    reference=_normalize,
    family="normalization",
    role=Role.RESPONSE_NORM,
)

OPS = (LRN,)
