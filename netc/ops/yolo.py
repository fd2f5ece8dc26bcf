"""YOLO's outputs and loss as eric612/MobileNet-YOLO has them (Redmon and Farhadi 2016, 2018).

yolov3_detection_output_layer.cpp, yolo_detection_output_layer.cpp and yolov3_layer.cpp. A map has,
for each anchor of a cell, x, y, width, height, objectness and the classes. All images of a batch
go through one suppression and every row names image 0, as in that fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.ops.activation import sigmoid
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.normalization import softmax
from netc.ops.numbers import required_number
from netc.schema.message import Message

_TRUE_BOXES, _ROW = 300, 5


@dataclass(frozen=True, slots=True)
class YoloParams:
    """Anchors and which boxes are given.

    Args:
        classes: without a background.
        anchors: width and height of each, in cells or pixels.
        levels: which anchors each bottom has.
        scales: pixels of a cell of each bottom; None where anchors are in cells.
        score: least confidence; above it where ``each`` class makes a box, else also equal to it.
        overlap: from which on a box gives way.
        each: every class above ``score`` makes a box, scored by a sigmoid; else the best class,
            scored by a softmax.
    """

    classes: int
    anchors: tuple[tuple[float, float], ...]
    levels: tuple[tuple[int, ...], ...]
    scales: tuple[int, ...] | None
    score: float
    overlap: float
    each: bool


def _anchors(param: Message) -> tuple[tuple[float, float], ...]:
    values = param.get("biases")
    if not values or len(values) % 2:
        raise param.error(
            "biases" if values else None,
            "value-count",
            f"`biases` are widths and heights of anchors, and there are {len(values)}",
        )
    return tuple(zip(values[::2], values[1::2], strict=True))


def _check_mask(param: Message, anchors: int) -> tuple[int, ...]:
    mask: tuple[int, ...] = param.get("mask")
    if any(at >= anchors for at in mask):
        raise param.error("mask", "out-of-range", f"`mask` names one of {anchors} anchors")
    return mask


def _parse_v3(layer: Message, context: LayerContext) -> YoloParams:
    names = ("num_classes", "num_box", "confidence_threshold", "nms_threshold", "biases", "mask",
             "anchors_scale", "mask_group_num")  # fmt: skip
    p = reject_unknown_fields(layer.get("yolov3_detection_output_param"), *names)
    anchors, number = _anchors(p), p.get("num_box")
    mask = _check_mask(p, len(anchors))
    scales = p.get("anchors_scale")
    groups = p.get("mask_group_num")
    each = len(mask) // groups if groups else 0
    if context.bottoms != groups or len(scales) < groups or each < number:
        raise p.error(
            "mask_group_num" if p.has("mask_group_num") else None,
            "value-count",
            f"{context.bottoms} bottoms need `mask_group_num` {context.bottoms}, as many "
            f"`anchors_scale` and {number} `mask` each",
        )
    levels = tuple(mask[i * each : i * each + number] for i in range(groups))
    limits = p.get("confidence_threshold"), p.get("nms_threshold")
    return YoloParams(
        required_number(p, "num_classes"), anchors, levels, tuple(scales[:groups]), *limits, True
    )


def _parse_v2(layer: Message, context: LayerContext) -> YoloParams:
    names = ("side", "num_classes", "num_box", "coords", "confidence_threshold", "nms_threshold",
             "biases", "label_map_file")  # fmt: skip
    p = reject_unknown_fields(layer.get("yolo_detection_output_param"), *names)
    anchors, number = _anchors(p), p.get("num_box")
    if len(anchors) < number:
        raise p.error("num_box", "value-count", f"{number} anchors are asked for, and "
                      f"`biases` has {len(anchors)}")  # fmt: skip
    levels = (tuple(range(number)),) * context.bottoms
    limits = p.get("confidence_threshold"), p.get("nms_threshold")
    return YoloParams(required_number(p, "num_classes"), anchors, levels, None, *limits, False)


def _shape(params: YoloParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Where every anchor gives a box of every class: how many do is known only from the data."""
    boxes = 0
    for shape, level in zip(inputs, params.levels, strict=True):
        wanted = len(level) * (5 + params.classes)
        if len(shape) != 4 or shape[1] != wanted:
            raise ShapeError(
                f"{len(level)} anchors with {params.classes} classes need {wanted} channels, a "
                f"bottom is {show(shape)}"
            )
        boxes += shape[0] * shape[2] * shape[3] * len(level)
    return ((1, 1, max(1, boxes * (params.classes if params.each else 1)), 7),)


