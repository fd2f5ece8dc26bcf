"""RegionLoss, the loss of YOLOv2 (Redmon and Farhadi 2016), of eric612/MobileNet-YOLO.

region_loss_layer.cpp. A map has, for each anchor of a cell, x, y, width, height, objectness and
classes; the label has 300 rows of class, centre and size for each image. As in darknet the forward
pass computes what each output is to change by; the loss is the sum of the squares of these. Boxes
are never pulled towards their anchors, as other releases of the layer do for the first 12800
images.

intel/caffe's layer of that name (region_loss_layer.cpp) reads the detection rows of SSD's
AnnotatedData, (1, 1, boxes, 8). Places and sizes then change by at most 1 before the scale, the
objectness of a true box by 2 (1 - o)^3, and the loss is not divided by the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, TrueBoxes
from netc.ops.define import LayerContext, ShapeError
from netc.ops.detection.darknet import (
    ROW,
    TRUE_BOXES,
    cell_of,
    check_label,
    darknet_loss,
    first_true,
    true_boxes,
)
from netc.ops.detection.yolo_overlap import overlaps
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.normalization import softmax
from netc.ops.numbers import required_number
from netc.schema.message import Message

# The last six are read and not used where labels are darknet's rows: the map tells its side, and
# boxes come ready made.
_FIELDS = ("num_class", "num", "coords", "bias_match", "rescore", "object_scale", "class_scale",
           "noobject_scale", "coord_scale", "thresh", "biases", "side", "softmax", "jitter",
           "absolute", "random", "class_map")  # fmt: skip


_DETECTION = ("image", "label", "instance", "x0", "y0", "x1", "y1", "difficult")


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
        side: rows and columns of the map, where labels are detection rows.
        mapped: a file would say which output each class is.
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
    side: int
    mapped: bool


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
    scales = ("object_scale", "noobject_scale", "class_scale", "coord_scale")
    return RegionLossParams(
        classes=p.get("num_class"),
        anchors=anchors,
        bias_match=bool(p.get("bias_match")),
        rescore=bool(p.get("rescore")),
        threshold=p.get("thresh"),
        **{name: p.get(name) for name in scales},
        side=p.get("side"),
        mapped=bool(p.get("class_map")),
    )


def _shape(params: RegionLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    wanted = len(params.anchors) * (5 + params.classes)
    if len(data) != 4 or data[1] != wanted or data[2] != data[3]:
        raise ShapeError(
            f"the first bottom must be a square map of {wanted} channels, it is {show(data)}"
        )
    if _is_detection(label):
        _check_detection(params, data)
    else:
        check_label(data, label)
    return ((),)


def _is_detection(label: Shape) -> bool:
    """Whether labels are rows of SSD's AnnotatedData; darknet's are 1500 numbers an image."""
    return len(label) == 4 and label[:2] == (1, 1) and label[3] == len(_DETECTION)


def _check_detection(params: RegionLossParams, data: Shape) -> None:
    if data[2] != params.side:
        raise ShapeError(
            f"`side` is {params.side} and the map's rows are {data[2]}; with labels of 8 numbers a "
            "box the two must be equal"
        )
    if params.mapped:
        raise ShapeError("`class_map` with labels of 8 numbers a box is not computed")


@quietly
def _loss(params: RegionLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    changes = region_changes(params, np.asarray(inputs[0]), np.asarray(inputs[1]))
    total = (changes.astype(np.float64) ** 2).sum()
    images = 1 if _is_detection(inputs[1].shape) else len(changes)
    return (np.array(total / images, inputs[0].dtype),)


@quietly
def region_changes(params: RegionLossParams, x: AnyArray, label: AnyArray) -> AnyArray:
    """What each output is to change by: (num, anchors, 5 + classes, rows, columns).

    Raises:
        NetcError: region-out-of-range, for a true box outside of the image or without size, or of
            an image that the batch does not have.
    """
    x = x.reshape(len(x), len(params.anchors), -1, *x.shape[2:])
    boxes, scores = _boxes(params, x), softmax(x[:, :, 5:], 2)
    diff, objects = np.zeros_like(x), sigmoid(x[:, :, 4])
    diff[:, :, 4] = params.noobject_scale * objects * objects * (1 - objects)
    detection = _is_detection(label.shape)
    rows = _detected(label, len(x)) if detection else _listed(label)
    set_ = _set_box if detection else _set_darknet_box
    for at, (compared, trained) in enumerate(rows):
        diff[at, :, 4][_covered(params, boxes[at], compared)] = 0
        for row in trained:
            cell = _true_cell(params, x[at], boxes[at], scores[at], diff[at], row)
            set_(params, cell)
    return diff


def _listed(label: AnyArray) -> list[tuple[AnyArray, AnyArray]]:
    """Of each image, rows (class, centre, size) to compare with all boxes, and to learn."""
    return [
        (rows[: first_true(rows[:, 1] == 0)], rows[: first_true(rows[:, 3] == 0)])
        for rows in label.reshape(len(label), TRUE_BOXES, ROW)
    ]


def _detected(label: AnyArray, images: int) -> list[tuple[AnyArray, AnyArray]]:
    """The same of detection rows, whose class 0 is the background; those of image -1 are none."""
    rows = label.reshape(-1, len(_DETECTION))
    owners = np.trunc(rows[:, 0])
    wrong = (owners != -1) & ~((owners >= 0) & (owners < images))
    if wrong.any():
        raise NetcError(
            Diagnostic("region-out-of-range", f"a true box is of image {rows[wrong][0, 0]:g}, and "
                       f"the batch has {images}")
        )  # fmt: skip
    low, high = rows[:, 3:5], rows[:, 5:7]
    made = np.concatenate([rows[:, 1:2] - 1, (low + high) / 2, high - low], axis=1)
    own = [made[owners == at] for at in range(images)]
    return [(boxes, boxes) for boxes in own]


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


@dataclass(frozen=True, slots=True)
class _TrueCell:
    """The outputs that are to find a true box.

    Args:
        row: class, centre and size of the true box.
        found: (5 + classes,), the outputs: place, the size's logarithms, objectness, classes; all
            but the size behind their sigmoid or softmax.
        wanted: (4,), the same for place and size, of the true box.
        overlap: of the predicted box with the true one.
        diff: (5 + classes,), a view of what they are to change by.
    """

    row: AnyArray
    found: AnyArray
    wanted: AnyArray
    overlap: AnyArray
    diff: AnyArray


def _true_cell(
    params: RegionLossParams,
    x: AnyArray,
    boxes: AnyArray,
    scores: AnyArray,
    diff: AnyArray,
    row: AnyArray,
) -> _TrueCell:
    side, box = np.float32(x.shape[-1]), row[1:5]
    i, j = cell_of(box, x.shape[-1], x.shape[-1])
    at = _best_anchor(params, boxes[:, j, i, 2:], box, side)
    own = x[at, :, j, i]
    found = np.concatenate([sigmoid(own[:2]), own[2:4], sigmoid(own[4:5]), scores[at, :, j, i]])
    size = np.log(box[2:] * side / np.array(params.anchors, np.float32)[at])
    wanted = np.concatenate([box[:2] * side - (i, j), size])
    overlap = overlaps(box, boxes[at, j, i][None])[0]
    return _TrueCell(row, found, wanted, overlap, diff[at, :, j, i])


def _best_anchor(params: RegionLossParams, sizes: AnyArray, box: AnyArray, side: np.float32) -> int:
    """Which anchor's box has the greatest overlap with the true one, with the same centre."""
    anchors = np.array(params.anchors, np.float32)
    shapes = anchors / side if params.bias_match else sizes
    centred = np.concatenate([np.zeros_like(shapes), shapes], axis=1)
    own = overlaps(np.concatenate([np.zeros_like(box[2:]), box[2:]]), centred)
    if not (own > 0).any():
        raise NetcError(
            Diagnostic("region-out-of-range", f"a true box of size {box[2]:g}, {box[3]:g} meets "
                       "no anchor, and the fork would write outside its cell")
        )  # fmt: skip
    return int(np.nanargmax(own))


