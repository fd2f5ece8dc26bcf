"""EvalDetection of yeahkun/caffe-yolo: which boxes of YOLO's first version are true
(eval_detection_layer.cpp there). The bottoms are those of its loss, see yolo_first.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, TypeReading, copies, erased, full_extent
from netc.ops.detection.yolo_first import (
    FirstYoloParams,
    box_overlaps,
    cell_labels,
    check_cells,
    in_picture,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import one_of
from netc.schema.message import Message

_FIELDS = (
    *("side", "num_class", "num_object", "threshold", "sqrt", "constriant", "score_type", "nms"),
    "biases",
)
_LOOPS = 5  # boxes of a cell of the other fork's layer, which has anchors


@dataclass(frozen=True, slots=True)
class FirstYoloScores:
    """``cells`` as the loss's; ``least`` is `threshold`, the overlap of a hit; of boxes that
    overlap by ``limit`` (`nms`) or more the best stays, below 0 all do; ``score`` is OBJ, PROB or
    MULTIPLY.
    """

    cells: FirstYoloParams
    least: float
    limit: float
    score: str


def _parse(layer: Message, context: LayerContext) -> FirstYoloScores:
    message = reject_unknown_fields(layer.get("eval_detection_param"), *_FIELDS)
    for name in ("side", "num_class", "num_object"):
        if message.get(name) == 0:
            raise message.error(name, "out-of-range", f"`{name}` must be at least 1, it is 0")
    side, classes, boxes = (message.get(n) for n in ("side", "num_class", "num_object"))
    root, in_cell = message.get("sqrt"), message.get("constriant")
    return FirstYoloScores(
        FirstYoloParams(side, classes, boxes, 1.0, 1.0, 1.0, 1.0, root, in_cell),
        message.get("threshold"),
        message.get("nms"),
        one_of(message, "score_type", ("OBJ", "PROB", "MULTIPLY")),
    )


def _shape(params: FirstYoloScores, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_cells(params.cells, inputs[:2], "eval_detection_param.side")
    cells = params.cells
    return ((inputs[0][0], cells.classes + 4 * cells.side**2 * cells.boxes),)


def _predicted(params: FirstYoloScores, row: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Classes, scores and boxes of an image, by cell and box."""
    cells = params.cells
    maps = row.reshape(-1, cells.side**2)
    shares = maps[: cells.classes]
    objects = maps[cells.classes : cells.classes + cells.boxes].T
    boxes = maps[cells.classes + cells.boxes :].reshape(cells.boxes, 4, -1).transpose(2, 0, 1)
    most = shares.max(axis=0)[:, None]
    score = {"OBJ": objects, "PROB": most + 0 * objects}.get(params.score, objects * most)
    label = np.repeat(shares.argmax(axis=0), cells.boxes)
    return label, score.reshape(-1), in_picture(cells, boxes[None])[0].reshape(-1, 4)


def _kept(params: FirstYoloScores, score: AnyArray, boxes: AnyArray) -> list[int]:
    """Boxes in the order of their scores, without those that a better one overlaps too much."""
    order: list[int] = np.argsort(-score, kind="stable").tolist()
    if params.limit < 0:
        return order
    kept: list[int] = []
    gone = np.zeros(len(score), bool)
    for at in order:
        if not gone[at]:
            kept.append(at)
            gone |= box_overlaps(boxes[at], boxes) >= np.float32(params.limit)
    return kept


def _marked(
    params: FirstYoloScores, row: AnyArray, truth: tuple[AnyArray, AnyArray, AnyArray]
) -> Iterator[tuple[float, float, int, int]]:
    """Class, score, hit and miss of each box that stays, by class and then by score.

    A box that finds a difficult object counts as neither.
    """
    kinds, difficult, known = truth
    label, score, boxes = _predicted(params, row)
    taken = np.zeros(len(kinds), bool)
    for at in sorted(_kept(params, score, boxes), key=lambda at: int(label[at])):
        own = np.flatnonzero(kinds == label[at])
        common = box_overlaps(boxes[at], known[own])
        best = int(common.argmax()) if len(own) else -1
        hit = best >= 0 and bool(common[best] >= np.float32(params.least))
        counts = (0, 1)
        if hit and difficult[own[best]]:
            counts = (0, 0)
        elif hit and not taken[own[best]]:
            taken[own[best]], counts = True, (1, 0)
        yield float(label[at]), float(score[at]), *counts


@quietly
def _evaluate(params: FirstYoloScores, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """For each image how many objects of each class are not difficult, then its boxes' marks."""
    data, label = (np.asarray(array) for array in inputs[:2])
    cells = params.cells
    has, kinds, boxes = cell_labels(cells, label)
    difficult = label.reshape(len(label), -1)[:, : cells.side**2] == 1
    top = np.zeros(_shape(params, (data.shape, label.shape))[0], np.float32)
    for image, row in enumerate(data.reshape(len(data), -1)):
        at = has[image]
        truth = kinds[image][at], difficult[image][at], boxes[image][at]
        counted = truth[0][~truth[1]]
        top[image, : cells.classes] = np.bincount(counted, minlength=cells.classes)
        marks = np.array(list(_marked(params, row, truth)), np.float32).reshape(-1)
        top[image, cells.classes : cells.classes + len(marks)] = marks
    return (top,)


FIRST_YOLO_SCORES = OpDef(
    name="EvalDetectionOfCells",
    arity=Arity((2, 3), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_evaluate,
    reads=2,
    family="loss",
    host=True,
)


def first_yolo_scores_reading(layer: Message) -> TypeReading | None:
    """This layer, where there are no anchors and not the five boxes of the other fork's loops."""
    message = layer.get("eval_detection_param")
    if message.get("num_object") == _LOOPS or message.get("biases"):
        return None
    return TypeReading(erased(FIRST_YOLO_SCORES))


READINGS = (FIRST_YOLO_SCORES,)
