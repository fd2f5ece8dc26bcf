"""LpPooling: the p-norm of each window, L2-norm pooling by default. Not in BVLC Caffe.

Sermanet et al. 2012, Convolutional neural networks applied to house numbers digit classification
(arXiv:1204.3968). The window is written in ``pooling_param`` and slides as Pooling's does, rounded
up unless it says otherwise; the norm is the sum's root, not the mean's, and padding adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import Arrays, namespace
from netc.ops.define import Cost, LayerContext, OpDef, Window
from netc.ops.fields import bad_value
from netc.ops.pooling import POOLING, PoolingParams, pooling_axes
from netc.ops.pooling_values import summed
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class LpPoolingParams:
    """(sum of |x| ** ``p``) ** (1 / ``p``) over each window; ``pooling`` has the windows."""

    pooling: PoolingParams = field(default_factory=PoolingParams)
    p: float = 2.0


def _parse(layer: Message, context: LayerContext) -> LpPoolingParams:
    geometry, message = layer.get("pooling_param"), layer.get("lp_pooling_param")
    if geometry.has("pool"):
        raise geometry.error(
            "pool",
            "conflicting-fields",
            f"`pool: {geometry.get('pool')}` is given, and LpPooling takes the norm",
            'remove `pool`, or use `type: "Pooling"`',
        )
    p = message.get("p")
    if not 0 < p < float("inf"):
        raise bad_value(
            message, "p", "must be greater than 0 and finite", "the largest is `pool: MAX`"
        )
    return LpPoolingParams(POOLING.params(layer, context), p)


def _shape(params: LpPoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return POOLING.shape(params.pooling, inputs)


def _cost(params: LpPoolingParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    """A power for each input, an addition for each element of a window, a root for each output."""
    added = POOLING.cost(params.pooling, inputs, outputs).operations
    return Cost(operations=added + count(inputs[0]) + count(outputs[0]))


def _window(params: LpPoolingParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return POOLING.window(params.pooling, inputs, outputs)


def _pool(params: LpPoolingParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    xp, p = namespace(x), np.float32(params.p)
    with np.errstate(all="ignore"):
        powers = x * x if p == 2 else xp.abs(x) ** p
        total = summed(powers, pooling_axes(params.pooling, x.shape))
        return (xp.sqrt(total) if p == 2 else total ** (1 / p),)


LP_POOLING = OpDef(
    name="LpPooling",
    arity=ONE_TO_ONE,
    params=_parse,
    shape=_shape,
    cost=_cost,
    window=_window,
    reference=_pool,
    family="pooling",
)

OPS = (LP_POOLING,)
