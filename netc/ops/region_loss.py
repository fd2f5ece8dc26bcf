"""RegionLoss, the loss of YOLOv2 (Redmon and Farhadi 2016), of eric612/MobileNet-YOLO.

region_loss_layer.cpp. A map has, for each anchor of a cell, x, y, width, height, objectness and
classes; the label has 300 rows of class, centre and size for each image. As in darknet the forward
pass computes what each output is to change by; the loss is the sum of the squares of these. Boxes
are never pulled towards their anchors, as other releases of the layer do for the first 12800
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents
from netc.ops.darknet import (
    ROW,
    TRUE_BOXES,
    cell_of,
    check_label,
    darknet_loss,
    first_true,
    true_boxes,
)
from netc.ops.define import LayerContext, ShapeError
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.normalization import softmax
from netc.ops.numbers import required_number
from netc.ops.yolo_overlap import overlaps
from netc.schema.message import Message

# The last six are read and not used: the map tells its side, and boxes come ready made.
_FIELDS = ("num_class", "num", "coords", "bias_match", "rescore", "object_scale", "class_scale",
           "noobject_scale", "coord_scale", "thresh", "biases", "side", "softmax", "jitter",
           "absolute", "random", "class_map")  # fmt: skip


@dataclass(frozen=True, slots=True)
class RegionLossParams:
    """Parameters of RegionLoss.

    Args:
        classes: how many, without a background.
        anchors: width and height of each, in cells.
        bias_match: a true box is matched by the anchors' sizes, else by the predicted ones.
        rescore: objectness is trained to be the overlap, and all boxes have the same weight; else
            to be 1, and small boxes have a greater weight.
        threshold: a box that overlaps a true box by more need not have objectness 0.
        object_scale, noobject_scale, class_scale, coord_scale: weights of the loss's parts.
    """

    classes: int
    anchors: tuple[tuple[float, float], ...]
    bias_match: bool
    rescore: bool
    threshold: float
    object_scale: float
    noobject_scale: float
    class_scale: float
    coord_scale: float


def _parse(layer: Message, context: LayerContext) -> RegionLossParams:
    p = reject_unknown_fields(layer.get("region_loss_param"), *_FIELDS)
    number, values = required_number(p, "num") if p.has("num") else p.get("num"), p.get("biases")
    if len(values) < max(10, 2 * number):
        raise p.error(
            "biases" if len(values) else None,
            "value-count",
            f"`biases` are widths and heights of {number} anchors, and there are {len(values)}; "
            "with fewer than 10 the fork takes all for 0",
        )
    if p.get("coords") != 4:
        raise bad_value(p, "coords", "must be 4")
    anchors = tuple(zip(values[: 2 * number : 2], values[1 : 2 * number : 2], strict=True))
    names = ("thresh", "object_scale", "noobject_scale", "class_scale", "coord_scale")
    flags = bool(p.get("bias_match")), bool(p.get("rescore"))
    scales = [float(p.get(name)) for name in names]
    return RegionLossParams(p.get("num_class"), anchors, *flags, *scales)


def _shape(params: RegionLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    wanted = len(params.anchors) * (5 + params.classes)
    if len(data) != 4 or data[1] != wanted or data[2] != data[3]:
        raise ShapeError(
            f"the first bottom must be a square map of {wanted} channels, it is {show(data)}"
        )
    check_label(data, label)
    return ((),)


@quietly
def _loss(params: RegionLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    changes = region_changes(params, np.asarray(inputs[0]), np.asarray(inputs[1]))
    total = (changes.astype(np.float64) ** 2).sum()
    return (np.array(total / len(changes), inputs[0].dtype),)


@quietly
def region_changes(params: RegionLossParams, x: AnyArray, label: AnyArray) -> AnyArray:
    """What each output is to change by: (num, anchors, 5 + classes, rows, columns).

    Raises:
        NetcError: region-out-of-range, for a true box outside of the image or without size.
    """
    x = x.reshape(len(x), len(params.anchors), -1, *x.shape[2:])
    boxes, scores = _boxes(params, x), softmax(x[:, :, 5:], 2)
    diff, objects = np.zeros_like(x), sigmoid(x[:, :, 4])
    diff[:, :, 4] = params.noobject_scale * objects * objects * (1 - objects)
    for at, rows in enumerate(label.reshape(len(label), TRUE_BOXES, ROW)):
        used = rows[: first_true(rows[:, 1] == 0)]
        diff[at, :, 4][_covered(params, boxes[at], used)] = 0
        for row in rows[: first_true(rows[:, 3] == 0)]:
            _add_true_box(params, x[at], boxes[at], scores[at], diff[at], row)
    return diff


def _boxes(params: RegionLossParams, x: AnyArray) -> AnyArray:
    """Predicted centres and sizes: (images, anchors, rows, columns, 4), parts of the image."""
    side = np.float32(x.shape[-1])
    across, down = np.meshgrid(*(np.arange(x.shape[-1], dtype=np.float32),) * 2)
    centre = (sigmoid(x[:, :, :2]) + np.stack([across, down])) / side
    anchors = np.array(params.anchors, np.float32)[:, :, None, None]
    size = np.exp(x[:, :, 2:4]) * anchors / side
    return np.moveaxis(np.concatenate([centre, size], axis=2), 2, -1)


def _covered(params: RegionLossParams, boxes: AnyArray, rows: AnyArray) -> AnyArray:
    """Which predicted boxes overlap a true one by more than the threshold."""
    best = np.zeros(boxes[..., 0].size, np.float32)
    for row in rows:
        best = np.fmax(best, overlaps(row[1:5], boxes.reshape(-1, 4)))
    return best.reshape(boxes.shape[:3]) > np.float32(params.threshold)


def _add_true_box(
    params: RegionLossParams,
    x: AnyArray,
    boxes: AnyArray,
    scores: AnyArray,
    diff: AnyArray,
    row: AnyArray,
) -> None:
    side = x.shape[-1]
    box = row[1:5]
    i, j = cell_of(box, side, side)
    anchors = np.array(params.anchors, np.float32)
    shapes = anchors / np.float32(side) if params.bias_match else boxes[:, j, i, 2:]
    centred = np.concatenate([np.zeros_like(shapes), shapes], axis=1)
    own = overlaps(np.concatenate([np.zeros_like(box[2:]), box[2:]]), centred)
    if not (own > 0).any():
        raise NetcError(
            Diagnostic("region-out-of-range", f"a true box of size {box[2]:g}, {box[3]:g} meets "
                       "no anchor, and the fork would write outside its cell")
        )  # fmt: skip
    at = int(np.nanargmax(own))
    place, object_ = sigmoid(x[at, :2, j, i]), sigmoid(x[at, 4, j, i])
    scale = params.coord_scale * (1 if params.rescore else 2 - box[2] * box[3])
    wanted = np.log(box[2:] * np.float32(side) / anchors[at])
    offset = place - (box[:2] * np.float32(side) - (i, j))
    diff[at, :2, j, i] = scale * offset * place * (1 - place)
    diff[at, 2:4, j, i] = scale * (x[at, 2:4, j, i] - wanted)
    aim = overlaps(box, boxes[at, j, i][None])[0] if params.rescore else 1
    diff[at, 4, j, i] = params.object_scale * (object_ - aim) * object_ * (1 - object_)
    hot = np.arange(params.classes) == int(row[0])
    diff[at, 5:, j, i] = params.class_scale * (scores[at, :, j, i] - hot)


def _contents(params: RegionLossParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return true_boxes(params.classes)


REGION_LOSS = darknet_loss("RegionLoss", _parse, _shape, _loss, _contents)

OPS = (REGION_LOSS,)
