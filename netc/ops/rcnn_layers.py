"""Built-in Python layers of Faster R-CNN (Ren et al. 2015) and ENet.

AnchorTargetLayer and ProposalTargetLayer choose what is trained: rpn/anchor_target_layer.py and
rpn/proposal_target_layer.py of rbgirshick/py-faster-rcnn, with the constants of its configuration
for end-to-end training; random choices are drawn by netc's own generator. SpatialDropoutLayer is
TimoSaemann/ENet's. Boxes are in pixels, their maxima belong to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.anchors import placed_anchors
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.boxes import areas, overlaps
from netc.ops.contents import Contents, ImageSizes, Regions, TrueBoxes, corner_rows
from netc.ops.define import ShapeError
from netc.ops.param_str import parse_param_str
from netc.ops.proposal import ProposalParams
from netc.ops.python import (
    Implementation,
    ImplementationGradient,
    ImplementationShape,
    PythonContext,
    register_built_in,
    register_python_contents,
)
from netc.ops.random import uniform

_RPN_BATCH, _RPN_POSITIVES, _RPN_NEAR, _RPN_FAR = 256, 128, 0.7, 0.3
_BATCH, _POSITIVES, _NEAR = 128, 32, 0.5
_DEVIATIONS = (0.1, 0.1, 0.2, 0.2)


def box_overlaps(boxes: AnyArray, truth: AnyArray) -> AnyArray:
    """Intersection over union of boxes (n, 4) with true boxes (m, 4): (n, m)."""
    both = np.concatenate([boxes, truth])
    columns, own = np.ascontiguousarray(both.T), areas(both, 1)
    return overlaps(columns, own, np.arange(len(boxes), len(both)), 1)[:, : len(boxes)].T


def box_changes(boxes: AnyArray, truth: AnyArray) -> AnyArray:
    """Offsets (n, 4) from boxes to true boxes, (n, 4) each.

    dx and dy in parts of the box's width and height, and the logarithms of the factors of both.
    """
    side, wanted = boxes[:, 2:] - boxes[:, :2] + 1, truth[:, 2:] - truth[:, :2] + 1
    offset = (truth[:, :2] + wanted / 2 - boxes[:, :2] - side / 2) / side
    return np.concatenate([offset, np.log(wanted / side)], axis=1)


def _drawn(
    some: AnyArray, number: int, like: AnyArray, context: PythonContext, draw: int
) -> AnyArray:
    """So many of some, at random."""
    chance = uniform(like, (len(some),), context.layer, context.key, draw)
    return some[np.argsort(chance, kind="stable")[:number]]


# AnchorTargetLayer


def _anchor_params(param_str: str) -> tuple[ProposalParams, int]:
    """The anchors, and how far they may lie outside of the image."""
    given = parse_param_str(param_str, "AnchorTargetLayer", _ANCHOR_FIELDS)
    anchors = ProposalParams(
        int(given["feat_stride"]), int(given["base_size"]), 0,
        tuple(map(float, given["ratios"])), tuple(map(float, given["scales"])), 1, 1, 0.0,
    )  # fmt: skip
    return anchors, int(given["allowed_border"])


_ANCHOR_FIELDS: Mapping[str, object] = {
    "feat_stride": None, "base_size": 16, "ratios": (0.5, 1, 2), "scales": (8, 16, 32),
    "allowed_border": 0,
}  # fmt: skip


def _anchor_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    params, _ = _anchor_params(param_str)
    if len(inputs) < 3 or len(inputs[0]) != 4 or inputs[0][0] != 1:
        raise ShapeError(
            "Faster R-CNN's `AnchorTargetLayer` takes the scores of a single image, its true boxes "
            f"and its size; the bottoms are {', '.join(map(show, inputs))}"
        )
    rows, columns = inputs[0][2:]
    anchors = len(params.ratios) * len(params.scales)
    return ((1, 1, anchors * rows, columns), *((1, 4 * anchors, rows, columns),) * 3)


@quietly
def _anchor_targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    params, border = _anchor_params(param_str)
    return anchor_targets(params, border, inputs, context)


def anchor_targets(
    params: ProposalParams, border: int, inputs: Arrays, context: PythonContext
) -> tuple[AnyArray, ...]:
    """What anchors are to learn: labels, box changes and the weights before and behind their loss.

    Args:
        params: the anchors.
        border: how many pixels an anchor may lie outside of the image.
        inputs: scores, true boxes and the image's size.
        context: where random numbers come from.
    """
    cells = inputs[0].shape[2:]
    truth, (height, width) = np.asarray(inputs[1]).reshape(-1, 5), inputs[2].reshape(-1)[:2]
    anchors = placed_anchors(params, cells)
    low, high = anchors[:, :2] >= -border, anchors[:, 2:] < np.array([width, height]) + border
    inside = np.flatnonzero(low.all(axis=1) & high.all(axis=1))
    labels, targets = np.full(len(anchors), -1, np.float32), np.zeros((len(anchors), 4), np.float32)
    if len(inside):
        labels[inside], best = _anchor_labels(anchors[inside], truth, context)
        if len(truth):
            targets[inside] = box_changes(anchors[inside], truth[best, :4])
    own = np.repeat((labels == 1)[:, None], 4, axis=1).astype(np.float32)
    used = np.repeat((labels >= 0)[:, None], 4, axis=1).astype(np.float32)
    share = used / max(1, int((labels >= 0).sum()))
    maps = (array.reshape(1, *cells, -1).transpose(0, 3, 1, 2) for array in (targets, own, share))
    flat = labels.reshape(1, *cells, -1).transpose(0, 3, 1, 2)
    return (flat.reshape(1, 1, -1, cells[1]), *maps)


def _anchor_labels(
    anchors: AnyArray, truth: AnyArray, context: PythonContext
) -> tuple[AnyArray, AnyArray]:
    """1, 0 or -1 (left out) for each anchor, and the true box that it overlaps most.

    An anchor that overlaps a true box most is positive however little that is, even not at all.
    """
    labels = np.full(len(anchors), -1, np.float32)
    if not len(truth):
        labels[:], best = 0, np.zeros(len(anchors), np.int64)
    else:
        table = box_overlaps(anchors, truth[:, :4])
        best, most = table.argmax(axis=1), table.max(axis=1)
        labels[most < np.float32(_RPN_FAR)] = 0
        labels[(table == table.max(axis=0)).any(axis=1)] = 1
        labels[most >= np.float32(_RPN_NEAR)] = 1
    for label, draw in ((1, 0), (0, 1)):
        limit = _RPN_POSITIVES if label else _RPN_BATCH - int((labels == 1).sum())
        some = np.flatnonzero(labels == label)
        if len(some) > limit:
            labels[_drawn(some, len(some) - limit, anchors, context, draw)] = -1
    return labels, best


# ProposalTargetLayer


def _classes(param_str: str) -> int:
    return int(
        parse_param_str(param_str, "ProposalTargetLayer", {"num_classes": None})["num_classes"]
    )


def _target_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    classes = _classes(param_str)
    if len(inputs) < 2 or not inputs[0] or inputs[0][-1] != 5 or not inputs[1]:
        raise ShapeError(
            "Faster R-CNN's `ProposalTargetLayer` takes regions and true boxes, rows of 5; the "
            f"bottoms are {', '.join(map(show, inputs))}"
        )
    return ((_BATCH, 5, 1, 1), (_BATCH, 1, 1, 1), *((_BATCH, 4 * classes, 1, 1),) * 3)


class Sampling(NamedTuple):
    """How regions are chosen to train on.

    Args:
        classes: how many there are, the background counted.
        near: a region that overlaps a true box by this much or more is a positive one.
        most: regions that overlap one by this much or more are left out before; None for none.
        filled: negatives come again where there are too few, and of true boxes that a region
            overlaps by as much the last one counts; as makefile/frcnn has it.
    """

    classes: int
    near: float = _NEAR
    most: float | None = None
    filled: bool = False


@quietly
def _targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    return sampled_targets(Sampling(_classes(param_str)), inputs, context)


# R-FCN's layer gives four axes, Faster R-CNN's fewer; losses and ROIPooling take either.
def sampled_targets(
    rules: Sampling, inputs: Arrays, context: PythonContext
) -> tuple[AnyArray, ...]:
    """Regions to train on, their labels, box changes and the weights of those."""
    truth = np.asarray(inputs[1]).reshape(-1, 5)
    rows = np.asarray(inputs[0]).reshape(-1, 5)
    if rules.most is not None:
        rows = rows[_matched(rules, rows, truth)[1] < np.float32(rules.most)]
    own = np.concatenate([np.zeros((len(truth), 1)), truth[:, :4]], axis=1)
    rows = np.concatenate([rows, own]).astype(np.float32)
    best, most = _matched(rules, rows, truth)
    near = most >= np.float32(rules.near)
    positive = _drawn(np.flatnonzero(near), _POSITIVES, rows, context, 0)
    negative = _drawn(np.flatnonzero(~near), _BATCH - len(positive), rows, context, 1)
    if rules.filled and len(negative):
        negative = np.resize(negative, _BATCH - len(positive))
    kept = np.concatenate([positive, negative])
    labels = np.zeros(len(kept), np.float32)
    labels[: len(positive)] = truth[best[positive], 4]
    targets, inside = _by_class(
        labels, rules.classes, rows[positive, 1:], truth[best[positive], :4]
    )
    made = (rows[kept], labels[:, None], targets, inside, (inside > 0).astype(np.float32))
    return tuple(array.reshape(*array.shape, 1, 1) for array in made)


def _matched(rules: Sampling, rows: AnyArray, truth: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The true box that each region overlaps most, and by how much."""
    if not len(truth):
        return np.zeros(len(rows), np.int64), np.zeros(len(rows))
    table = box_overlaps(rows[:, 1:], truth[:, :4])
    last = len(truth) - 1 - table[:, ::-1].argmax(axis=1)
    return last if rules.filled else table.argmax(axis=1), table.max(axis=1)


