"""FasterRcnnDetectionOutput: detections of Faster R-CNN's head as rows of seven, as SSD has them.

faster_rcnn_detection_output_layer.cpp and bbox_util.cpp of BVLC's pull request 6396.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, ImageSizes, Regions
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.boxes import nms_keep
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.ops.role import Role
from netc.schema.message import Message

_SCALE = 1e-5  # below it the image's scale counts 1
_PIXELS = 600.0  # of made-up images


@dataclass(frozen=True, slots=True)
class RcnnOutputParams:
    """Which boxes are given, as rows of image 0, class, score and corners.

    Args:
        classes: how many, the background among them.
        background: the class that gives no boxes; -1 for none.
        overlap: the largest of two boxes of a class.
        score: a box of this or a lower score is left out; None leaves none out.
    """

    classes: int
    background: int
    overlap: float
    score: float | None


def _parse(layer: Message, context: LayerContext) -> RcnnOutputParams:
    names = ("num_classes", "background_label_id", "nms_param", "confidence_threshold")
    p = reject_unknown_fields(layer.get("faster_rcnn_detection_output_param"), *names)
    nms = reject_unknown_fields(p.get("nms_param"), "nms_threshold", "eta", "top_k")
    if not nms.get("nms_threshold") >= 0:
        raise bad_value(nms, "nms_threshold", "must be at least 0")
    score = p.get("confidence_threshold") if p.has("confidence_threshold") else None
    return RcnnOutputParams(
        required_number(p, "num_classes"),
        p.get("background_label_id"),
        nms.get("nms_threshold"),
        score,
    )


def _shape(params: RcnnOutputParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Where every box of every class is given: how many are is known only from the data."""
    boxes, scores, regions, info = inputs
    rows = regions[0] if regions else 0
    for what, shape, each in (
        ("regions", regions, 5),
        ("scores", scores, params.classes),
        ("box changes", boxes, 4 * params.classes),
    ):
        if shape[:1] != (rows,) or count(shape, 1) != each:
            raise ShapeError(
                f"the {what} must be {each} numbers for each of {rows} regions, the bottom is "
                f"{show(shape)}"
            )
    if count(info) < 3:
        raise ShapeError(
            f"the fourth bottom must have the image's height, width and scale, it is {show(info)}"
        )
    return ((1, 1, max(1, rows * params.classes), 7),)


@quietly
def _detect(params: RcnnOutputParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Class by class, the best box first; without any, a row of image 0 and six times -1."""
    changes, scores, regions, info = (np.asarray(array) for array in inputs)
    number, (height, width, scale) = len(regions), info.reshape(-1)[:3]
    boxes = _decoded(changes.reshape(number, -1, 4), regions.reshape(number, 5)[:, None, 1:])
    boxes = np.maximum(np.minimum(boxes, np.array([width - 1, height - 1] * 2, np.float32)), 0)
    scores = scores.reshape(number, -1)
    found = [
        _of_class(params, at, boxes[:, at], scores[:, at])
        for at in range(params.classes)
        if at != params.background
    ]
    rows = np.concatenate([*found, np.zeros((0, 7))]).astype(np.float32)
    rows[:, 3:] /= scale if abs(scale) >= _SCALE else np.float32(1)
    if not len(rows):
        rows = np.full((1, 7), -1, np.float32)
        rows[0, 0] = 0
    return (rows.reshape(1, 1, -1, 7),)


def _decoded(changes: AnyArray, regions: AnyArray) -> AnyArray:
    """Corners (regions, classes, 4) of regions that each class moves and scales."""
    size = regions[..., 2:] - regions[..., :2] + 1
    centre = changes[..., :2] * size + regions[..., :2] + size / 2
    half = np.exp(changes[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def _of_class(params: RcnnOutputParams, label: int, boxes: AnyArray, scores: AnyArray) -> AnyArray:
    order = np.argsort(-scores, kind="stable")
    if params.score is not None:
        order = order[scores[order] > np.float32(params.score)]
    best = order[nms_keep(boxes[order], params.overlap)]
    first = np.broadcast_to([0, label], (len(best), 2))
    return np.concatenate([first, scores[best, None], boxes[best]], axis=1)


def _contents(params: RcnnOutputParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    sizes = ImageSizes(_PIXELS, _PIXELS)
    return None, None, Regions(1, _PIXELS, _PIXELS), sizes


FASTER_RCNN_OUTPUT = OpDef(
    name="FasterRcnnDetectionOutput",
    arity=Arity((4, 4), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_input(20),
    window=full_extent,
    memory=copies(12),
    reference=_detect,
    dynamic=True,
    contents=_contents,
    role=Role.BOX_ROWS,
    family="loss",
    host=True,
)

OPS = (FASTER_RCNN_OUTPUT,)
