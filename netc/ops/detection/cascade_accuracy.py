"""Accuracies of MS-CNN and Cascade R-CNN: of classes, and the boxes' mean intersection over union.

detection_accuracy_layer.cpp, detection_group_accuracy_layer.cpp and bbox_accuracy_layer.cpp of
zhaoweicai/cascade-rcnn and zhaoweicai/mscnn. Means over nothing are -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, Parse, ShapeError, copies, full_extent
from netc.ops.detection.cascade_loss import check_maps, parts
from netc.ops.detection.field_boxes import (
    Grid,
    Regression,
    boxes_by_regions,
    boxes_on_grid,
    overlap_by_sides,
    parse_regression,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import parse_ignore_label
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class GridAccuracyParams:
    """Parameters of DetectionAccuracy and DetectionGroupAccuracy.

    The fields are those of :class:`GridLossParams`; a class is right if it is among the
    ``top_k`` highest scores. The tops are (1, 1, 1, 2), accuracy of all places
    and of objects, and (1, 1, 1, 1), the boxes' mean overlap.
    """

    classes: int
    grid: Grid
    regression: Regression
    threshold: float
    top_k: int
    objectness: bool
    ignore_label: int | None
    tops: int
    apart: bool


def _parse_group_accuracy(layer: Message, context: LayerContext) -> GridAccuracyParams:
    p = reject_unknown_fields(
        layer.get("detection_group_accuracy_param"),
        *("cls_num", "field_h", "field_w", "stride", "field_whr", "field_xyr", "bg_threshold"),
        "objectness",
    )
    bounds = p.get("field_xyr"), p.get("field_whr")
    return GridAccuracyParams(
        required_number(p, "cls_num"),
        Grid(p.get("field_w"), p.get("field_h"), p.get("stride"), *bounds),
        parse_regression(layer),
        p.get("bg_threshold"),
        1,
        p.get("objectness"),
        parse_ignore_label(layer.get("loss_param")),
        context.tops,
        True,
    )


def _parse_accuracy(layer: Message, context: LayerContext) -> GridAccuracyParams:
    p = reject_unknown_fields(
        layer.get("detection_accuracy_param"),
        *("cls_num", "coord_num", "field_h", "field_w", "downsample_rate", "top_k", "field_whr"),
        *("field_xyr", "bg_threshold", "objectness"),
    )
    bounds = p.get("field_xyr"), p.get("field_whr")
    return GridAccuracyParams(
        required_number(p, "cls_num"),
        Grid((p.get("field_w"),), (p.get("field_h"),), p.get("downsample_rate"), *bounds),
        parse_regression(layer),
        p.get("bg_threshold"),
        p.get("top_k"),
        p.get("objectness"),
        parse_ignore_label(layer.get("loss_param")),
        context.tops,
        False,
    )


def _accuracy_shape(params: GridAccuracyParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_maps(params, inputs)
    return ((1, 1, 1, 2), (1, 1, 1, 1))[: params.tops]


@quietly
def _grid_accuracy(
    params: GridAccuracyParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """Accuracy of all places and of objects, and the boxes' mean overlap; -1 of none."""
    scores, boxes, labels = parts(params, inputs)
    classes = labels[:, 0].astype(np.int64)
    targets = np.minimum(classes, 1) if params.objectness else classes
    counted = targets != params.ignore_label
    counted &= (targets != 0) | (labels[:, 5] < np.float32(params.threshold))
    right = _is_right(params, scores, targets)
    objects = counted & (targets != 0)
    found = [_mean(right[some]) for some in (counted, objects)]
    overlap = _mean_overlap(params, boxes, labels, classes)
    tops = np.array(found).reshape(1, 1, 1, 2), np.array([overlap]).reshape(1, 1, 1, 1)
    return tuple(top.astype(np.float32) for top in tops[: params.tops])


def _is_right(params: GridAccuracyParams, scores: AnyArray, targets: AnyArray) -> AnyArray:
    """Whether a place's class is among the highest; of equal scores the first, or in MS-CNN the
    last class counts."""
    if params.apart:
        result: AnyArray = scores.argmax(axis=1) == targets
        return result
    own = np.take_along_axis(scores, targets.clip(0, scores.shape[1] - 1)[:, None], axis=1)
    label = np.arange(scores.shape[1]).reshape(1, -1, 1, 1)
    better = (scores > own) | ((scores == own) & (label > targets[:, None]))
    result = better.sum(axis=1) < params.top_k
    return result


