"""Gradients of SmoothL1Loss, the OHEM losses and MultiBoxLoss.

smooth_L1_loss_layer.cu, the OHEM layers of intel/caffe, multibox_loss_layer.cpp of weiliu89/caffe.
What was matched or mined counts as constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.detection.hard_examples import SOFTMAX_OHEM, SoftmaxOHEMParams
from netc.ops.detection.matching import NO_MATCH
from netc.ops.detection.multibox import (
    MULTIBOX_FOCAL_LOSS,
    MULTIBOX_LOSS,
    Image,
    MatchedPriors,
    all_targets,
    find_matches,
    images_of,
    loss_divisor,
    matched_number,
    place_differences,
    target_probabilities,
    targets_of,
    wanted_scores,
)
from netc.ops.detection.multibox_params import MultiBoxParams
from netc.ops.detection.smooth_l1 import (
    SMOOTH_L1_LOSS,
    SMOOTH_L1_LOSS_EACH,
    SMOOTH_L1_LOSS_OHEM,
    SmoothL1OHEMParams,
    SmoothL1Params,
    ohem_divisor,
)
from netc.ops.gradients.define import Gradient, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import by_label, scaled
from netc.ops.labels import divisor
from netc.ops.normalization import softmax


def _slope(difference: AnyArray, sigma: float) -> AnyArray:
    """sigma^2 d where |d| < 1 / sigma^2, else the sign."""
    xp, square = namespace(difference), difference.dtype.type(sigma * sigma)
    return xp.where(xp.abs(difference) < 1 / square, square * difference, xp.sign(difference))


def _differences(saved: Saved, sigma: float, scaled_by: int = 0) -> AnyArray:
    """By the prediction; the weights from ``scaled_by`` on are factors of the slope."""
    first, second, *weights = saved.inputs
    difference = first - second.reshape(first.shape)
    inside = weights[0].reshape(first.shape) if weights else None
    slope = _slope(difference if inside is None else difference * inside, sigma)
    for weight in weights[scaled_by:]:
        slope = slope * weight.reshape(first.shape)
    return slope


def _smooth_l1(params: SmoothL1Params, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    own = saved.inputs[index]
    slope = _differences(saved, params.sigma, 0 if params.scaled else 1)
    slope = slope if index == 0 else -slope
    by = own.dtype.type(saved.shapes[0][0] if saved.shapes[0] else 1)
    return scaled(slope, tops[0], by, own)


def _smooth_l1_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(SmoothL1Params)
    if not params.scaled and len(node.inputs) > 2:
        return "Synopsys leaves the weights before the loss out of the gradient of `abssum: true`"
    if not params.absolute or len(node.inputs) < 4:
        return None
    return "Caffe takes the weights behind the loss for positive"


def _smooth_l1_ohem(params: SmoothL1OHEMParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    own = saved.inputs[index]
    slope = _differences(saved, params.sigma) * (1 if index == 0 else -1)
    return scaled(slope, tops[0], own.dtype.type(ohem_divisor(params, saved.shapes[0])), own)


def _weights(params: SmoothL1OHEMParams | SmoothL1Params, bottoms: int) -> Sequence[int]:
    return range(2, bottoms)


def _softmax_ohem(params: SoftmaxOHEMParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, label = saved.inputs
    axis = params.axis % data.ndim
    outer, inner = count(data.shape, 0, axis), count(data.shape, axis + 1)
    slope, kept = by_label(data, label, axis, params.ignore_label)
    by: AnyArray | float = params.fixed
    if params.normalization != "PRE_FIXED":
        by = divisor(params.normalization, outer, inner, kept.sum())
    return scaled(slope, tops[0], by, data)


def _softmax_ohem_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(SoftmaxOHEMParams)
    if params.ignore_label is None:
        return None
    return "intel/caffe sums the first places, and its gradient is of those that count"


def _multibox(params: MultiBoxParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """What was matched and mined counts as given (multibox_loss_layer.cpp, Backward_cpu)."""
    images = list(images_of(params, saved.inputs))
    found = [find_matches(params, image) for image in images]
    own = saved.inputs[index]
    by = loss_divisor(params, images, found)
    if index == 1:
        slopes = _class_slopes(params, images, found) if params.parts[1] else own * 0
        return scaled(slopes, tops[0], by, own)
    slopes = own * 0
    if matched_number(found) and params.parts[0]:
        slopes = params.loc_weight * _place_slopes(params, images, found)
    return scaled(slopes, tops[0], by, own)


def _multibox_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(MultiBoxParams)
    if not params.variance_in_target:
        return None
    return "SSD leaves the variances out of the gradient of targets that have them"


def _place_slopes(
    params: MultiBoxParams, images: list[Image], found: list[MatchedPriors]
) -> AnyArray:
    slopes = np.zeros((len(images), *images[0].locations.shape), images[0].locations.dtype)
    for own, image, one in zip(slopes, images, found, strict=True):
        for label, match in one.matched.items():
            at = np.flatnonzero(match > NO_MATCH)
            difference = place_differences(params, image, label, match)
            slope = _slope(difference, 1.0) if params.loc_loss == "SMOOTH_L1" else difference
            if params.bp_inside:  # what was left out is exactly 0, and so is its slope
                slope = np.where(difference == 0, 0, slope)
            own[at, max(label, 0)] += slope
    return slopes


def _class_slopes(
    params: MultiBoxParams, images: list[Image], found: list[MatchedPriors]
) -> AnyArray:
    scores = np.stack([image.scores for image in images])
    if params.mining == "NONE":
        flat = scores.reshape(-1, params.classes)
        targets = all_targets(params, images, found)
        if params.conf_loss == "SOFTMAX":
            return _row_slopes(params, flat, targets)
        return sigmoid(flat) - targets.reshape(flat.shape)
    slopes = np.zeros_like(scores)
    for own, image, one in zip(slopes, images, found, strict=True):
        for match in one.matched.values():
            at = np.flatnonzero(match > NO_MATCH)
            targets = targets_of(params, image)[match[at]]
            own[at] += _row_slopes(params, image.scores[at], targets)
        rows = list(one.negatives)
        background = np.full(len(rows), params.background)
        own[rows] += _row_slopes(params, image.scores[rows], background)
    return slopes


def _row_slopes(params: MultiBoxParams, scores: AnyArray, targets: AnyArray) -> AnyArray:
    if not len(scores):
        return scores
    if params.conf_loss != "SOFTMAX":
        return sigmoid(scores) - wanted_scores(params, scores, targets)
    hot = np.arange(params.classes) == targets[:, None]
    slopes: AnyArray = softmax(scores, 1) - hot
    if params.focus is not None:
        slopes *= params.focus.pull(target_probabilities(scores, targets))[:, None]
    return slopes


_SMOOTH_L1_OHEM = Gradient(_smooth_l1_ohem, reads_all, ignored=_weights, tops=(0,))
_MULTIBOX = Gradient(_multibox, reads_all, stops=(2, 3), inexact=_multibox_inexact, host=True)

GRADIENTS = gradients(
    of(
        SMOOTH_L1_LOSS,
        Gradient(_smooth_l1, reads_all, ignored=_weights, inexact=_smooth_l1_inexact),
    ),
    of(SMOOTH_L1_LOSS_OHEM, _SMOOTH_L1_OHEM),
    of(SMOOTH_L1_LOSS_EACH, _SMOOTH_L1_OHEM),
    of(
        SOFTMAX_OHEM,
        Gradient(_softmax_ohem, reads_all, stops=(1,), tops=(0,), inexact=_softmax_ohem_inexact),
    ),
    of(MULTIBOX_LOSS, _MULTIBOX),
    of(MULTIBOX_FOCAL_LOSS, _MULTIBOX),
)
