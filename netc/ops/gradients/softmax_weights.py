"""Gradients of SoftmaxWithLoss with a third bottom."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.forks.softmax_weights import (
    SOFTMAX_WITH_OVERLAP_LOSS,
    SOFTMAX_WITH_WEIGHTED_LOSS,
    Labelled,
    ThirdBottomParams,
    by_overlap,
    divided_by,
    labelled,
    weights_of,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled


def _hot(found: Labelled) -> AnyArray:
    classes = namespace(found.prob).arange(found.prob.shape[1])
    hot: AnyArray = classes.reshape(1, -1, 1) == found.label
    return hot


@quietly
def _weighted(params: ThirdBottomParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(p - 1 at the label) * weight / divisor."""
    found = labelled(params, saved.inputs)
    weight, by = weights_of(params, found)
    return scaled((found.prob - _hot(found)) * weight, tops[0], by, saved.inputs[0])


@quietly
def _overlap(params: ThirdBottomParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(p - 1 at the label) * (1 - p^2 / overlap^(1/4) of the label) / divisor."""
    found = labelled(params, saved.inputs)
    factor = found.kept - by_overlap(found)
    slope = (found.prob - _hot(found)) * factor
    return scaled(slope, tops[0], divided_by(params, found), saved.inputs[0])


_ALL = Reads(inputs=(0, 1, 2))

GRADIENTS = gradients(
    of(SOFTMAX_WITH_WEIGHTED_LOSS, Gradient(_weighted, _ALL, stops=(1,), ignored=(2,), tops=(0,))),
    of(SOFTMAX_WITH_OVERLAP_LOSS, Gradient(_overlap, _ALL, stops=(1,), ignored=(2,), tops=(0,))),
)
