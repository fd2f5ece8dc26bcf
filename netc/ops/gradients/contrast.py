"""Gradients of TripletLoss, GeneralContrastiveLoss and XCovLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.contrast import (
    GENERAL_CONTRASTIVE,
    TRIPLET_LOSS,
    XCOV_LOSS,
    GeneralParams,
    TripletParams,
    centred,
    general_distances,
    triplets,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled

_BOTH = Reads(inputs=(0, 1))


def _triplet(params: TripletParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    found = triplets(params, saved.inputs)
    anchor, like, unlike = found.rows
    difference = (unlike - like, like - anchor, anchor - unlike)[index]
    slope = (found.weight * (found.lack >= 1e-9))[:, None] * difference
    own = saved.inputs[index]
    return scaled(slope, tops[0], own.dtype.type(max(1, len(own))), own)


def _weights(params: TripletParams, bottoms: int) -> Sequence[int]:
    return range(3, bottoms)


def _general(params: GeneralParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, found = saved.inputs[0], general_distances(params, saved.inputs)
    slope = found.slope
    if params.held is not None:
        push = abs(np.where(found.hot, 0, slope).sum())
        with np.errstate(all="ignore"):
            share = push / np.float64(params.held) / len(slope)
        if share > params.near_weight:
            slope = np.where(found.hot, slope, slope / share)
    return scaled(slope, tops[0], data.dtype.type(len(data)), data)


def _general_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(GeneralParams)
    if graph.losses.keys() & set(node.outputs[1:]):
        return "GeneralContrastiveLoss's mean distances have no gradient, with any loss_weight"
    if params.held is None and params.bound is None and not params.greatest_near:
        return None
    return "GeneralContrastiveLoss weighs its gradient otherwise than its loss"


def _xcov(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    one, other = map(centred, saved.inputs)
    covariance = one.T @ other / len(one)
    slope = other @ covariance.T if index == 0 else one @ covariance
    own = saved.inputs[index]
    return scaled(slope, tops[0], own.dtype.type(len(own)), own)


GRADIENTS = gradients(
    of(TRIPLET_LOSS, Gradient(_triplet, reads_all, ignored=_weights, host=True)),
    of(
        GENERAL_CONTRASTIVE,
        Gradient(_general, _BOTH, stops=(1,), tops=(0,), inexact=_general_inexact, host=True),
    ),
    of(XCOV_LOSS, Gradient(_xcov, _BOTH, host=True)),
)
