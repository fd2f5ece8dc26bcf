"""DetectionEvaluate of SSD and of Cascade R-CNN: which detections are right.

detection_evaluate_layer.cpp of weiliu89/caffe and of zhaoweicai/cascade-rcnn. Rows of 5. First
(-1, class, number of true boxes, -1, -1) for each class but the background; then (image, class,
score, right, wrong) for each detection, from which average precision is made.

SSD's takes rows of (image, class, score, box) and (image, class, instance, box, difficult), boxes
as parts of the image; `name_size_file` says the images' sizes, with which overlaps are of pixels.
Cascade R-CNN's takes rows of (image, box, class, score) and (image, box, class, ignored, difficult)
in pixels of the net's input, whose height and width are a third bottom.

The file's sizes are of the images in their order from the first one of a run on; Caffe goes on
counting from forward to forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import Contents, ImageSizes, TrueBoxes, corner_rows
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    BlobFile,
    Kernel,
    LayerContext,
    OpDef,
    ShapeError,
    ShapeRule,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.detection.boxes import areas, overlaps
from netc.ops.detection.output_boxes import Resized, in_pixels, parse_resized
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class EvaluateParams:
    """Which detections count as right.

    Args:
        classes: how many, the background counted.
        background: the number of the background class.
        threshold: least intersection over union of a detection with its true box.
        difficult: whether true boxes marked difficult count.
        source: path of the file of the images' sizes, as it is written; None for none.
        sizes: height and width of each image in pixels; empty where boxes are compared as they are.
        resized: how images were made the net's input, which is undone where there are ``sizes``.
    """

    classes: int
    background: int
    threshold: float
    difficult: bool
    source: str | None
    sizes: tuple[tuple[float, float], ...] = ()
    resized: Resized | None = None


def _parse(layer: Message, context: LayerContext) -> EvaluateParams:
    names = ("num_classes", "background_label_id", "overlap_threshold", "evaluate_difficult_gt",
             "name_size_file", "resize_param")  # fmt: skip
    param = reject_unknown_fields(layer.get("detection_evaluate_param"), *names)
    return EvaluateParams(
        required_number(param, "num_classes"),
        param.get("background_label_id"),
        param.get("overlap_threshold"),
        param.get("evaluate_difficult_gt"),
        param.get("name_size_file") or None,
        resized=parse_resized(param) if context.bottoms == 2 else None,
    )


def _shape(params: EvaluateParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shape where every detection is one of a class: how many are the data tell."""
    for what, shape, size in (("detections", inputs[0], 7), ("true boxes", inputs[1], 8)):
        if len(shape) != 4 or shape[:2] != (1, 1) or shape[3] != size:
            raise ShapeError(f"{what} must be 1x1x(boxes)x{size}, the bottom is {show(shape)}")
    return ((1, 1, len(_classes(params)) + inputs[0][2], 5),)


