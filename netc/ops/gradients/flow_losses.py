"""Gradient of LpqLoss (lpq_loss_layer.cu of lmb-freiburg/flownet2); Downsample has none."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.forks.flow_losses import LPQ_LOSS, LpqParams, lpq_slopes
from netc.ops.gradients.define import Gradient, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled


@quietly
def _lpq(params: LpqParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    _, slope, by = lpq_slopes(params, saved.inputs)
    return scaled(slope if index == 0 else -slope, tops[0], by, saved.inputs[index])


GRADIENTS = gradients(of(LPQ_LOSS, Gradient(_lpq, reads_all)))