def _mean(values: AnyArray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else -1.0


def _mean_overlap(
    params: GridAccuracyParams, boxes: AnyArray, labels: AnyArray, classes: AnyArray
) -> float:
    counted = (classes != 0) & (classes != params.ignore_label)
    made = boxes_on_grid(boxes, params.regression, params.grid)
    made = made.transpose(0, 2, 3, 1)[counted]
    truth = labels[:, 1:5].transpose(0, 2, 3, 1)[counted]
    truth = np.concatenate([truth[:, :2] - truth[:, 2:] / 2, truth[:, 2:]], axis=1)
    pairs = zip(made, truth, strict=True)
    shares = [overlap_by_sides(a, b[None], whole_pixels=params.apart)[0] for a, b in pairs]
    return _mean(np.array(shares))


def _accuracy_op(
    name: str, bottoms: int, parse: Parse[GridAccuracyParams]
) -> OpDef[GridAccuracyParams]:
    return OpDef(
        name=name,
        arity=Arity((bottoms, bottoms), (1, 2)),
        params=parse,
        shape=_accuracy_shape,
        cost=per_input(10),
        window=full_extent,
        memory=copies(12),
        reference=_grid_accuracy,
        family="loss",
        host=True,
    )


@dataclass(frozen=True, slots=True)
class BboxAccuracyParams:
    """BboxAccuracy: mean overlap of moved regions with their true boxes.

    A second top gives that of the regions before they are moved. Both are (1, 1, 1, 1).
    """

    regression: Regression
    tops: int


def _parse_bbox(layer: Message, context: LayerContext) -> BboxAccuracyParams:
    return BboxAccuracyParams(parse_regression(layer), context.tops)


def _bbox_shape(params: BboxAccuracyParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for shape, width in zip(inputs[1:], (5, 6), strict=True):
        if not shape or shape[0] != inputs[0][0] or count(shape, 1) != width:
            raise ShapeError(f"{inputs[0][0]} rows of {width} are needed, they are {show(shape)}")
    return ((1, 1, 1, 1),) * params.tops


_GIVEN = 0.975  # regions that overlap a true box by more are the true box itself


@quietly
def _bbox_accuracy(
    params: BboxAccuracyParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """Mean overlap of moved boxes with their true ones, and of the regions; -1 of none."""
    coded, regions, truth = (np.asarray(a).reshape(len(a), -1) for a in inputs)
    labels = truth[:, 0].astype(np.int64)
    chosen = np.flatnonzero((truth[:, 0] > 0) & ~(truth[:, -1] > np.float32(_GIVEN)))
    boxes = boxes_by_regions(coded, regions[:, 1:], params.regression)
    own = labels if params.regression.aware else np.minimum(labels, 1)
    moved = [_iou(boxes[i, own[i]], truth[i, 1:5]) for i in chosen]
    still = [_iou(regions[i, 1:5], truth[i, 1:5]) for i in chosen]
    tops = (_mean(np.array(moved)), _mean(np.array(still)))
    return tuple(np.full((1, 1, 1, 1), top, np.float32) for top in tops[: params.tops])


def _iou(one: AnyArray, other: AnyArray) -> float:
    """Of two boxes given by corners; JaccardOverlap takes them by left, top, width and height."""
    boxes = np.stack([one, other])
    rows = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1)
    return float(overlap_by_sides(rows[0], rows[1:])[0])


BBOX_ACCURACY = OpDef(
    name="BboxAccuracy",
    arity=Arity((3, 3), (1, 2)),
    params=_parse_bbox,
    shape=_bbox_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_bbox_accuracy,
    family="loss",
    host=True,
)

OPS = (
    _accuracy_op("DetectionGroupAccuracy", 3, _parse_group_accuracy),
    _accuracy_op("DetectionAccuracy", 2, _parse_accuracy),
    BBOX_ACCURACY,
)
