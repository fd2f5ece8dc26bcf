"""SaliencyPooling of BVLC's pull request 6194 (saliency_pooling_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import Arity, LayerContext, OpDef, TypeReading, erased
from netc.ops.pooling import (
    PoolingParams,
    parse_pooling,
    pool,
    pooled_shape,
    pooling_cost,
    pooling_window,
)
from netc.schema.message import Message


def _parse_saliency(layer: Message, context: LayerContext) -> PoolingParams:
    """``pool`` is not read there."""
    return parse_pooling(layer, context, method="MAX")


def _first_shape(params: PoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return pooled_shape(params, inputs[:1])


def _saliency(params: PoolingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return tuple(pool(params, inputs[:1], weights))


def _told(layer: Message) -> TypeReading:
    return TypeReading(erased(SALIENCY_POOLING), _READ_AS)


_READ_AS = (
    "type",
    "it is the maximum of each window, as its source computes on the processor, where the second "
    "bottom is not read; on a GPU the source draws 0 or 1 for each window, by the second bottom",
    ("`pool: MAX` of Pooling is the same",),
)

SALIENCY_POOLING = OpDef(
    name="SaliencyPooling",
    arity=Arity((2, 2), (1, 2)),
    params=_parse_saliency,
    shape=_first_shape,
    cost=pooling_cost,
    window=pooling_window,
    reference=_saliency,
    reads=1,
    family="pooling",
    reading=_told,
)

OPS = (SALIENCY_POOLING,)