def _rows_shape(params: EvaluateParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    whats = (("detections", 7), ("true boxes", 8), ("images' sizes", 2))
    for (what, size), shape in zip(whats, inputs, strict=True):
        if not shape or count(shape, 1) != size:
            raise ShapeError(f"{what} must be rows of {size}, the bottom is {show(shape)}")
    return ((len(_classes(params)) + inputs[0][0], 5, 1, 1),)


def _with_sizes(
    params: EvaluateParams, inputs: Sequence[Shape], path: str, sizes: AnyArray
) -> EvaluateParams:
    return replace(params, sizes=tuple(map(tuple, sizes.tolist())))


_SIZES = BlobFile(lambda params: params.source, _with_sizes, sizes=True, optional=True)


def _classes(params: EvaluateParams) -> list[int]:
    return [label for label in range(params.classes) if label != params.background]


def _evaluate(params: EvaluateParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found, truth = (np.asarray(array)[0, 0] for array in inputs)
    ends = np.flatnonzero(truth[:, 0].astype(np.int64) == -1)
    truth = truth[: ends[0]] if len(ends) else truth
    sizes = _by_image(found, params.sizes)

    def placed(image: int, boxes: AnyArray) -> AnyArray:
        return in_pixels(boxes, sizes[image], params.resized) if image in sizes else boxes

    rows = _rows(params, found, truth, placed, border=int(bool(params.sizes)))
    return (rows.reshape(1, 1, -1, 5),)


def _evaluate_rows(params: EvaluateParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found, truth = (np.asarray(a).reshape(len(a), -1) for a in inputs[:2])
    sizes = np.asarray(inputs[2]).reshape(-1, 2)
    found = found[:, [0, 5, 6, 1, 2, 3, 4]]
    truth = truth[truth[:, 0].astype(np.int64) != -1]
    truth = truth[:, [0, 5, 6, 1, 2, 3, 4, 7]]
    scales = {
        image: (np.array(size, np.float32) / sizes[image])[::-1]
        for image, size in _by_image(found, params.sizes).items()
        if image < len(sizes)
    }

    def placed(image: int, boxes: AnyArray) -> AnyArray:
        return boxes * np.tile(np.array(scales.get(image, (1, 1)), np.float32), 2)

    return (_rows(params, found, truth, placed, border=1).reshape(-1, 5, 1, 1),)


_Placing = Callable[[int, AnyArray], AnyArray]  # (image, boxes) -> boxes in pixels


def _by_image(
    found: AnyArray, sizes: Sequence[tuple[float, float]]
) -> dict[int, tuple[float, float]]:
    """Height and width of each image that has detections, in their order."""
    images = sorted({int(image) for image in found[:, 0]} - {-1})
    return dict(zip(images, sizes, strict=False))


def _rows(
    params: EvaluateParams,
    found: AnyArray,
    truth: AnyArray,
    placed: _Placing,
    border: int,
) -> AnyArray:
    found = found[(found[:, 0].astype(np.int64) != -1) & (found[:, 1].astype(np.int64) != -1)]
    counted = truth if params.difficult else truth[truth[:, 7] == 0]
    labels = counted[:, 1].astype(np.int64)
    rows: list[_Row] = [
        (-1, label, float((labels == label).sum()), -1, -1) for label in _classes(params)
    ]
    rows += _judged(params, found, truth, placed, border)
    return np.array(rows, np.float32)


_Row = tuple[float, float, float, float, float]


def _judged(
    params: EvaluateParams,
    found: AnyArray,
    truth: AnyArray,
    placed: _Placing,
    border: int,
) -> Iterator[_Row]:
    """Rows of the detections, by image, class and, where there are true boxes, score."""
    keys = sorted({(int(row[0]), int(row[1])) for row in found})
    for image, label in keys:
        some = found[(found[:, 0] == image) & (found[:, 1] == label)]
        own = truth[(truth[:, 0] == image) & (truth[:, 1] == label)]
        if len(own):
            some = some[np.argsort(-some[:, 2], kind="stable")]
        table = _overlaps(placed(image, some[:, 3:7]), placed(image, own[:, 3:7]), border)
        taken = np.zeros(len(own), dtype=bool)
        for row, overlap in zip(some, table, strict=True):
            right, wrong = _verdict(params, overlap, own, taken)
            yield (image, label, float(row[2]), right, wrong)


def _overlaps(boxes: AnyArray, others: AnyArray, border: int) -> AnyArray:
    """Intersection over union of each box with each of the others, (boxes, others)."""
    if not len(boxes) or not len(others):
        return np.zeros((len(boxes), len(others)), np.float32)
    both = np.concatenate([boxes, others])
    columns, own = np.ascontiguousarray(both.T), areas(both, border)
    table = overlaps(columns, own, np.arange(len(boxes)), border)
    return np.ascontiguousarray(table[:, len(boxes) :])


def _verdict(
    params: EvaluateParams, overlap: AnyArray, own: AnyArray, taken: AnyArray
) -> tuple[int, int]:
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


def _three_reading(layer: Message) -> TypeReading | None:
    """Cascade R-CNN's has three bottoms."""
    return TypeReading(erased(_OF_ROWS)) if len(layer.get("bottom")) == 3 else None


def _contents(params: EvaluateParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Cascade R-CNN's label stands behind the box, in pixels."""
    if len(inputs) == 2:
        found, truth = ("", "label", "", "x0", "y0", "x1", "y1"), corner_rows(1, 1, True)
        return TrueBoxes(found, params.classes), TrueBoxes(truth, params.classes)
    rows = (corner_rows(1, 1), corner_rows(1, 2))
    one, two = (TrueBoxes(row, params.classes, 1, 512, 512) for row in rows)
    return one, two, ImageSizes(512, 512)


def _op(
    name: str,
    bottoms: int,
    shape: ShapeRule[EvaluateParams],
    reference: Kernel[EvaluateParams],
    reading: Callable[[Message], TypeReading | None] | None = None,
) -> OpDef[EvaluateParams]:
    return OpDef(
        name=name,
        arity=Arity((bottoms, bottoms), (1, 1)),
        params=_parse,
        shape=shape,
        cost=per_input(10),
        window=full_extent,
        memory=copies(12),
        reference=reference,
        dynamic=True,
        family="loss",
        host=True,
        reading=reading,
        blob_file=_SIZES,
        contents=_contents,
        role=Role.EVALUATED,
    )


_OF_ROWS = _op("DetectionEvaluateRows", 3, _rows_shape, _evaluate_rows)
DETECTION_EVALUATE = _op("DetectionEvaluate", 2, _shape, _evaluate, _three_reading)

READINGS = (_OF_ROWS,)
OPS = (DETECTION_EVALUATE,)
