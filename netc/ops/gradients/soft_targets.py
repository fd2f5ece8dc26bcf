"""The gradient of SoftmaxWithCrossEntropyLoss: p less q, over the predictions."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.soft_targets import SOFT_TARGETS, SoftTargetParams, predictions
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled
from netc.ops.normalization import softmax


def _slopes(params: SoftTargetParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, target = saved.inputs
    slope = softmax(data, params.axis) - softmax(target, params.axis)
    return scaled(slope, tops[0], data.dtype.type(predictions(params, data.shape)), data)


GRADIENTS = gradients(
    of(SOFT_TARGETS, Gradient(_slopes, Reads(inputs=(0, 1)), stops=(1,), tops=(0,))),
)
