"""DetectionOutput and EvalDetection of YOLOv2's forks (Redmon and Farhadi 2017).

detection_output_layer.cpp and eval_detection_layer.cpp of gklz1982/caffe-yolov2, and the latter of
intel/caffe, whose labels are AnnotatedData's. A map has, for each anchor of a cell, x, y, width,
height, objectness and the classes; boxes are centre and size in parts of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.yolo_first_scores import first_yolo_scores_reading
from netc.ops.detection.yolo_overlap import nms_keep, overlaps
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import class_labels
from netc.ops.normalization import softmax
from netc.ops.numbers import one_of, required_number
from netc.ops.role import Role
from netc.schema.message import Message

_MIN_SCORE = 0.004999999888241291  # 0.005 as float32: EvalDetection counts no box of less
_ANCHORS = 5  # the loops of EvalDetection


@dataclass(frozen=True, slots=True)
class RegionParams:
    """Maps of ``side`` by ``side`` cells, and which boxes are given.

    Args:
        side: cells of a row and of a column.
        classes: how many, without a background.
        anchors: width and height of each, in cells.
        limit: a box that overlaps an earlier one by this or more is dropped; below 0 EvalDetection
            drops all.
        least: DetectionOutput: least confidence of a box; EvalDetection: least overlap of a hit.
        score: OBJ, PROB or MULTIPLY: objectness, the class's probability, or their product.
    """

    side: int
    classes: int
    anchors: tuple[tuple[float, float], ...]
    limit: float
    least: float
    score: str = "MULTIPLY"


def _anchors(param: Message, wanted: int) -> tuple[tuple[float, float], ...]:
    values = param.get("biases")
    if len(values) < 2 * wanted:
        raise param.error(
            "biases" if values else None,
            "value-count",
            f"`biases` are widths and heights of {wanted} anchors, and there are {len(values)}",
        )
    return tuple(zip(values[: 2 * wanted : 2], values[1 : 2 * wanted : 2], strict=True))


def _parse_output(layer: Message, context: LayerContext) -> RegionParams:
    names = ("side", "num_classes", "num_box", "coords", "confidence_threshold", "nms_threshold",
             "biases", "label_map_file")  # fmt: skip
    p = reject_unknown_fields(layer.get("detection_output_param"), *names)
    return RegionParams(
        required_number(p, "side") if p.has("side") else p.get("side"),
        required_number(p, "num_classes"),
        _anchors(p, p.get("num_box")),
        p.get("nms_threshold"),
        p.get("confidence_threshold") or 0.0,
    )


def _parse_evaluate(layer: Message, context: LayerContext) -> RegionParams:
    names = ("side", "num_class", "num_object", "threshold", "sqrt", "constriant", "score_type",
             "nms", "biases", "save_output_param")  # fmt: skip
    p = reject_unknown_fields(layer.get("eval_detection_param"), *names)
    if p.get("num_object") != _ANCHORS:
        raise p.error(
            "num_object" if p.has("num_object") else None,
            "out-of-range",
            f"`num_object` must be {_ANCHORS}, it is {p.get('num_object')}",
            "the layer's loops are over five anchors, whatever it says",
        )
    return RegionParams(
        p.get("side"),
        p.get("num_class"),
        _anchors(p, _ANCHORS),
        p.get("nms"),
        p.get("threshold"),
        one_of(p, "score_type", ("OBJ", "PROB", "MULTIPLY")),
    )


def _check_map(params: RegionParams, shape: Shape) -> None:
    wanted = (len(params.anchors) * (5 + params.classes), params.side, params.side)
    if len(shape) != 4 or shape[1:] != wanted:
        raise ShapeError(
            f"{len(params.anchors)} anchors with {params.classes} classes and `side` {params.side} "
            f"need {show((shape[0] if shape else 1, *wanted))}, the map is {show(shape)}"
        )


@quietly
def _boxes(params: RegionParams, x: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Classes, scores and boxes (n, 4) of one image's map, by row, column and anchor."""
    side, number = params.side, len(params.anchors)
    cells = x.reshape(number, -1, side, side).transpose(2, 3, 0, 1)
    across, down = np.meshgrid(np.arange(side), np.arange(side))
    corner = np.stack([across, down], axis=-1)[:, :, None]
    centre = (corner + sigmoid(cells[..., :2])) / side
    size = np.exp(cells[..., 2:4]) * np.array(params.anchors, np.float32) / side
    shares = softmax(cells[..., 5:], 3)
    score = {"OBJ": 1, "PROB": shares.max(axis=3)}.get(params.score, shares.max(axis=3))
    score = score if params.score == "PROB" else score * sigmoid(cells[..., 4])
    boxes = np.concatenate([centre, size], axis=3).reshape(-1, 4).astype(np.float32)
    return shares.argmax(axis=3).reshape(-1), score.reshape(-1), boxes


