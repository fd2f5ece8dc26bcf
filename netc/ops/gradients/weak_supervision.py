"""Gradients of GlobalSumPooling, MulticlassCrossEntropyLoss and WeightedSoftmaxWithLoss."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.detection.weak_supervision import (
    GLOBAL_SUM_POOLING,
    MULTICLASS_CROSS_ENTROPY,
    WEIGHTED_SOFTMAX,
    WeightedLossParams,
    clipped,
    weighted_labels,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled


def _sum(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    xp = namespace(tops[0])
    return xp.ascontiguousarray(xp.broadcast_to(tops[0], saved.shapes[0]))


@quietly
def _each(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(p - t) / (p (1 - p)) by the classes' number and the batch; the loss has no such number."""
    data = saved.inputs[0]
    p, target = clipped(data), saved.inputs[1].reshape(data.shape)
    classes = data.size // max(1, data.shape[0])
    slope = (p - target) / (p * (1 - p))
    return scaled(slope, tops[0], data.dtype.type(classes * max(1, data.shape[0])), data)


def _each_inexact(graph: object, node: object) -> str:
    return "the fork divides the gradient by the number of classes, and not the loss"


@quietly
def _weighted(params: WeightedLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data = saved.inputs[0]
    found = weighted_labels(params, saved.inputs)
    hot = namespace(data).arange(found.prob.shape[1]).reshape(1, -1, 1) == found.label
    return scaled((found.prob - hot) * found.weight, tops[0], found.by, data)


GRADIENTS = gradients(
    of(GLOBAL_SUM_POOLING, Gradient(_sum)),
    of(
        MULTICLASS_CROSS_ENTROPY,
        Gradient(_each, Reads(inputs=(0, 1)), stops=(1,), inexact=_each_inexact),
    ),
    of(WEIGHTED_SOFTMAX, Gradient(_weighted, reads_all, stops=(1, 2), tops=(0,))),
)
