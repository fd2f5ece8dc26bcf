"""Detection outputs of YOLOv2 and YOLOv3 as eric612/MobileNet-YOLO has them.

Redmon and Farhadi 2016, 2018; yolov3_detection_output_layer.cpp, yolo_detection_output_layer.cpp. A
map has, for each anchor of a cell, x, y, width, height, objectness and the classes. As in that fork
all images of a batch go through one non-maximum suppression, and every row names image 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    Parse,
    Stand,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.detection.yolo_boxes import YOLO_BOXES, YoloBoxesParams
from netc.ops.detection.yolo_overlap import nms_keep
from netc.ops.detection.yolo_parts import (
    YoloParams,
    anchors_of,
    level_rows,
    mask_of,
    parse_v2,
    yolo_shape,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.ops.role import Role
from netc.schema.message import Message


def _parse_v3(layer: Message, context: LayerContext) -> YoloParams:
    names = ("num_classes", "num_box", "confidence_threshold", "nms_threshold", "biases", "mask",
             "anchors_scale", "mask_group_num")  # fmt: skip
    p = reject_unknown_fields(layer.get("yolov3_detection_output_param"), *names)
    anchors, number = anchors_of(p), p.get("num_box")
    mask = mask_of(p, len(anchors))
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


@quietly
def _detect(params: YoloParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found = [level_rows(params, at, np.asarray(array)) for at, array in enumerate(inputs)]
    rows = np.concatenate(found)
    rows = rows[np.argsort(-rows[:, 1], kind="stable")]
    rows = rows[nms_keep(rows[:, 2:].astype(np.float32), params.overlap)]
    if not len(rows):
        rows = np.full((inputs[0].shape[0], 7), -1, np.float32)
        rows[:, 0] = np.arange(len(rows))
        return (rows.reshape(1, 1, -1, 7),)
    low, high = rows[:, 2:4] - rows[:, 4:6] / 2, rows[:, 2:4] + rows[:, 4:6] / 2
    made = [np.zeros((len(rows), 1)), rows[:, :1] + 1, rows[:, 1:2], low, high]
    return (np.concatenate(made, axis=1).astype(np.float32).reshape(1, 1, -1, 7),)


def _opencl_reading(layer: Message) -> TypeReading | None:
    """BVLC's OpenCL branch, whose own fields are written; its second bottom is the picture."""
    param = layer.get("yolo_detection_output_param")
    own = ("ssd_format", "visualize", "visualize_threshold", "save_file")
    if not any(name in param.type.fields and param.has(name) for name in own):
        return None
    return TypeReading(erased(YOLO_BOXES))


def _beside_pictures(params: YoloParams, inputs: Sequence[Shape]) -> Stand | None:
    """The OpenCL branch's, where the second bottom is no map of boxes but the picture."""
    wanted = len(params.levels[0]) * (5 + params.classes)
    if len(inputs) != 2 or inputs[0][1:2] != (wanted,) or inputs[1][1:2] == (wanted,):
        return None
    alone = replace(params, levels=params.levels[:1])
    return Stand(YOLO_BOXES.name, YoloBoxesParams(alone, corners=False))


def _output(
    name: str,
    bottoms: tuple[int, int | None],
    parse: Parse[YoloParams],
    reading: Callable[[Message], TypeReading | None] | None = None,
    by_shape: Callable[[YoloParams, Sequence[Shape]], Stand | None] | None = None,
) -> OpDef[YoloParams]:
    return OpDef(
        name=name,
        arity=Arity(bottoms, (1, 1)),
        params=parse,
        shape=yolo_shape,
        cost=per_input(10),
        window=full_extent,
        memory=copies(12),
        reference=_detect,
        dynamic=True,
        role=Role.BOX_ROWS,
        family="loss",
        host=True,
        reading=reading,
        by_shape=by_shape,
    )


OPS = (
    _output("Yolov3DetectionOutput", (1, None), _parse_v3),
    _output("YoloDetectionOutput", (1, 2), parse_v2, _opencl_reading, _beside_pictures),
)
