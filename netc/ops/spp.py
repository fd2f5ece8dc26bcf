"""SPP, pooling over a spatial pyramid: spp_layer.cpp (He et al., ECCV 2014, arXiv:1406.4729)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.define import (
    WHOLE,
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    Window,
    full_extent,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import one_of, required_number
from netc.ops.pooling import METHODS, PoolingParams, pool, pooled_shape, pooling_axes, pooling_cost
from netc.ops.random import layer_number
from netc.ops.window import axis_name
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class SPPParams:
    """Level i of the pyramid pools into 2^i by 2^i bins; the top is (num, channels * all bins).

    ``method``, ``train`` and ``seed`` are as of :class:`netc.ops.pooling.PoolingParams`.
    """

    pyramid_height: int
    method: str = "MAX"
    train: bool = False
    seed: int = 0


def _parse_spp(layer: Message, context: LayerContext) -> SPPParams:
    message = reject_unknown_fields(layer.get("spp_param"), "pyramid_height", "pool")
    height, method = required_number(message, "pyramid_height"), one_of(message, "pool", METHODS)
    seed = layer_number(layer.get("name")) if method == "STOCHASTIC" else 0
    return SPPParams(height, method, context.phase == "TRAIN", seed)


def pyramid(params: SPPParams, shape: Shape) -> tuple[PoolingParams, ...]:
    """The pooling of each level for a bottom of this shape, the coarsest first.

    Raises:
        ShapeError: the bottom has not 4 axes, or is too small for the finest level.
    """
    pooling_axes(PoolingParams(window=WHOLE), shape)
    return tuple(_level(params, shape, level) for level in range(params.pyramid_height))


def _level(params: SPPParams, shape: Shape, level: int) -> PoolingParams:
    bins = 2**level
    high, wide = (-(-size // bins) for size in shape[2:])
    pads = tuple(
        (k * bins - size + 1) // 2 for k, size in zip((high, wide), shape[2:], strict=True)
    )
    for index, (pad, kernel) in enumerate(zip(pads, (high, wide), strict=True)):
        if pad >= kernel:
            raise _too_fine(params, axis_name(index, 2), shape[2 + index], level)
    if params.method == "STOCHASTIC" and any(pads):
        raise ShapeError(
            f"`pool: STOCHASTIC` takes no padding, and {bins} bins do not divide "
            f"{shape[2]} by {shape[3]} evenly",
            "spp_param.pool",
            ("use `pool: MAX` or `pool: AVE`",),
        )
    window = Window(kernel=(high, wide), stride=(high, wide), pad=pads)
    seed = params.seed + level if params.seed else 0  # each level draws numbers of its own
    return PoolingParams(params.method, window, train=params.train, seed=seed)


def _too_fine(params: SPPParams, name: str, size: int, level: int) -> ShapeError:
    return ShapeError(
        f"`pyramid_height` {params.pyramid_height} makes {2**level} bins of the {name} {size}, "
        "and a bin would lie in padding alone",
        "spp_param.pyramid_height",
        (f"`pyramid_height` may be at most {level} here",),
    )


def _spp_shape(params: SPPParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    pooled = [pooled_shape(level, inputs)[0] for level in pyramid(params, shape)]
    if len(pooled) == 1:
        return (pooled[0],)
    return ((shape[0], sum(count(top, 1) for top in pooled)),)


def _spp_cost(params: SPPParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    costs = [
        pooling_cost(level, inputs, pooled_shape(level, inputs))
        for level in pyramid(params, inputs[0])
    ]
    return Cost(operations=sum(cost.operations for cost in costs))


def _spp(params: SPPParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = inputs[0]
    pooled = [pool(level, inputs, ())[0] for level in pyramid(params, x.shape)]
    if len(pooled) == 1:
        return (pooled[0],)
    flat = [level.reshape(x.shape[0], count(level.shape, 1)) for level in pooled]
    return (namespace(x).concatenate(flat, axis=1),)


SPP = OpDef(
    name="SPP",
    draws=lambda params: params.method == "STOCHASTIC" and params.train,
    arity=Arity(bottoms=(1, 1), tops=(1, 1)),
    params=_parse_spp,
    shape=_spp_shape,
    cost=_spp_cost,
    window=full_extent,
    reference=_spp,
    family="pooling",
)

OPS = (SPP,)