@np.errstate(all="ignore")
def _detect(params: YoloParams, inputs: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, ...]:
    found = [_level(params, at, np.asarray(array)) for at, array in enumerate(inputs)]
    rows = np.concatenate(found)
    rows = rows[np.argsort(-rows[:, 1], kind="stable")]
    rows = rows[_thinned(rows[:, 2:], params.overlap)]
    if not len(rows):
        rows = np.full((inputs[0].shape[0], 7), -1, np.float32)
        rows[:, 0] = np.arange(len(rows))
        return (rows.reshape(1, 1, -1, 7),)
    low, high = rows[:, 2:4] - rows[:, 4:6] / 2, rows[:, 2:4] + rows[:, 4:6] / 2
    made = [np.zeros((len(rows), 1)), rows[:, :1] + 1, rows[:, 1:2], low, high]
    return (np.concatenate(made, axis=1).astype(np.float32).reshape(1, 1, -1, 7),)


def _level(params: YoloParams, at: int, x: Any) -> Any:
    """Rows of class, confidence, centre and size, by image, cell, anchor and class."""
    number, _, rows, columns = x.shape
    level = params.levels[at]
    x = x.reshape(number, len(level), -1, rows, columns).transpose(0, 3, 4, 1, 2)
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = np.array([columns, rows], np.float32)
    centre = (sigmoid(x[..., :2]) + np.stack([across, down], axis=-1)[None, :, :, None]) / cells
    image = cells if params.scales is None else cells * params.scales[at]
    size = np.exp(x[..., 2:4]) * np.array([params.anchors[i] for i in level], np.float32) / image
    boxes = np.concatenate([centre, size], axis=-1).astype(np.float32)
    if params.each:
        scores = sigmoid(x[..., 5:]) * sigmoid(x[..., 4:5])
        chosen = np.nonzero(scores > np.float32(params.score))
        label, score = chosen[4], scores[chosen]
    else:
        best = softmax(x[..., 5:], 4)
        scores = best.max(axis=4) * sigmoid(x[..., 4])
        chosen = np.nonzero(scores >= np.float32(params.score))
        label, score = x[..., 5:].argmax(axis=4)[chosen], scores[chosen]
    return np.concatenate([label[:, None], score[:, None], boxes[chosen[:4]]], axis=1)


def _thinned(boxes: Any, limit: float) -> list[int]:
    """Which boxes, the best first, overlap no better one that stays by this much or more."""
    free = np.ones(len(boxes), dtype=bool)
    chosen = []
    for at in range(len(boxes)):
        if free[at]:
            chosen.append(at)
            free[at + 1 :] &= ~(overlaps(boxes[at], boxes[at + 1 :]) >= np.float32(limit))
    return chosen


def overlaps(box: Any, others: Any) -> Any:
    """Intersection over union of boxes given by centre and size."""
    low = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    sides = high - low
    common = np.where((sides < 0).any(axis=1), np.float32(0), sides.prod(axis=1))
    return common / (box[2:].prod() + others[:, 2:].prod(axis=1) - common)


def _output(name: str, bottoms: tuple[int, int | None], parse: Any) -> OpDef:
    return OpDef(
        name=name,
        arity=Arity(bottoms, (1, 1)),
        params=parse,
        shape=_shape,
        cost=per_input(10),
        window=full_extent,
        memory=copies(12),
        reference=_detect,
        dynamic=True,
        family="loss",
        host=True,
    )


@dataclass(frozen=True, slots=True)
class Yolov3Params:
    """YOLOv3's loss of one level; ``mask`` are its anchors."""

    classes: int
    anchors: tuple[tuple[float, float], ...]
    mask: tuple[int, ...]
    scale: int
    threshold: float
    class_scale: float
    coord_scale: float


# `thresh` and `use_logic_gradient` mean something else in each year of that fork.
_LOSS_FIELDS = ("side", "num_class", "num", "object_scale", "class_scale", "noobject_scale",
                "coord_scale", "anchors_scale", "biases", "mask")  # fmt: skip


def _parse_loss(layer: Message, context: LayerContext) -> Yolov3Params:
    p = reject_unknown_fields(layer.get("yolov3_param"), *_LOSS_FIELDS)
    anchors = _anchors(p)
    mask = _check_mask(p, len(anchors))
    if len(mask) != p.get("num"):
        raise p.error("mask" if mask else None, "value-count", f"`num` {p.get('num')} anchors need "
                      f"as many `mask`, and there are {len(mask)}")  # fmt: skip
    values = (p.get(name) for name in ("thresh", "class_scale", "coord_scale"))
    scale = p.get("anchors_scale")
    return Yolov3Params(required_number(p, "num_class"), anchors, mask, scale, *values)


