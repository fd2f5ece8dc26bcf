"""Losses of forks that have one definition each.

ManhattanLoss (manhattan_loss_layer.cpp, used for poses), K1_EuclideanLoss and K2_EuclideanLoss
(kevinlin311tw/Caffe-DeepBinaryCode; Yang et al. 2015, "Supervised Learning of Semantics-Preserving
Hashing"), SigmoidCrossEntropyBalanceLoss (kmaninis/OSVOS-caffe; Xie and Tu 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import flag_second
from netc.ops.cost import per_input
from netc.ops.define import LayerContext, OpDef, ShapeError, copies, full_extent, no_params
from netc.ops.labels import check_batch
from netc.ops.loss import ONE_LOSS, scalar
from netc.schema.message import Message

MANHATTAN_EPSILON = 1e-3  # added to |d| in the slope d / |d|


def _as_many(params: object, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs)
    if count(inputs[0]) != count(inputs[1]):
        raise ShapeError(
            f"both bottoms must have as many elements: {show(inputs[0])}, {show(inputs[1])}"
        )
    return ((),)


@quietly
def _manhattan(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The sum of absolute differences over the number of items."""
    first, second = inputs
    xp = namespace(first)
    total = xp.abs(first - second.reshape(first.shape)).sum(dtype=np.float64)
    return (scalar(total / max(1, len(first)), first),)


MANHATTAN_LOSS = OpDef(
    name="ManhattanLoss",
    arity=ONE_LOSS,
    params=no_params,
    shape=_as_many,
    cost=per_input(3),
    window=full_extent,
    reference=_manhattan,
    loss=True,
    family="loss",
)


@dataclass(frozen=True, slots=True)
class BinaryCodeParams:
    """``sign`` -1: codes are drawn away from 1/2. 1: they are drawn to it."""

    sign: int


def _away(layer: Message, context: LayerContext) -> BinaryCodeParams:
    return BinaryCodeParams(-1)


def _near(layer: Message, context: LayerContext) -> BinaryCodeParams:
    return BinaryCodeParams(1)


@quietly
def _binary_code(params: BinaryCodeParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the mean square of the first bottom's elements less 1/2, with a sign."""
    apart = inputs[0] - inputs[0].dtype.type(0.5)
    total = (apart * apart).sum(dtype=np.float64)
    return (scalar(params.sign * total / (2 * max(1, apart.size)), inputs[0]),)


K1_LOSS = OpDef(
    name="K1_EuclideanLoss",
    arity=ONE_LOSS,
    params=_away,
    shape=_as_many,
    cost=per_input(3),
    window=full_extent,
    reference=_binary_code,
    loss=True,
    family="loss",
)

K2_LOSS = OpDef(
    name="K2_EuclideanLoss",
    arity=ONE_LOSS,
    params=_near,
    shape=_as_many,
    cost=per_input(3),
    window=full_extent,
    reference=_binary_code,
    loss=True,
    family="loss",
)


@quietly
def balanced_weights(target: AnyArray) -> AnyArray:
    """How much each element of a target (items, elements) counts.

    Ones count as the share of zeros among an item's ones and zeros, zeros as that of ones, all
    other numbers 0. An item with neither has NaN, as in the fork.
    """
    xp = namespace(target)
    one, zero = target == 1, target == 0
    ones = one.sum(axis=1, keepdims=True).astype(target.dtype)
    zeros = zero.sum(axis=1, keepdims=True).astype(target.dtype)
    both = ones + zeros
    return xp.where(both == 0, both / both, (one * zeros + zero * ones) / xp.maximum(both, 1))


@quietly
def _balanced(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Cross entropies of sigmoids, weighed so that ones and zeros of an item balance."""
    data = inputs[0].reshape(len(inputs[0]), -1)
    target = inputs[1].reshape(data.shape)
    xp = namespace(data)
    above = data >= 0
    each = xp.log1p(xp.exp(data - 2 * data * above)) - data * (target - above)
    total = (each * balanced_weights(target)).sum(dtype=np.float64)
    return (scalar(total / max(1, len(data)), inputs[0]),)


def balanced_slopes(data: AnyArray, target: AnyArray) -> AnyArray:
    """The fork's gradient (items, elements): other numbers than 0 and 1 are not weighed there."""
    xp = namespace(data)
    weights = xp.where((target == 0) | (target == 1), balanced_weights(target), 1)
    result: AnyArray = (sigmoid(data) - target) * weights.astype(data.dtype)
    return result


BALANCED_LOSS = OpDef(
    name="SigmoidCrossEntropyBalanceLoss",
    arity=ONE_LOSS,
    params=no_params,
    shape=_as_many,
    cost=per_input(10),
    window=full_extent,
    memory=copies(8),
    reference=_balanced,
    contents=flag_second,
    loss=True,
    family="loss",
)

OPS = (MANHATTAN_LOSS, K1_LOSS, K2_LOSS, BALANCED_LOSS)
