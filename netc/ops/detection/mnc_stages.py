"""Python layers between the stages of multi-task network cascades (Dai et al. 2016).

mask_layer.py and stage_bridge_layer.py of ``pylayer`` in daijifeng001/MNC: predicted masks as
proposals, and regions moved by what the first stages found, as the next stages' regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Regions, Whole
from netc.ops.define import ShapeError
from netc.ops.detection.anchors import moved_rows
from netc.ops.detection.boxes import nearest
from netc.ops.detection.mnc import clip_of
from netc.ops.detection.mnc_masks import (
    INFO,
    MASK_SIDE,
    TrueMasks,
    mask_of,
    mask_overlap,
    mask_targets,
    whole_box,
)
from netc.ops.detection.mnc_targets import SIDE, boxes_to_learn, check_regions, true_contents
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_NEAR = 0.5  # overlap of boxes, and of masks, from which a region has its object's label

# MaskLayer


def _mask_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    training = context.phase == "TRAIN"
    if not inputs or len(inputs[0]) < 2 or count(inputs[0], 1) != MASK_SIDE * MASK_SIDE:
        raise ShapeError(
            f"MNC's `MaskLayer` takes masks of {MASK_SIDE * MASK_SIDE} pixels; the bottoms are "
            f"{', '.join(map(show, inputs))}"
        )
    if training and (len(inputs) != 3 or len(inputs[1]) != 3 or inputs[2] != (inputs[0][0], INFO)):
        raise ShapeError(
            f"in training MNC's `MaskLayer` takes true masks and rows of {INFO} for each predicted "
            f"one; the bottoms are {', '.join(map(show, inputs))}"
        )
    rows = inputs[0][0]
    masks = (rows, 1, MASK_SIDE, MASK_SIDE)
    return (masks, (rows, 1)) if training else (masks,)


def _masks(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """Predicted masks as maps, and the label of each whose mask overlaps its true one by a half."""
    masks = inputs[0].reshape(-1, 1, MASK_SIDE, MASK_SIDE)
    if context.phase != "TRAIN":
        return (masks,)
    return masks, _mask_labels(inputs)[:, None]


def _mask_labels(inputs: Arrays) -> AnyArray:
    predicted, true, info = (np.asarray(array) for array in inputs)
    labels = np.zeros(len(predicted), np.float32)
    for row in np.flatnonzero(info[:, 0] != -1):
        mask = mask_of(true, int(info[row, 0]), info[row, 1:3])
        box, true_box = whole_box(info[row, 4:8]), whole_box(info[row, 8:12])
        own = predicted[row].reshape(MASK_SIDE, MASK_SIDE)
        if mask_overlap(own, box, mask, true_box) >= _NEAR:
            labels[row] = info[row, 3]
    return labels


def _mask_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    """In training, masks with a label alone learn."""
    made: AnyArray = tops[0].reshape(inputs[0].shape)
    if context.phase != "TRAIN":
        return (made,)
    own = (_mask_labels(inputs) > 0).reshape(-1, *(1,) * (made.ndim - 1))
    return made * own, None, None


def _mask_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return (None, Whole(2)) if len(inputs) == 3 else ()


register_built_in(
    "pylayer.mask_layer", "MaskLayer", _masks, _mask_shape, False, _mask_gradient, _mask_contents
)

# StageBridgeLayer

_FIELDS: Mapping[str, object] = {
    "use_clip": 0, "clip_base": 64, "feat_stride": 16, "num_classes": None,
}  # fmt: skip


def _classes(param_str: str) -> int:
    return int(parse_param_str(param_str, "StageBridgeLayer", _FIELDS)["num_classes"])


def _bridge_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    training = context.phase == "TRAIN"
    if len(inputs) != (7 if training else 4):
        raise ShapeError(
            "MNC's `StageBridgeLayer` takes regions, box changes, scores and, in training, true "
            "boxes and masks, the image's size and the masks' sizes, else its size alone; there "
            f"are {len(inputs)} bottoms"
        )
    rows, classes = inputs[0][0], count(inputs[2], 1)
    if count(inputs[1], 1) != 4 * classes or inputs[1][0] != rows or inputs[2][0] != rows:
        raise ShapeError(
            f"{classes} classes of {rows} regions need {rows}x{4 * classes} box changes, the "
            f"bottom is {show(inputs[1])}"
        )
    if not training:
        return ((rows, 5),)
    check_regions(inputs[0], inputs[3], inputs[5])
    clip_of(param_str, 64)
    rows += inputs[3][0]
    each, mask = (rows, 4 * _classes(param_str)), (rows, 1, MASK_SIDE, MASK_SIDE)
    return ((rows, 5), (rows,), mask, mask, (rows, INFO), each, each, each)


def _moved(inputs: Arrays, label: AnyArray) -> AnyArray:
    """Regions moved by the changes of one class each."""
    rows = np.asarray(inputs[0]).reshape(-1, 5)
    changes = np.asarray(inputs[1]).reshape(len(rows), -1, 4)
    return moved_rows(rows[:, 1:], changes[np.arange(len(rows)), label])


def _cut(boxes: AnyArray, info: AnyArray) -> AnyArray:
    height, width = np.asarray(info).reshape(-1)[:2]
    return np.maximum(np.minimum(boxes, np.array([width - 1, height - 1] * 2, np.float32)), 0)


@quietly
def _bridge(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """The regions of the next stages.

    Outside of training a region is moved by the changes of its best class, which may be the
    background; in training by those of the best other class, and each has its object to learn.
    """
    scores = np.asarray(inputs[2]).reshape(len(inputs[2]), -1)
    if context.phase != "TRAIN":
        boxes = _cut(_moved(inputs, scores.argmax(axis=1)), inputs[3])
        return (np.concatenate([np.zeros((len(boxes), 1)), boxes], axis=1),)
    truth, info = np.asarray(inputs[3]).reshape(-1, 5), np.asarray(inputs[5])
    boxes = _cut(_all_boxes(inputs, truth), info)
    best, kept, positives = _kept(boxes, truth)
    rows = np.concatenate([np.zeros((len(boxes), 1)), boxes], axis=1)[kept].astype(np.float32)
    rois, labels, *targets = boxes_to_learn(rows, best[kept], truth, positives, _classes(param_str))
    true = TrueMasks(
        truth, np.asarray(inputs[4]), np.asarray(inputs[6]), float(info.reshape(-1)[2])
    )
    return rois, labels, *mask_targets(true, rois[:, 1:], best[kept], positives), *targets


def _all_boxes(inputs: Arrays, truth: AnyArray) -> AnyArray:
    """The moved regions, and the true boxes behind them."""
    scores = np.asarray(inputs[2]).reshape(len(inputs[2]), -1)
    moved = _moved(inputs, scores[:, 1:].argmax(axis=1) + 1)
    return np.concatenate([moved, truth[:, :4]])


def _kept(boxes: AnyArray, truth: AnyArray) -> tuple[AnyArray, AnyArray, int]:
    """The object of each box, the order of all with the positives first, and how many those are."""
    best, most = nearest(boxes, truth[:, :4])
    near = most >= np.float32(_NEAR)
    return best, np.concatenate([np.flatnonzero(near), np.flatnonzero(~near)]), int(near.sum())


@quietly
def _bridge_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    """By the regions and the box changes, as the layer has it: no derivative.

    What arrives at a region's corners counts as its centre's and sides', and a region's sides are
    taken for its first maximum less the image's number and for its second less its first.
    """
    if context.phase != "TRAIN":
        return (None,) * len(inputs)
    truth, info = np.asarray(inputs[3]).reshape(-1, 5), np.asarray(inputs[5]).reshape(-1)
    boxes = _all_boxes(inputs, truth)
    _, kept, _ = _kept(_cut(boxes, info), truth)
    rows = np.asarray(inputs[0]).reshape(-1, 5)
    arrived = np.zeros((len(boxes), 4))
    arrived[kept] = tops[0].reshape(-1, 5)[:, 1:]
    arrived, every = arrived[: len(rows)], np.arange(len(rows))
    label = np.asarray(inputs[2]).reshape(len(rows), -1)[:, 1:].argmax(axis=1) + 1
    most, own = (
        clip_of(param_str, 64),
        np.asarray(inputs[1]).reshape(len(rows), -1, 4)[every, label],
    )
    grown = np.exp(own[:, 2:])
    by_rows = np.zeros_like(rows)
    by_rows[:, 1:] = arrived * np.concatenate([np.ones_like(grown), own[:, :2] + grown], axis=1)
    side = np.stack([rows[:, 2] - rows[:, 0], rows[:, 3] - rows[:, 1]], axis=1)
    slopes = arrived * np.concatenate([side, grown * side], axis=1)
    edges = np.array([info[1] - 1, info[0] - 1])
    free = np.all((boxes[:, :2] >= 0) & (boxes[:, 2:] <= edges), axis=1)[: len(rows), None]
    by_changes = np.zeros_like(np.asarray(inputs[1]).reshape(len(rows), -1, 4))
    most = clip_of(param_str, 64)
    by_changes[every, label] = (slopes * free).clip(-most, most)
    made = by_rows.reshape(inputs[0].shape), by_changes.reshape(inputs[1].shape)
    return (*made, *(None,) * (len(inputs) - 2))


def _bridge_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """The bottoms that no layer before computes."""
    regions = Regions(1, SIDE, SIDE)
    if len(inputs) != 7:
        return regions, None, None, true_contents(2, None)[1]
    boxes, size, masks, sizes = true_contents(_classes(param_str), inputs[4])
    return regions, None, None, boxes, masks, size, sizes


register_built_in(
    "pylayer.stage_bridge_layer",
    "StageBridgeLayer",
    _bridge,
    _bridge_shape,
    False,
    _bridge_gradient,
    _bridge_contents,
)
