"""Gradient of SoftmaxWithLoss of several labels an item."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.forks.softmax_many_labels import (
    SOFTMAX_WITH_LOSS_OF_MANY,
    divided_by_items,
    many_labelled,
)
from netc.ops.forks.softmax_weights import ThirdBottomParams
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled


@quietly
def _loss(params: ThirdBottomParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(p - the share of the labels) / divisor, 0 for an item none of whose labels counts."""
    data, found = saved.inputs[0], many_labelled(params, saved.inputs)
    classes = namespace(data).arange(found.prob.shape[1])
    slope = found.prob * found.kept.any(axis=1, keepdims=True)
    for at in range(found.label.shape[1]):
        hot = (classes == found.label[:, at : at + 1]) & found.kept[:, at : at + 1]
        slope = slope - hot / found.number.astype(data.dtype)
    by = divided_by_items(params, found)
    return scaled(slope.reshape(data.shape), tops[0], by, data)


GRADIENTS = gradients(
    of(
        SOFTMAX_WITH_LOSS_OF_MANY,
        Gradient(_loss, Reads(inputs=(0, 1)), stops=(1,), tops=(0,)),
    ),
)
