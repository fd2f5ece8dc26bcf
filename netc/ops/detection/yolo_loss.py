"""Yolov3, the loss of YOLOv3 and its followers, of eric612/MobileNet-YOLO.

yolov3_layer.cpp (Redmon and Farhadi 2018; label smoothing, focal loss and losses by overlap after
AlexeyAB's darknet). A map has, for each anchor of a cell, x, y, width, height, objectness and the
classes; the label has 300 rows of class, centre and size for each image. As in darknet the forward
pass computes what each output is to change by; the loss is the sum of the squares of these, or with
`iou_loss` that of objectness and classes, and the mean of 1 - overlap.

Kept of the fork: a true box also goes to every anchor of the mask that it overlaps by more than
`iou_thresh` and whose number among all anchors is not the place of the best one in the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents
from netc.ops.define import LayerContext, ShapeError
from netc.ops.detection.darknet import (
    ROW,
    TRUE_BOXES,
    cell_of,
    check_label,
    darknet_loss,
    first_true,
    true_boxes,
)
from netc.ops.detection.yolo_overlap import DIOU, IOU, MSE, growth, likeness
from netc.ops.detection.yolo_parts import anchors_of, mask_of
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class Yolov3Params:
    """YOLOv3's loss of one level.

    Args:
        classes: how many, without a background.
        anchors: width and height of all levels' anchors, in pixels.
        mask: indices of this level's anchors.
        scale: pixels of a cell.
        threshold: a prediction that overlaps a true box by more need not have objectness 0.
        shared: besides the best anchor, those that a true box overlaps by more are trained for it.
        class_scale, coord_scale, object_scale: weights; the last counts with ``logistic`` alone.
        logistic: the gradient includes the derivative of the sigmoids.
        focal: classes by focal loss.
        smooth: label smoothing.
        overlap: the boxes' loss: MSE of the offsets, or IOU, GIOU, DIOU, CIOU.
        overlap_weight, most, accumulate: of a loss by overlaps: its weight, the greatest change,
            and whether the changes of several true boxes add up.
    """

    classes: int
    anchors: tuple[tuple[float, float], ...]
    mask: tuple[int, ...]
    scale: int
    threshold: float
    shared: float
    class_scale: float
    coord_scale: float
    object_scale: float
    logistic: bool
    focal: bool
    smooth: float
    overlap: str
    overlap_weight: float
    most: float
    accumulate: bool


_FIELDS = ("side", "num_class", "num", "object_scale", "class_scale", "noobject_scale",
           "coord_scale", "anchors_scale", "biases", "mask", "thresh", "iou_thresh",
           "use_logic_gradient", "use_focal_loss", "label_smooth_eps", "iou_loss",
           "iou_normalizer", "max_delta", "accumulate")  # fmt: skip
_READ = ("anchors_scale", "thresh", "iou_thresh", "class_scale", "coord_scale", "object_scale",
         "use_logic_gradient", "use_focal_loss", "label_smooth_eps", "iou_loss", "iou_normalizer",
         "max_delta", "accumulate")  # fmt: skip


def _parse(layer: Message, context: LayerContext) -> Yolov3Params:
    p = reject_unknown_fields(layer.get("yolov3_param"), *_FIELDS)
    anchors = anchors_of(p)
    mask = mask_of(p, len(anchors))
    if len(mask) != p.get("num"):
        raise p.error("mask" if mask else None, "value-count", f"`num` {p.get('num')} anchors need "
                      f"as many `mask`, and there are {len(mask)}")  # fmt: skip
    return Yolov3Params(required_number(p, "num_class"), anchors, mask, *map(p.get, _READ))


def _shape(params: Yolov3Params, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    wanted = len(params.mask) * (5 + params.classes)
    if len(data) != 4 or data[1] != wanted:
        raise ShapeError(f"the first bottom must have {wanted} channels, it is {show(data)}")
    check_label(data, label)
    return ((),)


class Changes(NamedTuple):
    """What a batch's outputs are to change by, and how well boxes overlap.

    Args:
        seen: the outputs, sigmoids but of width and height: (num, anchors, 5 + classes, rows,
            columns).
        by: what they are to change by, in that shape.
        lacking: 1 - overlap of each true box with each box that is trained for it.
    """

    seen: AnyArray
    by: AnyArray
    lacking: list[float]


def yolov3_changes(params: Yolov3Params, x: AnyArray, label: AnyArray) -> Changes:
    """What a batch's outputs are to change by.

    Raises:
        NetcError: region-out-of-range, for a true box with its centre outside of the image.
    """
    x = x.reshape(len(x), len(params.mask), -1, *x.shape[2:])
    seen = sigmoid(x)
    seen[:, :, 2:4] = x[:, :, 2:4]
    found = Changes(seen, np.zeros_like(seen), [])
    for at, rows in enumerate(label.reshape(len(label), TRUE_BOXES, ROW)):
        _image(params, seen[at], found.by[at], found.lacking, rows)
    return found


def _image(
    params: Yolov3Params, seen: AnyArray, by: AnyArray, lacking: list[float], rows: AnyArray
) -> None:
    by[:, 4] = seen[:, 4]
    best = _best_overlap(params, seen, rows[: first_true(rows[:, 1] == 0)])
    by[:, 4][best > np.float32(params.threshold)] = 0
    for row in rows[: first_true(rows[:, 3] == 0)]:
        for anchor in _chosen(params, row[1:5], seen.shape[2:]):
            lacking.append(1 - _learn(params, seen, by, row, anchor))


def _best_overlap(params: Yolov3Params, seen: AnyArray, rows: AnyArray) -> AnyArray:
    """The greatest overlap of each predicted box with a true one."""
    high, wide = seen.shape[2:]
    across, down = np.meshgrid(np.arange(wide), np.arange(high))
    anchors = np.array([params.anchors[i] for i in params.mask], seen.dtype)[:, :, None, None]
    image = np.array([wide, high], seen.dtype).reshape(1, 2, 1, 1)
    centre = (seen[:, :2] + np.stack([across, down])) / image
    size = np.exp(seen[:, 2:4]) * anchors / (image * params.scale)
    boxes = np.concatenate([centre, size], axis=1).transpose(0, 2, 3, 1).reshape(-1, 4)
    best = np.zeros(len(boxes), seen.dtype)
    for row in rows:
        best = np.fmax(best, likeness(params.overlap, row[1:5], boxes))
    return best.reshape(len(params.mask), high, wide)


def _chosen(params: Yolov3Params, box: AnyArray, sides: tuple[int, ...]) -> list[int]:
    """Places in the mask of the anchors that learn a true box, the best one first."""
    image = np.array([sides[1], sides[0]], box.dtype) * params.scale
    shapes = np.array(params.anchors, box.dtype) / image
    flat = np.concatenate([np.zeros_like(shapes), shapes], axis=1)
    own = likeness(params.overlap, np.concatenate([[0, 0], box[2:]]).astype(box.dtype), flat)
    best = int(np.nanargmax(own)) if (own > 0).any() else -1
    chosen = []
    if best in params.mask:
        best = params.mask.index(best)  # from here on a place in the mask, as the fork has it
        chosen.append(best)
    if params.shared < 1:
        near = np.flatnonzero(own > np.float32(params.shared))
        chosen += [params.mask.index(n) for n in near if n in params.mask and n != best]
    return chosen


def _learn(params: Yolov3Params, seen: AnyArray, by: AnyArray, row: AnyArray, at: int) -> float:
    """Let an anchor of the cell of a true box learn it; gives how well its box lies."""
    high, wide = seen.shape[2:]
    label, box = int(row[0]), row[1:5]
    i, j = cell_of(box, wide, high)
    own, change = seen[at, :, j, i], by[at, :, j, i]
    image = np.array([wide, high], seen.dtype)
    anchor = np.array(params.anchors[params.mask[at]], seen.dtype)
    centre = (own[:2] + np.array([i, j], seen.dtype)) / image
    size = np.exp(own[2:4]) * anchor / (image * params.scale)
    guess = np.concatenate([centre, size])
    if params.overlap == MSE:
        scale = params.coord_scale * (2 - box[2] * box[3])
        place = box[:2] * image - (i, j)
        wanted = np.concatenate([place, np.log(box[2:] * image * params.scale / anchor)])
        change[:4] = scale * (own[:4] - wanted)
    else:
        _learn_overlap(params, own, change, guess, box)
    change[4] = (own[4] - 1) * (params.object_scale if params.logistic else 1)
    _learn_class(params, own[5:], change[5:], label)
    lies = DIOU if params.overlap == IOU else params.overlap
    return float(likeness(lies, box, guess[None])[0])


def _learn_overlap(
    params: Yolov3Params, own: AnyArray, change: AnyArray, guess: AnyArray, box: AnyArray
) -> None:
    grown = np.array(growth(params.overlap, guess, box))
    grown[2:] *= np.exp(own[2:4].astype(np.float64))
    grown *= params.overlap_weight
    grown[~np.isfinite(grown)] = 0
    grown = np.clip(grown, -params.most, params.most)
    change[:4] = (change[:4] if params.accumulate else 0) - grown


def _learn_class(params: Yolov3Params, own: AnyArray, change: AnyArray, label: int) -> None:
    """Classes of an anchor that learns; of one that has learnt before, the one class alone."""
    smooth = params.smooth
    if change[label]:
        change[label] = params.class_scale * (own[label] - (1 - smooth / 2))
        return
    hot = (np.arange(params.classes) == label).astype(own.dtype)
    if not params.focal:
        change[:] = params.class_scale * (own - (hot * (1 - smooth) + smooth / 2))
        return
    sure = float(own[label]) + 1e-15
    focus = -(1 - sure) * (2 * sure * np.log(sure) + sure - 1)
    change[:] = params.class_scale * (own - hot) * 0.5 * focus


@quietly
def _loss(params: Yolov3Params, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The sum of the squares of what is to change, over the batch."""
    x, label = np.asarray(inputs[0]), np.asarray(inputs[1])
    found = yolov3_changes(params, x, label)
    first = 0 if params.overlap == MSE else 4
    total = float((found.by[:, :, first:].astype(np.float64) ** 2).sum())
    if first and found.lacking:
        total += params.overlap_weight * sum(found.lacking) / len(found.lacking)
    return (np.array(total / len(x), x.dtype),)


@quietly
def yolov3_slopes(params: Yolov3Params, x: AnyArray, label: AnyArray) -> AnyArray:
    """The bottom's gradient before it is multiplied by the top's, in the bottom's shape.

    With ``logistic`` it includes the derivative of the sigmoids; with a loss by overlaps the fork
    takes x and y before the sigmoid for x and y behind it.
    """
    found = yolov3_changes(params, x, label)
    slopes = found.by
    if params.logistic:
        through = found.seen.copy()
        if params.overlap != MSE:
            through[:, :, :2] = x.reshape(found.seen.shape)[:, :, :2]
        through *= 1 - through
        through[:, :, 2:4] = 1
        slopes = slopes * through
    return slopes.reshape(x.shape)


def _contents(params: Yolov3Params, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return true_boxes(params.classes)


YOLOV3 = darknet_loss("Yolov3", _parse, _shape, _loss, _contents)

OPS = (YOLOV3,)