def _output_shape(params: RegionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    _check_map(params, inputs[0])
    if inputs[0][0] != 1:
        raise ShapeError(f"the layer takes one image, and the map is {show(inputs[0])}")
    return ((1, 1, params.side**2 * len(params.anchors), 7),)


def _output(params: RegionParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Rows of image, class, confidence, centre and size, in the order of the cells.

    An earlier box suppresses a later one whatever their confidence: the fork does not sort.
    """
    label, score, boxes = _boxes(params, np.asarray(inputs[0])[0])
    sure = np.flatnonzero(score >= np.float32(params.least))
    sure = sure[nms_keep(boxes[sure], params.limit)]
    if not len(sure):
        return (np.array([0, -1, -1, -1, -1, -1, -1], np.float32).reshape(1, 1, 1, 7),)
    named = np.stack([np.zeros(len(sure)), label[sure], score[sure]], axis=1)
    rows = np.concatenate([named, boxes[sure]], axis=1).astype(np.float32)
    return (rows.reshape(1, 1, -1, 7),)


REGION_OUTPUT = OpDef(
    name="DetectionOutputRegion",
    arity=Arity((1, 1), (1, 1)),
    params=_parse_output,
    shape=_output_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_output,
    dynamic=True,
    role=Role.BOX_ROWS,
    family="loss",
    host=True,
)

_OLD_LABEL, _NEW_LABEL = 30 * 5, 8  # of an image; of a box


def _evaluate_shape(params: RegionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    _check_map(params, inputs[0])
    label = inputs[1]
    old = label[:1] == inputs[0][:1] and count(label, 1) == _OLD_LABEL
    if not old and not (len(label) == 4 and label[3] == _NEW_LABEL):
        raise ShapeError(
            f"the label must be 30 boxes of 5 for each of {inputs[0][0]} images, or rows of 8 as "
            f"AnnotatedData's, it is {show(label)}"
        )
    return ((inputs[0][0], params.classes + 4 * params.side**2 * len(params.anchors)),)


def _truths(params: RegionParams, label: AnyArray, images: int) -> list[tuple[AnyArray, AnyArray]]:
    """Classes and boxes (n, 4) that each image has."""
    if label.ndim == 4 and label.shape[3] == _NEW_LABEL:
        rows = label.reshape(-1, _NEW_LABEL)
        rows = rows[rows[:, 0].astype(np.int64) != -1]
        boxes = np.concatenate(
            [(rows[:, 3:5] + rows[:, 5:7]) / 2, rows[:, 5:7] - rows[:, 3:5]], axis=1
        )
        own = [rows[:, 0].astype(np.int64) == image for image in range(images)]
        return [(class_labels(rows[at, 1] - 1, params.classes)[0], boxes[at]) for at in own]
    found = []
    for rows in label.reshape(images, 30, 5):
        end = np.flatnonzero(rows[:, 1] == 0)  # x of 0 ends the list
        rows = rows[: end[0]] if len(end) else rows
        found.append((class_labels(rows[:, 0], params.classes)[0], rows[:, 1:]))
    return found


def _found(params: RegionParams, x: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """What stays of a map, by class and then by score; nothing where ``nms`` is below 0."""
    label, score, boxes = _boxes(params, x)
    order = np.argsort(-score, kind="stable") if params.limit >= 0 else np.zeros(0, np.int64)
    order = order[nms_keep(boxes[order], params.limit)]
    order = order[score[order] >= _MIN_SCORE]
    order = order[np.argsort(label[order], kind="stable")]
    return label[order], score[order], boxes[order]


def _evaluate(params: RegionParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """For each image the numbers of true boxes, then class, score, hit, false of each box.

    A box that overlaps a true one of its class by too little is neither hit nor false, as in both
    forks.
    """
    maps, label = (np.asarray(array) for array in inputs[:2])
    top = np.zeros(_evaluate_shape(params, [maps.shape, label.shape])[0], np.float32)
    for image, (classes, truth) in enumerate(_truths(params, label, len(maps))):
        top[image, : params.classes] = np.bincount(classes, minlength=params.classes)
        taken = np.zeros(len(truth), dtype=bool)
        for at, (name, score, box) in enumerate(zip(*_found(params, maps[image]), strict=True)):
            own = np.flatnonzero(classes == name)
            hit = (0, 1) if not len(own) else _hit(params, own, overlaps(box, truth[own]), taken)
            top[image, params.classes + 4 * at :][:4] = name, score, *hit
    return (top,)


def _hit(params: RegionParams, own: AnyArray, common: AnyArray, taken: AnyArray) -> tuple[int, int]:
    best = int(common.argmax())
    if common[best] < np.float32(params.least):
        return (0, 0)
    if taken[own[best]]:
        return (0, 1)
    taken[own[best]] = True
    return (1, 0)


EVAL_DETECTION = OpDef(
    name="EvalDetection",
    arity=Arity((2, 3), (1, 1)),
    params=_parse_evaluate,
    shape=_evaluate_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_evaluate,
    reads=2,
    family="loss",
    host=True,
    reading=first_yolo_scores_reading,
)

READINGS = (REGION_OUTPUT,)
OPS = (EVAL_DETECTION,)