def _by_class(
    labels: AnyArray, classes: int, boxes: AnyArray, truth: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """Changes of the positives, which come first, in the columns of their class."""
    targets = np.zeros((len(labels), 4 * classes), np.float32)
    inside = np.zeros_like(targets)
    changes = box_changes(boxes, truth) / np.array(_DEVIATIONS, np.float32)
    for row, (label, change) in enumerate(zip(labels, changes, strict=False)):
        at = slice(4 * int(label), 4 * int(label) + 4)
        if 0 < label < classes:
            targets[row, at], inside[row, at] = change, 1
    return targets, inside


# SpatialDropoutLayer of TimoSaemann/ENet


def _dropout(param_str: str) -> tuple[bool, float]:
    given = parse_param_str(param_str, "SpatialDropoutLayer", {"phase": "", "p": None})
    share = float(given["p"])
    if not 0 < share < 1:
        raise ShapeError(f"`p` must be between 0 and 1, it is {share:g}", code="python-layer")
    return given["phase"] == "TRAIN", share


def _maps(x: AnyArray, param_str: str, context: PythonContext) -> AnyArray:
    """What each map is multiplied by; outside of training too, as that layer does it."""
    training, share = _dropout(param_str)
    scale: AnyArray = x.dtype.type(1 / (1 - share))
    if not training:
        return scale
    chance = uniform(x, x.shape[:2], context.layer, context.key)
    result: AnyArray = ((chance >= share) * scale)[:, :, None, None].astype(x.dtype)
    return result


def _dropped(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    return (inputs[0] * _maps(inputs[0], param_str, context),)


def _dropped_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    _dropout(param_str)
    if len(inputs) != 1 or len(inputs[0]) != 4:
        raise ShapeError("`SpatialDropoutLayer` takes one bottom of 4 axes")
    return (inputs[0],)


def _dropped_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray, ...]:
    return (tops[0] * _maps(inputs[0], param_str, context),)


def _no_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[None, ...]:
    """None by any bottom: these layers' ``backward`` does nothing."""
    return (None,) * len(inputs)


def _anchor_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """True boxes in the image that the cells are of, and its size."""
    stride = _anchor_params(param_str)[0].stride
    high, wide = (size * stride for size in inputs[0][2:])
    return None, TrueBoxes(corner_rows(0, 0), 2, 1, high, wide), ImageSizes(high, wide)


def _target_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return Regions(1, _SIDE, _SIDE), TrueBoxes(
        corner_rows(0, 0), _classes(param_str), 1, _SIDE, _SIDE
    )


_SIDE = 600.0  # of an image, where nothing tells it

_LAYERS: tuple[
    tuple[str, str, Implementation, ImplementationShape, bool, ImplementationGradient], ...
] = (
    ("rpn.anchor_target_layer", "AnchorTargetLayer", _anchor_targets, _anchor_shape, False,
     _no_gradient),
    ("rpn.proposal_target_layer", "ProposalTargetLayer", _targets, _target_shape, True,
     _no_gradient),
    ("spatial_dropout", "SpatialDropoutLayer", _dropped, _dropped_shape, False, _dropped_gradient),
)  # fmt: skip
for _module, _name, _run, _rule, _vary, _slope in _LAYERS:
    register_built_in(_module, _name, _run, _rule, _vary, _slope)
register_python_contents("rpn.anchor_target_layer", "AnchorTargetLayer", _anchor_contents)
register_python_contents("rpn.proposal_target_layer", "ProposalTargetLayer", _target_contents)
