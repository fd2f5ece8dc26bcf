"""DetectionLoss of yeahkun/caffe-yolo: the loss of YOLO's first version (Redmon et al. 2016,
arXiv:1506.02640), detection_loss_layer.cpp there.

The bottoms are, for ``side`` by ``side`` cells of an image, scores of classes, objectness and boxes
(centre and size); and whether a box is difficult, whether a cell has an object, its class and box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Whole
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.fields import reject_unknown_fields
from netc.schema.message import Message

_FIELDS = (
    *("side", "num_class", "num_object", "object_scale", "noobject_scale", "class_scale"),
    *("coord_scale", "sqrt", "constriant"),
)
_FAR = 20.0  # a box without overlap that lies farther away is not chosen
LABEL = 7  # numbers of a label's cell


@dataclass(frozen=True, slots=True)
class FirstYoloParams:
    """The fields of the same names; ``in_cell`` is `constriant`: centres count from the cell."""

    side: int
    classes: int
    boxes: int
    object_scale: float
    noobject_scale: float
    class_scale: float
    coord_scale: float
    sqrt: bool
    in_cell: bool


def _parse(layer: Message, context: LayerContext) -> FirstYoloParams:
    message = reject_unknown_fields(layer.get("detection_loss_param"), *_FIELDS)
    for name in ("side", "num_class", "num_object"):
        if message.get(name) == 0:
            raise message.error(name, "out-of-range", f"`{name}` must be at least 1, it is 0")
    return FirstYoloParams(*(message.get(name) for name in _FIELDS))


def check_cells(params: FirstYoloParams, inputs: Sequence[Shape], field: str) -> None:
    """Check a prediction and a label of so many cells.

    Raises:
        ShapeError: one has another size; ``field`` is what says the cells.
    """
    cells = params.side**2
    wanted = (cells * (params.classes + 5 * params.boxes), cells * LABEL)
    for shape, size, what in zip(inputs, wanted, ("prediction", "label"), strict=True):
        if not shape or count(shape, 1) != size:
            raise ShapeError(
                f"{size} numbers of each image are needed for `side` {params.side}, the {what} is "
                f"{show(shape)}",
                field,
            )
    if inputs[0][0] != inputs[1][0]:
        raise ShapeError(f"as many labels as images: {show(inputs[0])} and {show(inputs[1])}")


def _shape(params: FirstYoloParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_cells(params, inputs, "detection_loss_param.side")
    return ((),)


class Cells(NamedTuple):
    """The differences of all predictions, in their shape, and what the loss is made of.

    Args:
        difference: as the fork's gradient has it, scaled; of the chosen box the objectness less
            the overlap.
        loss: the loss.
    """

    difference: AnyArray
    loss: AnyArray


def box_overlaps(boxes: AnyArray, truth: AnyArray) -> AnyArray:
    """Areas in common over areas together of boxes of centre and size, 0 where they are apart."""
    low = np.maximum(boxes[..., :2] - boxes[..., 2:] / 2, truth[..., :2] - truth[..., 2:] / 2)
    high = np.minimum(boxes[..., :2] + boxes[..., 2:] / 2, truth[..., :2] + truth[..., 2:] / 2)
    sides = high - low
    common = sides[..., 0] * sides[..., 1]
    together = boxes[..., 2] * boxes[..., 3] + truth[..., 2] * truth[..., 3] - common
    found = np.where((sides < 0).any(axis=-1), 0, common / together)
    result: AnyArray = np.nan_to_num(found, nan=0.0, posinf=np.inf)
    return result


def in_picture(params: FirstYoloParams, boxes: AnyArray) -> AnyArray:
    """Predicted boxes (images, cells, boxes, 4) as centre and size in the picture."""
    whole = boxes.copy()
    if params.in_cell:
        cell = np.arange(params.side**2)
        corners = np.stack([cell % params.side, cell // params.side], axis=1)[None, :, None]
        whole[..., :2] = (corners.astype(boxes.dtype) + whole[..., :2]) / boxes.dtype.type(
            params.side
        )
    if params.sqrt:
        whole[..., 2:] **= 2
    return whole


def _chosen(params: FirstYoloParams, boxes: AnyArray, truth: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The box that a cell's object is given to, and its overlap; (images, cells) both.

    The one that overlaps it most; where none does, the nearest that is not too far.

    Args:
        boxes: (images, cells, boxes, 4), as predicted.
        truth: (images, cells, 4).
    """
    whole = in_picture(params, boxes)
    target = truth[:, :, None]
    overlap = box_overlaps(whole, target)
    far = np.sqrt(((whole - target) ** 2).sum(axis=-1))
    nearest = np.where(far < _FAR, far, np.inf).argmin(axis=-1)
    most = overlap.max(axis=-1)
    best = np.where(most > 0, overlap.argmax(axis=-1), nearest)
    return best, np.maximum(most, 0)


