"""DetectionEvaluate of SSD: which detections are right (detection_evaluate_layer.cpp).

Rows of 5. First (-1, class, number of true boxes, -1, -1) for each class but the background; then
(image, class, score, right, wrong) for each detection, from which average precision is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netc.ir.types import Shape, show
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.matching import overlap_table
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class EvaluateParams:
    """Classes with the background counted; the overlap that makes a detection right."""

    classes: int
    background: int
    threshold: float
    difficult: bool


def _parse(layer: Message, context: LayerContext) -> EvaluateParams:
    names = ("num_classes", "background_label_id", "overlap_threshold", "evaluate_difficult_gt")
    param = reject_unknown_fields(layer.get("detection_evaluate_param"), *names)
    return EvaluateParams(
        required_number(param, "num_classes"),
        param.get("background_label_id"),
        param.get("overlap_threshold"),
        param.get("evaluate_difficult_gt"),
    )


def _shape(params: EvaluateParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shape where every detection is one of a class: how many are the data tell."""
    for what, shape, size in (("detections", inputs[0], 7), ("true boxes", inputs[1], 8)):
        if len(shape) != 4 or shape[:2] != (1, 1) or shape[3] != size:
            raise ShapeError(f"{what} must be 1x1x(boxes)x{size}, the bottom is {show(shape)}")
    return ((1, 1, len(_classes(params)) + inputs[0][2], 5),)


def _classes(params: EvaluateParams) -> list[int]:
    return [label for label in range(params.classes) if label != params.background]


def _evaluate(
    params: EvaluateParams, inputs: Sequence[Any], weights: Sequence[Any]
) -> tuple[Any, ...]:
    found, truth = (np.asarray(array)[0, 0] for array in inputs)
    ends = np.flatnonzero(truth[:, 0].astype(np.int64) == -1)
    truth = truth[: ends[0]] if len(ends) else truth
    found = found[(found[:, 0].astype(np.int64) != -1) & (found[:, 1].astype(np.int64) != -1)]
    counted = truth if params.difficult else truth[truth[:, 7] == 0]
    labels = counted[:, 1].astype(np.int64)
    rows: list[_Row] = [
        (-1, label, float((labels == label).sum()), -1, -1) for label in _classes(params)
    ]
    rows += _judged(params, found, truth)
    return (np.array(rows, np.float32).reshape(1, 1, -1, 5),)


_Row = tuple[float, float, float, float, float]


def _judged(params: EvaluateParams, found: Any, truth: Any) -> Iterator[_Row]:
    """Rows of the detections, by image, class and, where there are true boxes, score."""
    keys = sorted({(int(row[0]), int(row[1])) for row in found})
    for image, label in keys:
        some = found[(found[:, 0] == image) & (found[:, 1] == label)]
        own = truth[(truth[:, 0] == image) & (truth[:, 1] == label)]
        if len(own):
            some = some[np.argsort(-some[:, 2], kind="stable")]
        table = overlap_table(some[:, 3:7], own[:, 3:7])
        taken = np.zeros(len(own), dtype=bool)
        for row, overlap in zip(some, table, strict=True):
            right, wrong = _verdict(params, overlap, own, taken)
            yield (image, label, float(row[2]), right, wrong)


def _verdict(params: EvaluateParams, overlap: Any, own: Any, taken: Any) -> tuple[int, int]:
    """(1, 0) for the first detection of a true box, (0, 0) for a difficult one left out."""
    if not len(own) or overlap.max() < np.float32(params.threshold):
        return (0, 1)
    best = int(overlap.argmax())
    if not params.difficult and own[best, 7]:
        return (0, 0)
    if taken[best]:
        return (0, 1)
    taken[best] = True
    return (1, 0)


DETECTION_EVALUATE = OpDef(
    name="DetectionEvaluate",
    arity=Arity((2, 2), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_evaluate,
    dynamic=True,
    family="loss",
    host=True,
)

OPS = (DETECTION_EVALUATE,)
