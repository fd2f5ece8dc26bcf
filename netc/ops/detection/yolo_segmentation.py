"""YoloSeg and SegmentationEvaluate of eric612/MobileNet-YOLO.

yolo_seg.cpp and segmentation_evaluate_layer.cpp. YoloSeg is the sum over pixels and classes of the
squares of sigmoid less label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message

_SURE = 0.5


@dataclass(frozen=True, slots=True)
class YoloSegParams:
    """``scale`` multiplies every difference (``object_scale``)."""

    scale: float


def _parse_seg(layer: Message, context: LayerContext) -> YoloSegParams:
    p = reject_unknown_fields(
        layer.get("yolo_seg_param"),
        *("object_scale", "class_scale", "num_class", "use_logic_gradient", "use_hardsigmoid"),
    )
    return YoloSegParams(p.get("object_scale"))


def _seg_shape(params: YoloSegParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs[:2]
    if len(data) != 4 or data != label:
        raise ShapeError(
            f"YoloSeg compares maps of one shape, and they are {show(data)} and {show(label)}"
        )
    if len(inputs) == 3 and inputs[2][:2] != data[:2]:
        raise ShapeError(
            f"the third bottom must have the sums of {show(data[:2])} labels, it is "
            f"{show(inputs[2])}"
        )
    return ((),)


def seg_changes(params: YoloSegParams, inputs: Arrays) -> AnyArray:
    """(sigmoid - label) * scale of each element, in the bottom's shape.

    With a third bottom (num, classes), how many pixels of each image have each class, elements with
    a label are also multiplied by 2 - pixels with the class / pixels without it.
    """
    data, label = inputs[:2]
    factor = data.dtype.type(params.scale)
    if len(inputs) == 2:
        result: AnyArray = factor * (sigmoid(data) - label)
        return result
    there = inputs[2].reshape(data.shape[:2]).astype(data.dtype)
    without = (count(data.shape, 2) - there).sum(axis=0)
    with np.errstate(all="ignore"):
        share = 2 - there.sum(axis=0) / without
    each = np.where(label > _SURE, share[None, :, None, None], 1)
    result = (factor * each * (sigmoid(data) - label)).astype(data.dtype)
    return result


def _seg(params: YoloSegParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The sum of the squares of what is off, over the batch."""
    arrays = [np.asarray(array) for array in inputs]
    off = seg_changes(params, arrays).astype(np.float64)
    return (np.asarray((off * off).sum() / len(off), arrays[0].dtype),)


YOLO_SEG = OpDef(
    name="YoloSeg",
    arity=Arity((2, 3), (1, 1), optional_top=True),
    params=_parse_seg,
    shape=_seg_shape,
    cost=per_input(6),
    window=full_extent,
    memory=copies(8),
    reference=_seg,
    loss=True,
    family="loss",
    host=True,
)


@dataclass(frozen=True, slots=True)
class SegEvaluateParams:
    """A pixel belongs to a class where its map is above ``threshold``; top (1, 1, 1, classes)."""

    threshold: float


def _parse_evaluate(layer: Message, context: LayerContext) -> SegEvaluateParams:
    p = reject_unknown_fields(layer.get("segmentation_evaluate_param"), "num_classes", "threshold")
    required_number(p, "num_classes")
    return SegEvaluateParams(p.get("threshold"))


def _evaluate_shape(params: SegEvaluateParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if len(data) != 4 or len(label) != 4 or data[1] != label[1]:
        raise ShapeError(
            f"SegmentationEvaluate compares maps of the same channels: {show(data)}, {show(label)}"
        )
    return ((1, 1, 1, label[1]),)


def _evaluate(params: SegEvaluateParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Intersection over union of each class, in the first image alone.

    A prediction of another size than the label is resized in bytes; a class that then is neither
    there nor found gives -1, and 0 where no size differs.
    """
    data, label = (np.asarray(array)[0] for array in inputs)
    limit, missing = np.float32(params.threshold), 0
    there = label > limit
    if data.shape == label.shape:
        found = data > limit
    else:
        found, missing = _resized(data, label.shape) > int(limit * 255), -1
    axes = (1, 2)
    both = (there & found).sum(axis=axes)
    either = (there | found).sum(axis=axes)
    none = np.where(there.sum(axis=axes) == 0, missing, 0)
    iou = np.where(both > 0, both / np.maximum(either, 1), none)
    return (iou.astype(np.float32).reshape(1, 1, 1, -1),)


def _resized(data: AnyArray, shape: Shape) -> AnyArray:
    """Maps as bytes in another size, by OpenCV's INTER_AREA."""
    as_bytes = (data * np.float32(255)).astype(np.int64).astype(np.uint8)
    steps = [old / new for old, new in zip(data.shape[1:], shape[1:], strict=True)]
    shares = _covered if min(steps) >= 1 else _between
    down, across = (
        shares(new, old, step)
        for new, old, step in zip(shape[1:], data.shape[1:], steps, strict=True)
    )
    result: AnyArray = np.rint(np.einsum("ih,chw,jw->cij", down, as_bytes, across)).clip(0, 255)
    return result


def _covered(new: int, old: int, step: float) -> AnyArray:
    """The share of each old pixel in a new one that covers several (new, old)."""
    low, place = np.arange(new)[:, None] * step, np.arange(old)
    result: AnyArray = (np.minimum(low + step, place + 1) - np.maximum(low, place)).clip(0) / step
    return result


def _between(new: int, old: int, step: float) -> AnyArray:
    """Where an axis grows INTER_AREA mixes two pixels, and only where a new one spans both."""
    at = np.arange(new)
    first = np.floor(at * step).astype(np.int64).clip(0, old - 1)
    part = (at + 1) - (first + 1) / step
    part = np.where(part <= 0, 0, part - np.floor(part))
    shares = np.zeros((new, old))
    np.add.at(shares, (at, first), 1 - part)
    np.add.at(shares, (at, np.minimum(first + 1, old - 1)), part)
    return shares


SEGMENTATION_EVALUATE = OpDef(
    name="SegmentationEvaluate",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_evaluate,
    shape=_evaluate_shape,
    cost=per_input(4),
    window=full_extent,
    memory=copies(12),
    reference=_evaluate,
    family="loss",
    host=True,
)

OPS = (YOLO_SEG, SEGMENTATION_EVALUATE)
