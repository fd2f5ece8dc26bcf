"""MultiBoxLoss of SSD (Liu et al. 2016; multibox_loss_layer.cpp, bbox_util.cpp of weiliu89/caffe).

Priors are matched to true boxes; the loss is that of the matched boxes' places and that of the
classes of the matched ones and of the hardest negatives of each image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, TrueBoxes, corner_rows
from netc.ops.cost import per_input
from netc.ops.define import FLOAT, Arity, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.boxes import areas, nms_keep
from netc.ops.detection.detection_output import decoded_boxes
from netc.ops.detection.matching import NO_MATCH, encoded, matches
from netc.ops.detection.multibox_params import MultiBoxParams, parse_focal_multibox, parse_multibox
from netc.ops.detection.smooth_l1 import smooth_l1
from netc.ops.labels import divisor

_FLT_MIN = 2.0**-126  # FLT_MIN, the least float32 that is no denormal number
_SMALL = 1e-5  # boxes smaller than this are passed over when they are thinned out


def _shape(params: MultiBoxParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    location, confidence, priors, truth = inputs
    if len(priors) != 3 or priors[1] != 2 or priors[2] % 4:
        raise ShapeError(f"the third bottom must be 1x2x(4 * priors), it is {show(priors)}")
    if count(truth) % 8:
        raise ShapeError(f"true boxes are rows of 8, the fourth bottom is {show(truth)}")
    number, boxes = priors[2] // 4, 1 if params.share_location else params.classes
    for what, shape, each in (
        ("locations", location, 4 * boxes),
        ("confidences", confidence, params.classes),
    ):
        if not shape or shape[0] != location[0] or count(shape, 1) != number * each:
            raise ShapeError(
                f"{number} priors with {each} {what} each need {number * each} of them, the bottom "
                f"is {show(shape)}",
                "multibox_loss_param.num_classes",
            )
    return ((),)


class Image(NamedTuple):
    """An image's predictions and true boxes, and the priors, which all images share."""

    locations: AnyArray  # (priors, location classes, 4)
    scores: AnyArray  # (priors, classes)
    boxes: AnyArray  # (boxes, 4)
    labels: AnyArray  # (boxes,)
    priors: AnyArray  # (2, priors, 4), with variances


class MatchedPriors(NamedTuple):
    """What an image's priors are matched with.

    ``matched`` maps a location class (-1 where locations are shared) to the index of each prior's
    true box; ``negatives`` are the priors that count as background.
    """

    matched: dict[int, AnyArray]
    negatives: Sequence[int] | AnyArray


