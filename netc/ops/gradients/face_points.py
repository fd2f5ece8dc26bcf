"""Gradients of MultiROIPooling and WeightEuclideanLoss, as their layers have them."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.face_points import (
    MULTI_ROI_POOLING,
    WEIGHT_EUCLIDEAN_LOSS,
    LandmarkLossParams,
    PatchParams,
    patches,
    weighted_changes,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled


def _patches(params: PatchParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Every row of a patch gets the gradient of its first row: the fork does not move on."""
    shape = saved.shapes[0]
    grads = np.zeros(shape, tops[0].dtype)
    for top, image, seen, made in patches(params, shape, np.asarray(saved.inputs[1])):
        first = tops[top][image][:, made[0].start : made[0].start + 1, made[1]]
        if seen[0].stop > seen[0].start:
            grads[image][:, seen[0], seen[1]] += first
    return grads


def _loss(params: LandmarkLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """As for a Euclidean loss: neither the third bottom nor what truth is divided by counts."""
    own = saved.inputs[index]
    _, slope = weighted_changes(params, saved.inputs)
    return scaled(slope if index == 0 else -slope, tops[0], own.dtype.type(len(own)), own)


def _of_first_row(graph: Graph, node: Node) -> str | None:
    return "each row of a patch is given the gradient of the patch's first row"


def _loss_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(LandmarkLossParams)
    if len(node.inputs) == 3:
        return "the third bottom does not count in the gradient"
    return "what the difference is divided by counts as constant" if params.by else None


GRADIENTS = gradients(
    of(
        MULTI_ROI_POOLING,
        Gradient(_patches, Reads(inputs=(1,)), ignored=(1,), inexact=_of_first_row, host=True),
    ),
    of(
        WEIGHT_EUCLIDEAN_LOSS,
        Gradient(_loss, reads_all, ignored=(2,), inexact=_loss_inexact, host=True),
    ),
)
