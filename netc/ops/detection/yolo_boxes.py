"""YoloDetectionOutput of BVLC's OpenCL branch: each image's boxes for themselves.

yolo_detection_output_layer.cpp and bbox_util.hpp of pull request 5906.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.yolo_overlap import nms_keep
from netc.ops.detection.yolo_parts import YoloParams, level_rows, parse_v2, yolo_shape
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class YoloBoxesParams:
    """``corners``: rows of image, class + 1, score and corners (`ssd_format`).

    Else they are of image, class, score, centre and size. ``boxes`` is as of the other fork.
    """

    boxes: YoloParams
    corners: bool


def _parse(layer: Message, context: LayerContext) -> YoloBoxesParams:
    """Pictures of the boxes, which `visualize` asks for, are not made."""
    shown = ("visualize", "visualize_threshold", "save_file")
    boxes = parse_v2(layer, context._replace(bottoms=1), "ssd_format", *shown)
    return YoloBoxesParams(boxes, layer.get("yolo_detection_output_param").get("ssd_format"))


def _shape(params: YoloBoxesParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    made = yolo_shape(params.boxes, inputs[:1])
    if inputs[0][2] != inputs[0][3]:
        raise ShapeError(f"as many rows as columns are wanted, the map is {inputs[0][2:]}")
    return made


@quietly
def _detect(params: YoloBoxesParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    maps = np.asarray(inputs[0])
    found = [_of_image(params, at, maps[at : at + 1]) for at in range(len(maps))]
    return (np.concatenate(found).astype(np.float32).reshape(1, 1, -1, 7),)


def _of_image(params: YoloBoxesParams, image: int, x: AnyArray) -> AnyArray:
    """Rows of an image's boxes, the best first."""
    rows = level_rows(params.boxes, 0, x)
    rows = rows[np.argsort(-rows[:, 1], kind="stable")]
    low, high = rows[:, 2:4] - rows[:, 4:6] / 2, rows[:, 2:4] + rows[:, 4:6] / 2
    inside = np.maximum(low, 0), np.minimum(high, 1)
    compared = np.concatenate([(inside[0] + inside[1]) / 2, inside[1] - inside[0]], axis=1)
    kept = nms_keep(compared.astype(np.float32), params.boxes.overlap)
    first = np.full((len(kept), 1), image)
    place = np.concatenate([low, high], axis=1) if params.corners else rows[:, 2:6]
    label = rows[kept, :1] + (1 if params.corners else 0)
    return np.concatenate([first, label, rows[kept, 1:2], place[kept]], axis=1)


YOLO_BOXES = OpDef(
    name="YoloBoxes",
    arity=Arity((1, 2), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_detect,
    reads=1,
    dynamic=True,
    role=Role.BOX_ROWS,
    family="loss",
    host=True,
)

READINGS = (YOLO_BOXES,)
OPS = ()