@quietly
def multibox_loss(params: MultiBoxParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The loss of a batch, shape (); an image without true boxes has no matches and no negatives.

    Raises:
        NetcError: label-out-of-range.
    """
    images = list(images_of(params, inputs))
    found = [find_matches(params, image) for image in images]
    number, by = matched_number(found), loss_divisor(params, images, found)
    place = _place_loss(params, images, found) if number and params.parts[0] else 0.0
    classes = _class_loss(params, images, found) if params.parts[1] else 0.0
    return (np.asarray((params.loc_weight * place + classes) / by, inputs[0].dtype).reshape(()),)


def matched_number(found: Sequence[MatchedPriors]) -> int:
    """How many priors are matched, in all images."""
    return sum(int((m > NO_MATCH).sum()) for one in found for m in one.matched.values())


def loss_divisor(
    params: MultiBoxParams, images: Sequence[Image], found: Sequence[MatchedPriors]
) -> AnyArray | float:
    """What the loss of a batch is divided by, see :func:`netc.ops.labels.divisor`."""
    number, priors = np.int64(matched_number(found)), images[0].priors.shape[1]
    return divisor(params.normalization, len(images), priors, number)


def images_of(params: MultiBoxParams, inputs: Arrays) -> Iterator[Image]:
    """The images of a batch, in order.

    Raises:
        NetcError: label-out-of-range, for a true box of the background or of no class.
    """
    location, confidence, priors, truth = (np.asarray(array) for array in inputs)
    number = priors.shape[2] // 4
    priors = priors.reshape(-1)[: 8 * number].reshape(2, number, 4)
    each = 1 if params.share_location else params.classes
    rows = truth.reshape(-1, 8)
    for image in range(location.shape[0]):
        own = rows[rows[:, 0].astype(np.int64) == image]
        if not params.difficult:
            own = own[own[:, 7].astype(np.int64) == 0]
        labels = own[:, 1].astype(np.int64)
        _check_labels(params, labels)
        yield Image(
            location[image].reshape(number, each, 4),
            confidence[image].reshape(number, params.classes),
            own[:, 3:7],
            labels,
            priors,
        )


def _check_labels(params: MultiBoxParams, labels: AnyArray) -> None:
    wrong = (labels == params.background) | (labels < 0)
    if not params.agnostic:
        wrong |= labels >= params.classes
    if wrong.any():
        raise NetcError(
            Diagnostic(
                "label-out-of-range",
                f"a true box is of class {labels[wrong][0]}; the {params.classes} classes are 0 to "
                f"{params.classes - 1}, without the background {params.background}",
            )
        )


def targets_of(params: MultiBoxParams, image: Image) -> AnyArray:
    """The class that each true box is to be predicted as, (boxes,)."""
    return np.full_like(image.labels, params.background + 1) if params.agnostic else image.labels


def find_matches(params: MultiBoxParams, image: Image) -> MatchedPriors:
    """What an image's priors are matched with, and the negatives that are mined."""
    if not len(image.boxes):
        return MatchedPriors({}, ())
    matched, best = _matched(params, image)
    if params.mining == "NONE":
        return MatchedPriors(matched, ())
    (match,) = matched.values()
    if params.mining == "MAX_NEGATIVE":
        eligible = (match == NO_MATCH) & (best < np.float32(params.neg_overlap))
        limit = int(np.float32((match > NO_MATCH).sum()) * np.float32(params.ratio))
    else:
        eligible, limit = np.ones(len(match), dtype=bool), params.sample_size
    losses = _prior_losses(params, image, match)
    chosen = _hardest(params, image, np.flatnonzero(eligible), losses, limit)
    selected = np.zeros(len(match), dtype=bool)
    selected[chosen] = True
    negatives = np.flatnonzero(selected & (match == NO_MATCH))
    if params.mining == "HARD_EXAMPLE":
        match = np.where((match > NO_MATCH) & ~selected, NO_MATCH, match)
    return MatchedPriors({-1: match}, negatives)


def _matched(params: MultiBoxParams, image: Image) -> tuple[dict[int, AnyArray], Any]:
    rules = (params.threshold, params.bipartite, params.inside_only)
    priors = image.priors[0]
    if params.share_location:
        boxes = priors if params.match_priors else _decoded(params, image, 0)
        match, best = matches(boxes, image.boxes, *rules)
        return {-1: match}, best
    found: dict[int, AnyArray] = {}
    for label in (c for c in range(params.classes) if c != params.background):
        if params.match_priors:
            match, _ = matches(priors, image.boxes, *rules)
            own = image.labels[np.maximum(match, 0)] == label
            found[label] = np.where((match > NO_MATCH) & own, match, NO_MATCH)
        else:
            some = np.flatnonzero(image.labels == label)
            match, _ = matches(_decoded(params, image, label), image.boxes[some], *rules)
            found[label] = np.where(match > NO_MATCH, np.append(some, 0)[match], match)
    return found, None


def _decoded(params: MultiBoxParams, image: Image, label: int) -> AnyArray:
    """The boxes that an image's predictions stand for."""
    coded = image.locations[:, label]
    return decoded_boxes(params.code_type, params.variance_in_target, coded, image.priors)


def _prior_losses(params: MultiBoxParams, image: Image, match: AnyArray) -> AnyArray:
    """How hard each prior is: its class's loss and, of hard examples, its place's."""
    targets = np.append(targets_of(params, image), params.background)[match.clip(NO_MATCH)]
    losses = _conf_losses(params, image.scores, targets)
    if params.mining == "HARD_EXAMPLE":
        at = np.flatnonzero(match > NO_MATCH)
        difference = place_differences(params, image, -1, match)
        losses[at] += _one_losses(params, difference).sum(axis=1)
    return losses


def _conf_losses(params: MultiBoxParams, scores: AnyArray, targets: AnyArray) -> AnyArray:
    """Each row's loss for a class, by which priors are mined."""
    if params.conf_loss == "SOFTMAX":
        return -np.log(np.maximum(target_probabilities(scores, targets), _FLT_MIN))
    wanted = np.arange(scores.shape[1]) == targets[:, None]
    result: AnyArray = _logistic(scores, wanted).sum(axis=1)
    return result


def target_probabilities(scores: AnyArray, targets: AnyArray) -> AnyArray:
    """The softmax of each row's scores at its target, (rows,)."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    chosen = np.take_along_axis(shifted, targets[:, None], axis=1)[:, 0]
    result: AnyArray = chosen / shifted.sum(axis=1)
    return result


def _softmax_loss(params: MultiBoxParams, scores: AnyArray, targets: AnyArray) -> float:
    """The classes' loss of some rows, focused where the layer is."""
    if params.focus is None:
        losses = _conf_losses(params, scores, targets)
    else:
        losses = params.focus.loss(target_probabilities(scores, targets))
    return float(losses.sum(dtype=np.float64))


def _logistic(scores: AnyArray, wanted: AnyArray) -> AnyArray:
    result: AnyArray = np.maximum(scores, 0) - scores * wanted + np.log1p(np.exp(-np.abs(scores)))
    return result


def _hardest(
    params: MultiBoxParams, image: Image, at: AnyArray, losses: AnyArray, count: int
) -> AnyArray:
    """The ``count`` priors of greatest loss among some, thinned out by their overlaps if asked."""
    order = at[np.argsort(-losses[at], kind="stable")]
    if params.nms is None or not params.nms[0] > 0:
        return order[:count]
    threshold, top = params.nms
    boxes = image.priors[0] if params.nms_priors else _decoded(params, image, 0)
    order = order[:top] if top > -1 else order
    order = order[areas(boxes[order]) >= _SMALL]
    limit = len(order) if top < 0 else top
    return order[nms_keep(boxes[order], threshold, limit=limit)][:count]


def place_differences(
    params: MultiBoxParams, image: Image, label: int, match: AnyArray
) -> AnyArray:
    """Predicted less wanted offsets of the matched priors, (matched, 4).

    ``label`` is the location class and ``match`` each prior's true box, as in
    :class:`MatchedPriors`.
    """
    at = np.flatnonzero(match > NO_MATCH)
    priors, variances = image.priors[0][at], image.priors[1][at]
    wanted = encoded(params.code_type, image.boxes[match[at]], priors)
    if not params.variance_in_target:
        wanted = wanted / variances
    predicted = image.locations[at, max(label, 0)]
    difference = predicted - wanted
    if params.bp_inside:
        boxes = priors if params.match_priors else _decoded(params, image, max(label, 0))[at]
        difference = np.where((boxes < 0) | (boxes > 1), np.float32(0), difference)
    result: AnyArray = difference / variances if params.variance_in_target else difference
    return result


def _one_losses(params: MultiBoxParams, difference: AnyArray) -> AnyArray:
    return (
        smooth_l1(difference, 1.0)
        if params.loc_loss == "SMOOTH_L1"
        else difference * difference / 2
    )


def _place_loss(params: MultiBoxParams, images: list[Image], found: list[MatchedPriors]) -> float:
    losses = [
        _one_losses(params, place_differences(params, image, label, match)).sum(dtype=np.float64)
        for image, one in zip(images, found, strict=True)
        for label, match in one.matched.items()
    ]
    return float(sum(losses))


def _class_loss(params: MultiBoxParams, images: list[Image], found: list[MatchedPriors]) -> float:
    if params.mining == "NONE":
        return _all_classes_loss(params, images, found)
    total = 0.0
    for image, one in zip(images, found, strict=True):
        for match in one.matched.values():
            at = np.flatnonzero(match > NO_MATCH)
            total += _rows_loss(params, image.scores[at], targets_of(params, image)[match[at]])
        background = np.full(len(one.negatives), params.background)
        total += _rows_loss(params, image.scores[list(one.negatives)], background)
    return total


def _rows_loss(params: MultiBoxParams, scores: AnyArray, targets: AnyArray) -> float:
    """The classes' loss of some rows; a logistic target begins as the background's number."""
    if not len(scores):
        return 0.0
    if params.conf_loss == "SOFTMAX":
        return _softmax_loss(params, scores, targets)
    wanted = wanted_scores(params, scores, targets)
    return float(_logistic(scores, wanted).sum(dtype=np.float64))


def wanted_scores(params: MultiBoxParams, scores: AnyArray, targets: AnyArray) -> AnyArray:
    """Targets of the logistic loss, (rows, classes), for rows of these target classes.

    All but the target are the number of the background class, as in the fork.
    """
    wanted = np.full(scores.shape, params.background, np.float32)
    wanted[np.arange(len(targets)), targets] = 1
    return wanted


def _all_classes_loss(
    params: MultiBoxParams, images: list[Image], found: list[MatchedPriors]
) -> float:
    """Without mining every prior of every image counts."""
    scores = np.concatenate([image.scores for image in images])
    targets = all_targets(params, images, found)
    if params.conf_loss == "SOFTMAX":
        return _softmax_loss(params, scores, targets)
    return float(_logistic(scores, targets.reshape(scores.shape)).sum(dtype=np.float64))


def all_targets(
    params: MultiBoxParams, images: Sequence[Image], found: Sequence[MatchedPriors]
) -> AnyArray:
    """Each prior's target class in all images; for the logistic loss the target of each score.

    The fork writes an image's logistic targets ``priors``, not ``priors * classes``, elements
    behind the last image's, so that they overlap; so does netc (EncodeConfPrediction).
    """
    number, classes = images[0].scores.shape
    size = len(images) * number
    if params.conf_loss == "SOFTMAX":
        targets = np.full(size, params.background)
    else:
        targets = np.full(size * classes, params.background, np.float32)
    for at, (image, one) in enumerate(zip(images, found, strict=True)):
        for match in one.matched.values():
            rows = np.flatnonzero(match > NO_MATCH)
            labels = targets_of(params, image)[match[rows]]
            if params.conf_loss == "SOFTMAX":
                targets[at * number + rows] = labels
            else:
                targets[at * number + rows * classes + labels] = 1
    return targets


def _memory(params: MultiBoxParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Copies of the bottoms, and tables of each prior's overlap with each true box."""
    table = (inputs[2][2] // 4) * (count(inputs[3]) // 8)
    return copies(12)(params, inputs, outputs) + 8 * FLOAT * table


def _contents(params: MultiBoxParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, None, None, TrueBoxes(corner_rows(1, 1, True), params.classes)


MULTIBOX_LOSS = OpDef(
    name="MultiBoxLoss",
    arity=Arity((4, 4), (1, 1), optional_top=True),
    params=parse_multibox,
    shape=_shape,
    cost=per_input(20),
    window=full_extent,
    memory=_memory,
    reference=multibox_loss,
    loss=True,
    contents=_contents,
    family="loss",
    host=True,
)

MULTIBOX_FOCAL_LOSS = replace(MULTIBOX_LOSS, name="MultiBoxFocalLoss", params=parse_focal_multibox)
"""Of chuanqi305/FocalLoss (multibox_focal_loss_layer.cpp): priors are mined by the plain loss."""

OPS = (MULTIBOX_LOSS, MULTIBOX_FOCAL_LOSS)
# yuqj1991/caffe_train's, whose own fields and losses are refused; by the others it is SSD's.
OTHER_NAMES = {"MultiBoxSSDLoss": MULTIBOX_LOSS}