def _loss_shape(params: Yolov3Params, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    wanted = len(params.mask) * (5 + params.classes)
    if len(data) != 4 or data[1] != wanted:
        raise ShapeError(f"the first bottom must have {wanted} channels, it is {show(data)}")
    if not label or label[0] != data[0] or count(label, 1) != _TRUE_BOXES * _ROW:
        raise ShapeError(
            f"the label must have {_TRUE_BOXES} rows of {_ROW} for each image, it is {show(label)}"
        )
    return ((),)


@np.errstate(all="ignore")
def _loss(params: Yolov3Params, inputs: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, ...]:
    """The sum of the squares of what is to change, over the batch."""
    x, label = np.asarray(inputs[0]), np.asarray(inputs[1])
    changes = yolov3_changes(params, x, label)
    total = sum(float((change.astype(np.float64) ** 2).sum()) for change in changes)
    return (np.array(total / len(x), x.dtype),)


def yolov3_changes(params: Yolov3Params, x: Any, label: Any) -> Iterator[Any]:
    """What each image's numbers are to change by, (anchors, 5 + classes, rows, columns)."""
    rows = label.reshape(len(label), _TRUE_BOXES, _ROW)
    for one, truth in zip(x, rows, strict=True):
        yield _changes(params, one, truth)


def _changes(params: Yolov3Params, x: Any, rows: Any) -> Any:
    """What an image's numbers are to change by, (anchors, 5 + classes, rows, columns)."""
    x = x.reshape(len(params.mask), -1, *x.shape[1:])
    seen = sigmoid(x)
    seen[:, 2:4] = x[:, 2:4]
    diff = np.zeros_like(seen)
    diff[:, 4] = seen[:, 4]
    used = rows[: _first(rows[:, 1] == 0)]
    best = _best_overlap(params, seen, used)
    diff[:, 4][best > np.float32(params.threshold)] = 0
    for row in rows[: _first(rows[:, 3] == 0)]:
        _add_true_box(params, seen, diff, row)
    return diff


def _first(flags: Any) -> int:
    at = np.flatnonzero(flags)
    return int(at[0]) if len(at) else len(flags)


def _best_overlap(params: Yolov3Params, seen: Any, rows: Any) -> Any:
    """The greatest overlap of each predicted box with a true one."""
    high, wide = seen.shape[2:]
    across, down = np.meshgrid(np.arange(wide), np.arange(high))
    anchors = np.array([params.anchors[i] for i in params.mask], np.float32)[:, :, None, None]
    image = np.array([wide, high], np.float32).reshape(1, 2, 1, 1)
    centre = (seen[:, :2] + np.stack([across, down])) / image
    size = np.exp(seen[:, 2:4]) * anchors / (image * params.scale)
    boxes = np.concatenate([centre, size], axis=1).transpose(0, 2, 3, 1).reshape(-1, 4)
    best = np.zeros(len(boxes), np.float32)
    for row in rows:
        best = np.fmax(best, overlaps(row[1:5], boxes))
    return best.reshape(len(params.mask), high, wide)


def cell_of(box: Any, wide: int, high: int) -> tuple[int, int]:
    """Column and row of the cell that a true box's centre lies in.

    Raises:
        NetcError: region-out-of-range. The fork would write outside its memory.
    """
    x, y = box[0] * np.float32(wide), box[1] * np.float32(high)
    if 0 <= x < wide and 0 <= y < high:
        return int(x), int(y)
    raise NetcError(
        Diagnostic(
            "region-out-of-range",
            f"a true box has its centre at {box[0]:g}, {box[1]:g}, outside the image",
            help=("centres and sizes are parts of the image, from 0 to 1",),
        )
    )


def _add_true_box(params: Yolov3Params, seen: Any, diff: Any, row: Any) -> None:
    high, wide = seen.shape[2:]
    label, box = int(row[0]), row[1:5]
    image = np.array([wide, high], np.float32) * params.scale
    shapes = np.array(params.anchors, np.float32) / image
    flat = np.concatenate([np.zeros_like(shapes), shapes], axis=1)
    own = overlaps(np.concatenate([[0, 0], box[2:]]).astype(np.float32), flat)
    anchor = int(own.argmax())
    if not own[anchor] > 0 or anchor not in params.mask:
        return
    at = params.mask.index(anchor)
    i, j = cell_of(box, wide, high)
    scale = np.float32(params.coord_scale) * (2 - box[2] * box[3])
    place = box[:2] * np.array([wide, high], np.float32) - (i, j)
    size = np.log(box[2:] * image / np.array(params.anchors[anchor], np.float32))
    diff[at, :4, j, i] = scale * (seen[at, :4, j, i] - np.concatenate([place, size]))
    diff[at, 4, j, i] = seen[at, 4, j, i] - 1
    if diff[at, 5, j, i]:
        diff[at, 5 + label, j, i] = 1 - seen[at, 5 + label, j, i]
        return
    wanted = (np.arange(params.classes) == label).astype(np.float32)
    diff[at, 5:, j, i] = np.float32(params.class_scale) * (seen[at, 5:, j, i] - wanted)


YOLOV3 = OpDef(
    name="Yolov3",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_loss,
    shape=_loss_shape,
    cost=per_input(20),
    window=full_extent,
    memory=copies(12),
    reference=_loss,
    loss=True,
    family="loss",
    host=True,
)

OPS = (
    _output("Yolov3DetectionOutput", (1, None), _parse_v3),
    _output("YoloDetectionOutput", (1, 2), _parse_v2),
    YOLOV3,
)
