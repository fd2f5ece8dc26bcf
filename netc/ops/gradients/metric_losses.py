"""Gradients of L1Loss, LiftedStructSimilaritySoftmaxLoss and the weighted cross entropy."""

from __future__ import annotations

from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.metric_losses import (
    L1_LOSS,
    LIFTED_STRUCT,
    WEIGHTED_CROSS_ENTROPY,
    L1Params,
    LiftedParams,
    l1_slopes,
    lifted_slopes,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled


def _l1(params: L1Params, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    own = saved.inputs[index]
    _, slope, divisor = l1_slopes(params, saved.inputs)
    return scaled(slope if index == 0 else -slope, tops[0], divisor, own)


def _lifted(params: LiftedParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data = saved.inputs[0]
    return scaled(lifted_slopes(params, saved.inputs), tops[0], data.dtype.type(1), data)


def _weighted(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data = saved.inputs[0]
    target, weight = (array.reshape(data.shape) for array in saved.inputs[1:])
    total, xp = weight.sum(), namespace(data)
    slope = (sigmoid(data) - target) * weight * (total > 0)
    return scaled(slope, tops[0], xp.where(total > 0, total, 1), data)


GRADIENTS = gradients(
    of(L1_LOSS, Gradient(_l1, reads_all)),
    of(LIFTED_STRUCT, Gradient(_lifted, Reads(inputs=(0, 1)), stops=(1,), host=True)),
    of(
        WEIGHTED_CROSS_ENTROPY,
        Gradient(_weighted, Reads(inputs=(0, 1, 2)), stops=(1,), ignored=(2,)),
    ),
)
