"""Gradient of FocalLoss (focal_loss_layer.cpp of chuanqi305/FocalLoss and makefile/frcnn)."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.forks.focal_loss import FOCAL_LOSS, FocalParams, chosen, loss_by
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled


@quietly
def _focal(params: FocalParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The softmax's gradient times the loss's steepness, 0 where the label is left out."""
    found, data = chosen(params, saved.inputs), saved.inputs[0]
    xp = namespace(data)
    hot = xp.arange(found.prob.shape[1]).reshape(1, -1, 1) == found.label
    slope = params.focus.pull(found.own) * (found.prob - hot)
    return scaled(xp.where(found.kept, slope, 0), tops[0], loss_by(params, found), data)


GRADIENTS = gradients(
    of(FOCAL_LOSS, Gradient(_focal, Reads(inputs=(0, 1)), stops=(1,), tops=(0,))),
)