def _set_darknet_box(params: RegionLossParams, cell: _TrueCell) -> None:
    box, objectness = cell.row[1:5], cell.found[4]
    scale = params.coord_scale * (1 if params.rescore else 2 - box[2] * box[3])
    _set_place(cell, scale, cell.found[:4] - cell.wanted)
    aim = cell.overlap if params.rescore else 1
    cell.diff[4] = params.object_scale * (objectness - aim) * objectness * (1 - objectness)
    _set_classes(params, cell)


def _set_box(params: RegionLossParams, cell: _TrueCell) -> None:
    """intel/caffe's: errors of place and size are cut to 1, and objectness has a focal weight."""
    _set_place(cell, params.coord_scale, np.clip(cell.found[:4] - cell.wanted, -1, 1))
    objectness = cell.found[4]
    rest = 1 - objectness
    cell.diff[4] = -params.object_scale * 2 * rest**3 * objectness * rest
    _set_classes(params, cell)


def _set_place(cell: _TrueCell, scale: float, offset: AnyArray) -> None:
    place = cell.found[:2]
    cell.diff[:2] = scale * offset[:2] * place * (1 - place)
    cell.diff[2:4] = scale * offset[2:]


def _set_classes(params: RegionLossParams, cell: _TrueCell) -> None:
    hot = np.arange(params.classes) == int(cell.row[0])
    cell.diff[5:] = params.class_scale * (cell.found[5:] - hot)


def _contents(params: RegionLossParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    if _is_detection(inputs[1]):
        return None, TrueBoxes(_DETECTION, params.classes + 1)
    return true_boxes(params.classes)


REGION_LOSS = darknet_loss("RegionLoss", _parse, _shape, _loss, _contents)

OPS = (REGION_LOSS,)
