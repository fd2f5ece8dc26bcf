"""Python layers of RON, which detects on four maps (Kong et al. 2017, arXiv:1707.01691).

det_layer.py, anchor_target_layer.py and det_target_layer.py of ``ron_layer`` in taokong/RON, with
the numbers of its configuration. True boxes are rows of box, label and image. Anchors have two
scales and five ratios. An image without true boxes, which stops the fork, has no positive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, ImageSizes, TrueBoxes, corner_rows
from netc.ops.define import ShapeError
from netc.ops.detection.anchor_targets import (
    AnchorRules,
    anchor_maps,
    anchors_inside,
    drawn,
    label_map,
)
from netc.ops.detection.anchors import box_changes, moved_boxes, placed_anchors
from netc.ops.detection.boxes import box_overlaps
from netc.ops.detection.proposal import ProposalParams, foreground
from netc.ops.numbers import LARGEST
from netc.ops.python import PythonContext, register_built_in

_BASE, _RATIOS = 32, (0.333, 0.5, 1.0, 2.0, 3.0)
_ANCHORS = 2 * len(_RATIOS)
_FAR, _NOT_AT_ALL = 0.3, 0.001  # between them an anchor is negative
_NEAR, _FORCED = 0.5, 0.1  # of the anchor that overlaps a true box most, the second is enough
_NEAR_CLASS, _FORCED_CLASS = 0.6, 0.3  # the same of anchors that learn classes
_LEAST_SCORE = 0.03  # an anchor with less of an object learns no class
_NEGATIVES = 3  # for each positive


def _numbers(param_str: str, layer: str, name: str, number: int) -> list[int]:
    """The numbers of a ``param_str`` such as ``'stride_scale_numcls': 64,7,21``.

    Raises:
        ShapeError: with code python-layer, for anything else.
    """
    found = re.fullmatch(rf"\s*'?{name}'?\s*:\s*'?([\d,\s]{{1,100}})'?\s*", param_str[:1000])
    parts = [part.strip() for part in found[1].split(",")] if found else []
    if len(parts) != number or not all(part and int(part) <= LARGEST for part in parts):
        raise ShapeError(
            f"RON's `{layer}` takes `{name}`, {number} whole numbers; its `param_str` is "
            f"{param_str[:60]!r}",
            "python_param.param_str",
            ("register another implementation with netc.register_python_layer",),
            code="python-layer",
        )
    return [int(part) for part in parts]


def _rules(stride: int, scale: int, border: int = 0) -> AnchorRules:
    scales = float(scale), float(scale + 1)
    anchors = ProposalParams(stride, _BASE, 0, _RATIOS, scales, 1, 1, 0.0, even=True)
    return AnchorRules(anchors, border)


# DetLayer


def _detected(param_str: str) -> tuple[AnchorRules, int]:
    stride, scale, classes = _numbers(param_str, "DetLayer", "stride_scale_numcls", 3)
    return _rules(stride, scale), classes


def _detected_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, Shape]:
    _, classes = _detected(param_str)
    _check_cells(inputs[0])
    images, _, rows, columns = inputs[0]
    wanted = ((images, classes, _ANCHORS * rows, columns), (images, 4 * _ANCHORS, rows, columns))
    if len(inputs) != 3 or tuple(inputs[1:]) != wanted:
        raise ShapeError(
            f"RON's `DetLayer` of {classes} classes takes {show(wanted[0])} of class scores and "
            f"{show(wanted[1])} of box changes; the bottoms are {', '.join(map(show, inputs))}"
        )
    boxes = _ANCHORS * rows * columns
    return (images, boxes, 4), (images, boxes, classes)


def _check_cells(scores: Shape) -> None:
    if len(scores) != 4 or scores[1] != 2 * _ANCHORS:
        raise ShapeError(
            f"RON has {_ANCHORS} anchors at a place, with two scores each; the first bottom is "
            f"{show(scores)}"
        )


@quietly
def _detect(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """All boxes, as they are, with the score of an object and those of the classes."""
    rules, classes = _detected(param_str)
    objects, scores, changes = map(np.asarray, inputs)
    cells = objects.shape[2:]
    anchors = placed_anchors(rules.anchors, cells)
    boxes = np.stack([moved_boxes(anchors, change) for change in changes])
    by_class = scores[:, 1:].reshape(len(scores), classes - 1, _ANCHORS, *cells)
    by_class = by_class.transpose(0, 3, 4, 2, 1).reshape(len(scores), -1, classes - 1)
    own = np.stack([foreground(score) for score in objects])[:, :, None]
    return boxes, np.concatenate([own, by_class], axis=2)


# AnchorTargetLayer and DetTargetLayer


class _Overlaps(NamedTuple):
    """What the anchors inside of the image overlap, of one image's true boxes.

    Args:
        boxes: (m, 5), true boxes and labels.
        best: (n,), the true box that an anchor overlaps most.
        most: (n,), by how much; 0 where there is none.
        anchor: (m,), the anchor that overlaps a true box most.
        reached: (m,), by how much.
    """

    boxes: AnyArray
    best: AnyArray
    most: AnyArray
    anchor: AnyArray
    reached: AnyArray


def _overlaps(anchors: AnyArray, truth: AnyArray, image: int) -> _Overlaps:
    own = truth[truth[:, 5] == image, :5]
    if not len(own):
        none = np.zeros(len(anchors))
        return _Overlaps(own, none.astype(np.int64), none, np.zeros(0, np.int64), np.zeros(0))
    table = box_overlaps(anchors, own[:, :4])
    return _Overlaps(
        own, table.argmax(axis=1), table.max(axis=1), table.argmax(axis=0), table.max(axis=0)
    )


def _without_most_negatives(
    labels: AnyArray, usual: int, like: AnyArray, context: PythonContext
) -> AnyArray:
    """Labels of the batch with three negatives for each positive, the others -1.

    Without a positive ``usual`` negatives are left.
    """
    positives = int((labels > 0).sum())
    left = positives * _NEGATIVES if positives else usual
    some = np.flatnonzero(labels == 0)
    if len(some) > left:
        labels.reshape(-1)[drawn(some, len(some) - left, like, context, 0)] = -1
    return labels


def _check_targets(layer: str, inputs: Sequence[Shape]) -> None:
    _check_cells(inputs[0])
    if len(inputs) < 3 or not inputs[1] or count(inputs[1], 1) != 6 or count(inputs[2]) < 2:
        raise ShapeError(
            f"RON's `{layer}` takes scores, true boxes as rows of 6, and the image's size; the "
            f"bottoms are {', '.join(map(show, inputs))}"
        )


def _anchor_rules(param_str: str) -> tuple[AnchorRules, int]:
    stride, scale, border, batch = _numbers(
        param_str, "AnchorTargetLayer", "stride_scale_border_batchsize", 4
    )
    return _rules(stride, scale, border), batch


def _anchor_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    _anchor_rules(param_str)
    _check_targets("AnchorTargetLayer", inputs)
    images, _, rows, columns = inputs[0]
    return (
        (images, 1, _ANCHORS * rows, columns),
        *((images, 4 * _ANCHORS, rows, columns),) * 3,
    )


def _prepared(rules: AnchorRules, inputs: Arrays) -> tuple[AnyArray, AnyArray, list[_Overlaps]]:
    """All anchors, which lie inside of the image, and what those overlap in each image."""
    truth, size = np.asarray(inputs[1]).reshape(-1, 6), np.asarray(inputs[2]).reshape(-1)[:2]
    anchors = placed_anchors(rules.anchors, inputs[0].shape[2:])
    inside = anchors_inside(rules, anchors, size)
    return (
        anchors,
        inside,
        [
            _overlaps(anchors[inside], truth, image)
            if len(inside)
            else _overlaps(anchors, truth, -1)
            for image in range(len(inputs[0]))
        ],
    )


@quietly
def _anchor_targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    rules, batch = _anchor_rules(param_str)
    anchors, inside, found = _prepared(rules, inputs)
    labels = np.full((len(found), len(anchors)), -1, np.float32)
    for label, it in zip(labels, found if len(inside) else (), strict=False):
        own = np.where((it.most < _FAR) & (it.most > _NOT_AT_ALL), np.float32(0), np.float32(-1))
        own[it.anchor[it.reached > _FORCED]] = 1
        own[it.most >= _NEAR] = 1
        label[inside] = own
    labels = _without_most_negatives(labels, batch, anchors, context)
    made = []
    for label, it in zip(labels, found, strict=True):
        targets = np.zeros((len(anchors), 4), np.float32)
        if len(it.boxes) and len(inside):
            targets[inside] = box_changes(anchors[inside], it.boxes[it.best, :4])
        made.append(anchor_maps(label, targets, inputs[0].shape[2:]))
    return tuple(np.concatenate(maps) for maps in zip(*made, strict=True))


def _class_rules(param_str: str) -> tuple[AnchorRules, int]:
    stride, scale, border, batch, _ = _numbers(
        param_str, "DetTargetLayer", "stride_scale_border_batchsize_numcls", 5
    )
    return _rules(stride, scale, border), batch


def _class_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    _class_rules(param_str)
    _check_targets("DetTargetLayer", inputs)
    images, _, rows, columns = inputs[0]
    return ((images, 1, _ANCHORS * rows, columns),)


@quietly
def _class_targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """Classes of the anchors that may hold an object by their scores."""
    rules, batch = _class_rules(param_str)
    anchors, inside, found = _prepared(rules, inputs)
    labels = np.full((len(found), len(anchors)), -1, np.float32)
    for label, it, score in zip(labels, found if len(inside) else (), inputs[0], strict=False):
        own = np.where(it.most < _FAR, np.float32(0), np.float32(-1))
        forced = it.reached > _FORCED_CLASS
        own[it.anchor[forced]] = it.boxes[forced, 4]
        near = it.most >= _NEAR_CLASS
        own[near] = it.boxes[it.best[near], 4]
        own[foreground(np.asarray(score))[inside] < np.float32(_LEAST_SCORE)] = -1
        label[inside] = own
    labels = _without_most_negatives(labels, batch, anchors, context)
    cells = inputs[0].shape[2:]
    return (np.concatenate([label_map(label, cells) for label in labels]),)


def _contents(stride: int, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    high, wide = (size * stride for size in inputs[0][2:])
    return None, TrueBoxes(corner_rows(0, 1), 2, 1, high, wide), ImageSizes(high, wide)


register_built_in("ron_layer.det_layer", "DetLayer", _detect, _detected_shape)
register_built_in(
    "ron_layer.anchor_target_layer",
    "AnchorTargetLayer",
    _anchor_targets,
    _anchor_shape,
    contents=lambda text, inputs: _contents(_anchor_rules(text)[0].anchors.stride, inputs),
)
register_built_in(
    "ron_layer.det_target_layer",
    "DetTargetLayer",
    _class_targets,
    _class_shape,
    contents=lambda text, inputs: _contents(_class_rules(text)[0].anchors.stride, inputs),
)
