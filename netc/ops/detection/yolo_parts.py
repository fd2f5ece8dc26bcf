"""What the detection outputs of YOLO share: parameters, shapes, and boxes of a map.

Redmon and Farhadi 2016, 2018. A map has, for each anchor of a cell, x, y, width, height, objectness
and the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray
from netc.ops.define import LayerContext, ShapeError
from netc.ops.fields import reject_unknown_fields
from netc.ops.normalization import softmax
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class YoloParams:
    """Anchors, and which boxes are given, as rows of image, class, score and corners.

    Args:
        classes: how many, without a background.
        anchors: width and height of each, in cells, or in pixels where there are ``scales``.
        levels: indices of the anchors of each bottom.
        scales: pixels of a cell of each bottom; None where anchors are in cells.
        score: least confidence, exclusive with ``each``.
        overlap: a box that overlaps a better one by this or more is dropped.
        each: every class above ``score`` gives a box, scored by a sigmoid (YOLOv3); else the best
            class alone, scored by a softmax.
    """

    classes: int
    anchors: tuple[tuple[float, float], ...]
    levels: tuple[tuple[int, ...], ...]
    scales: tuple[int, ...] | None
    score: float
    overlap: float
    each: bool


def anchors_of(param: Message) -> tuple[tuple[float, float], ...]:
    """Width and height of each anchor in ``biases``.

    Raises:
        NetcError: value-count, for no or an odd number of values.
    """
    values = param.get("biases")
    if not values or len(values) % 2:
        raise param.error(
            "biases" if values else None,
            "value-count",
            f"`biases` are widths and heights of anchors, and there are {len(values)}",
        )
    return tuple(zip(values[::2], values[1::2], strict=True))


def mask_of(param: Message, anchors: int) -> tuple[int, ...]:
    """Indices of a level's anchors in ``mask``; ``anchors`` is how many there are.

    Raises:
        NetcError: out-of-range, for one that there is not.
    """
    mask: tuple[int, ...] = param.get("mask")
    if any(at >= anchors for at in mask):
        raise param.error("mask", "out-of-range", f"`mask` names one of {anchors} anchors")
    return mask


def parse_v2(layer: Message, context: LayerContext, *more: str) -> YoloParams:
    """YOLOv2's parameters, a level for each bottom; ``more`` fields may be written."""
    names = ("side", "num_classes", "num_box", "coords", "confidence_threshold", "nms_threshold",
             "biases", "label_map_file")  # fmt: skip
    p = reject_unknown_fields(layer.get("yolo_detection_output_param"), *names, *more)
    anchors, number = anchors_of(p), p.get("num_box")
    if len(anchors) < number:
        raise p.error("num_box", "value-count", f"{number} anchors are asked for, and "
                      f"`biases` has {len(anchors)}")  # fmt: skip
    levels = (tuple(range(number)),) * context.bottoms
    limits = p.get("confidence_threshold"), p.get("nms_threshold")
    return YoloParams(required_number(p, "num_classes"), anchors, levels, None, *limits, False)


def yolo_shape(params: YoloParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Where every anchor gives a box of every class: how many do only the data tell."""
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


def level_rows(params: YoloParams, at: int, x: AnyArray) -> AnyArray:
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
