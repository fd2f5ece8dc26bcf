"""Gradients of losses. The top's gradient is a scalar, the loss's weight in the net's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netc.ops.array import namespace
from netc.ops.gradients.define import Gradient, Reads, Saved
from netc.ops.labels import class_labels, divisor
from netc.ops.loss import SoftmaxLossParams, split_at
from netc.ops.normalization import softmax


def _softmax_loss(params: SoftmaxLossParams, saved: Saved, tops: Sequence[Any], index: int) -> Any:
    """(p - 1 at the label) / divisor, 0 where the label is left out (softmax_loss_layer.cpp)."""
    data, label = saved.inputs
    xp, axis = namespace(data), params.axis % data.ndim
    outer, classes, inner = split_at(data.shape, axis)
    chosen, kept = class_labels(label.reshape(outer, 1, inner), classes, params.ignore_label)
    prob = softmax(data, axis).reshape(outer, classes, inner)
    hot = xp.arange(classes).reshape(1, -1, 1) == chosen
    by = divisor(params.normalization, outer, inner, kept.sum())
    scale = (tops[0] / by).astype(data.dtype)
    return (xp.where(kept, prob - hot, 0) * scale).astype(data.dtype).reshape(data.shape)


_DATA_AND_LABEL = Reads(inputs=(0, 1))

GRADIENTS = {"SoftmaxWithLoss": Gradient(_softmax_loss, _DATA_AND_LABEL, stops=(1,))}
