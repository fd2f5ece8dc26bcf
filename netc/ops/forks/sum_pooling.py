"""SumPooling: the sum of each window (Yu et al., ECCV 2018; sum_pooling_layer.cpp).

Of ChaojianYu/Hierarchical-Bilinear-Pooling. The window is written as Pooling's, in
``sum_pooling_param``, and slides as it does, rounded up.
"""

from __future__ import annotations

from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import Arrays
from netc.ops.define import LayerContext, OpDef
from netc.ops.fields import bad_value
from netc.ops.pooling import POOLING, PoolingParams, pooling_axes
from netc.ops.pooling_values import summed
from netc.schema.message import Entry, Message


def _parse(layer: Message, context: LayerContext) -> PoolingParams:
    message: Message = layer.get("sum_pooling_param")
    if message.get("pool") != "SUM":
        raise message.error(
            "pool",
            "unsupported-value",
            f"`pool: {message.get('pool')}` is what Pooling computes, and SumPooling sums",
            'write `pool: SUM`, or use `type: "Pooling"` with `pooling_param`',
        )
    for name in ("pad", "pad_h", "pad_w"):
        if message.get(name):
            raise bad_value(message, name, "must be 0 where windows are summed")
    kind = layer.type.fields["pooling_param"].message
    assert kind is not None
    window = Message(kind, message.without("pool", "engine").entries, message.span)
    entry = Entry(window, message.span, message.span)
    params: PoolingParams = POOLING.params(layer.with_entries(pooling_param=(entry,)), context)
    return params


def _pool(params: PoolingParams, inputs: Arrays, weights: Arrays) -> Arrays:
    return (summed(inputs[0], pooling_axes(params, inputs[0].shape)),)


SUM_POOLING = OpDef(
    name="SumPooling",
    arity=ONE_TO_ONE,
    params=_parse,
    shape=POOLING.shape,
    cost=POOLING.cost,
    window=POOLING.window,
    reference=_pool,
    family="pooling",
)

OPS = (SUM_POOLING,)
