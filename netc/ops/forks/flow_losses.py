"""Downsample and LpqLoss of FlowNet 2.

downsample_layer.cu and lpq_loss_layer.cu of lmb-freiburg/flownet2 (Ilg et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.random import iteration_of
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DownsampleParams:
    """``height`` and ``width`` of the top; with a second bottom that has them."""

    height: int
    width: int


def _parse_downsample(layer: Message, context: LayerContext) -> DownsampleParams:
    p = reject_unknown_fields(layer.get("downsample_param"), "top_height", "top_width")
    return DownsampleParams(p.get("top_height"), p.get("top_width"))


def _downsample_shape(params: DownsampleParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data = inputs[0]
    if any(len(shape) != 4 for shape in inputs):
        raise ShapeError(f"maps are needed, the bottoms are {', '.join(map(show, inputs))}")
    size = inputs[1][2:] if len(inputs) > 1 else (params.height, params.width)
    if size != data[2:] and min(size) < 2:
        raise ShapeError(f"the top must have 2 rows and columns, it would be {show(size)}")
    return ((*data[:2], *size),)


def _shares(old: int, new: int) -> AnyArray:
    """How much a new element takes of each old one, (new, old), not yet divided by its sum."""
    scale = (old - 1) / (new - 1)
    at = np.arange(new)[:, None] * scale
    element, radius = np.arange(old), math.ceil(scale)
    near = np.abs(element - np.floor(at + 0.5)) <= radius
    shares: AnyArray = np.maximum(0, 1 - np.abs(element - at) / scale) * near if scale else near
    return shares


@quietly
def _downsample(params: DownsampleParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Means by distance; NaN, the unknown, where more than half as much is unknown as known."""
    x = np.asarray(inputs[0])
    shapes = [array.shape for array in inputs]
    ((*_, high, wide),) = _downsample_shape(params, shapes)
    if (high, wide) == x.shape[2:]:
        return (x,)
    down, across = _shares(x.shape[2], high), _shares(x.shape[3], wide)
    known = ~np.isnan(x)
    values, sums, unknown = (
        down @ part @ across.T for part in (np.where(known, x, 0), known * 1.0, ~known * 1.0)
    )
    return (np.where(unknown / sums > 0.5, np.nan, values / sums).astype(x.dtype),)


DOWNSAMPLE = OpDef(
    name="Downsample",
    arity=Arity((1, 2), (1, 1)),
    params=_parse_downsample,
    shape=_downsample_shape,
    cost=per_input(16),
    window=full_extent,
    memory=copies(16),
    reference=_downsample,
    reads=1,
    family="pooling",
    host=True,
)


@dataclass(frozen=True, slots=True)
class LpqParams:
    """The sum over places of (sum over channels of (|d| + p_shift)^p + q_shift)^q.

    Args:
        steps: from which iteration on, p and q.
        p_shift, q_shift: added before the powers.
        scaled: the mean over the channels in place of their sum.
        entries: divide by the number of differences that are not NaN over the channels, else by the
            batch.
        bottoms: how many there are; the generator's key, for its iteration, comes behind.
    """

    steps: tuple[tuple[int, float, float], ...]
    p_shift: float
    q_shift: float
    scaled: bool
    entries: bool
    bottoms: int


def _parse_lpq(layer: Message, context: LayerContext) -> LpqParams:
    p = reject_unknown_fields(
        layer.get("lpq_loss_param"),
        *("p", "q", "pq_episode_starts_at_iter", "p_epsilon", "q_epsilon"),
        *("l2_prescale_by_channels", "normalize_by_num_entries"),
    )
    starts, powers, roots = (p.get(n) for n in ("pq_episode_starts_at_iter", "p", "q"))
    starts = starts or (0,) * (len(powers) == 1)
    if not powers or not len(starts) == len(powers) == len(roots):
        raise bad_value(p, "p", f"must have as many numbers as `q`, {len(roots)}, at least one")
    if starts[0] != 0 or any(a >= b for a, b in pairwise(starts)):
        raise bad_value(p, "pq_episode_starts_at_iter", "must begin with 0 and rise")
    return LpqParams(
        tuple(zip(starts, powers, roots, strict=True)),
        p.get("p_epsilon"),
        p.get("q_epsilon"),
        p.get("l2_prescale_by_channels"),
        p.get("normalize_by_num_entries"),
        context.bottoms,
    )


def _lpq_shape(params: LpqParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if any(shape != inputs[0] for shape in inputs[1 : params.bottoms]):
        raise ShapeError(f"both bottoms must be alike: {show(inputs[0])} and {show(inputs[1])}")
    if len(inputs[0]) != 4 or not count(inputs[0]):
        raise ShapeError(f"maps are needed, the bottom is {show(inputs[0])}")
    return ((),)


def lpq_slopes(params: LpqParams, inputs: Arrays) -> tuple[AnyArray, AnyArray, AnyArray | float]:
    """The loss of each place, its derivative by the difference, and the divisor."""
    xp, first = namespace(inputs[0]), inputs[0]
    apart = first - inputs[1] if params.bottoms > 1 else first
    known = ~xp.isnan(apart)
    apart = xp.where(known, apart, 0)
    keyed = len(inputs) > params.bottoms and inputs[params.bottoms] is not None
    iteration = iteration_of(inputs[params.bottoms]) if keyed else 0
    _, p, q = [step for step in params.steps if step[0] <= iteration][-1]
    share = 1 / first.shape[1] if params.scaled else 1.0
    size = xp.abs(apart) + first.dtype.type(params.p_shift)
    total = (size**p).sum(axis=1, keepdims=True) * first.dtype.type(share)
    total = total + first.dtype.type(params.q_shift)
    slope = q * total ** (q - 1) * share * p * size ** (p - 1) * xp.sign(apart)
    by = known.sum() / first.shape[1] if params.entries else float(max(1, len(first)))
    return total**q, xp.where(known, slope, 0), by


@quietly
def _lpq(params: LpqParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    each, _, by = lpq_slopes(params, inputs)
    total = each.sum(dtype=np.float64) / by
    return (namespace(inputs[0]).asarray(total, dtype=inputs[0].dtype).reshape(()),)


LPQ_LOSS = OpDef(
    name="LpqLoss",
    arity=Arity((1, 2), (1, 1), optional_top=True),
    params=_parse_lpq,
    shape=_lpq_shape,
    cost=per_input(8),
    window=full_extent,
    memory=copies(12),
    reference=_lpq,
    draws=lambda params: len(params.steps) > 1,
    loss=True,
    family="loss",
)

OPS = (DOWNSAMPLE, LPQ_LOSS)