def _targets(params: FirstYoloParams, truth: AnyArray) -> AnyArray:
    """True boxes as a cell predicts them."""
    wanted = truth.copy()
    if params.in_cell:
        cell = np.arange(params.side**2)
        corners = np.stack([cell % params.side, cell // params.side], axis=1)
        wanted[..., :2] = wanted[..., :2] * params.side - corners
    if params.sqrt:
        wanted[..., 2:] = np.sqrt(wanted[..., 2:])
    return wanted


def cell_labels(params: FirstYoloParams, label: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Which cells have an object, its class, 0 where none is, and its box.

    Raises:
        NetcError: label-out-of-range.
    """
    cells = params.side**2
    rows = label.reshape(len(label), -1)
    has = rows[:, cells : 2 * cells] != 0
    kind = np.trunc(rows[:, 2 * cells : 3 * cells])
    wrong = has & ~((kind >= 0) & (kind < params.classes))
    if wrong.any():
        raise NetcError(
            Diagnostic(
                "label-out-of-range",
                f"a class is {kind[wrong][0]:g}, and there are {params.classes}",
                help=("classes count from 0",),
            )
        )
    return has, np.where(has, kind, 0).astype(np.int64), rows[:, 3 * cells :].reshape(-1, cells, 4)


@quietly
def yolo_cells(params: FirstYoloParams, inputs: Arrays) -> Cells:
    """What the loss and its gradient are made of.

    Raises:
        NetcError: label-out-of-range.
    """
    data, label = (np.asarray(array) for array in inputs)
    images, cells = len(data), params.side**2
    rows = data.reshape(images, -1, cells)
    has, kind, truth = cell_labels(params, label)
    classes = rows[:, : params.classes]
    objects = rows[:, params.classes : params.classes + params.boxes]
    boxes = rows[:, params.classes + params.boxes :].reshape(images, params.boxes, 4, cells)
    best, overlap = _chosen(params, boxes.transpose(0, 3, 1, 2), truth)
    own = has[:, None] & (np.arange(params.boxes)[:, None] == best[:, None])
    off_class = has[:, None] * (classes - (np.arange(params.classes)[:, None] == kind[:, None]))
    off_box = own[:, :, None] * (boxes - _targets(params, truth).transpose(0, 2, 1)[:, None])
    off_box = np.where(own[:, :, None], off_box, 0)
    number = has.sum()
    parts = (
        params.class_scale * (off_class**2).sum(dtype=np.float64) / number,
        params.coord_scale * (off_box**2).sum(dtype=np.float64) / number,
        params.object_scale * (own * (objects - 1) ** 2).sum(dtype=np.float64) / number,
        params.noobject_scale * (~own * objects**2).sum(dtype=np.float64)
        / (objects.size - number),
    )  # fmt: skip
    off_object = np.where(
        own, params.object_scale * (objects - overlap[:, None]), params.noobject_scale * objects
    )
    made = [
        params.class_scale * off_class,
        off_object,
        params.coord_scale * off_box.reshape(images, -1, cells),
    ]
    difference = np.concatenate(made, axis=1).astype(data.dtype).reshape(data.shape)
    return Cells(difference, np.asarray(sum(parts), data.dtype))


def _loss(params: FirstYoloParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (yolo_cells(params, inputs).loss,)


def _contents(params: FirstYoloParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(min(2, params.classes))


FIRST_YOLO_LOSS = OpDef(
    name="DetectionLossOfCells",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse,
    shape=_shape,
    cost=per_input(20),
    window=full_extent,
    memory=copies(10),
    reference=_loss,
    contents=_contents,
    loss=True,
    family="loss",
    host=True,
)


def first_yolo_reading(layer: Message) -> TypeReading | None:
    """This layer, where one of its fields is written; MS-CNN's DetectionLoss has none of them."""
    message = layer.get("detection_loss_param")
    if any(name in message.type.fields and message.has(name) for name in _FIELDS):
        return TypeReading(erased(FIRST_YOLO_LOSS))
    return None


READINGS = (FIRST_YOLO_LOSS,)
