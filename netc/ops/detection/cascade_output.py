"""BoxOutput, BoxGroupOutput and FrcnnOutput: the detections that MS-CNN and Cascade R-CNN give.

box_output_layer.cpp of zhaoweicai/mscnn; box_group_output_layer.cpp and frcnn_output_layer.cpp of
zhaoweicai/cascade-rcnn. Boxes are in pixels of the net's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import Arity, LayerContext, ShapeError
from netc.ops.detection.cascade import THINNING_MODES, cascade_op, check_rows
from netc.ops.detection.field_boxes import (
    Grid,
    Regression,
    boxes_by_regions,
    boxes_on_grid,
    parse_regression,
    rows_of,
    thinned,
)
from netc.ops.fields import reject_unknown_fields
from netc.schema.message import Message

# BoxGroupOutput and BoxOutput


@dataclass(frozen=True, slots=True)
class BoxOutputParams:
    """BoxOutput and BoxGroupOutput: how boxes are decoded, and which of them are given.

    Args:
        grids: of each level.
        regression: mean and deviation that the offsets were normalised by.
        score: least score of a box.
        overlap: allowed between two boxes, as ``mode`` measures it.
        mode: "IOU", "IOMU" or "IOFU", see :func:`netc.ops.detection.field_boxes.overlap_with`.
        before: boxes that go into non-maximum suppression; 0 for all.
        after: boxes of an image that are given; 0 for all.
        least: least width and height, in pixels.
        tops: 1 gives (boxes, 5, 1, 1), rows of image and box; 2 also (boxes, 6, 1, 1), with the
            score.
        grouped: BoxGroupOutput: a level has two bottoms, probabilities and offsets, and a cell
            several fields; BoxOutput has one bottom a level, and one field a cell.
    """

    grids: tuple[Grid, ...]
    regression: Regression
    score: float
    overlap: float
    mode: str
    before: int
    after: int
    least: float
    tops: int
    grouped: bool


def _limits(param: Message) -> tuple[float, float, str, int, int, float]:
    mode = param.get("nms_type")
    if mode not in THINNING_MODES:
        raise param.error("nms_type", "unsupported-value", f"`nms_type` {mode} is not computed")
    names = ("max_nms_num", "max_post_nms_num", "min_size")
    return (param.get("fg_thr"), param.get("iou_thr"), mode, *(param.get(n) for n in names))


_OUTPUT_FIELDS = (
    "fg_thr", "iou_thr", "nms_type", "field_whr", "field_xyr", "max_nms_num", "max_post_nms_num",
    "min_size",
)  # fmt: skip


def _parse_group_output(layer: Message, context: LayerContext) -> BoxOutputParams:
    param = reject_unknown_fields(
        layer.get("box_group_output_param"), *_OUTPUT_FIELDS, "box_group_param"
    )
    bounds = param.get("field_xyr"), param.get("field_whr")
    grids = tuple(
        Grid(group.get("field_w"), group.get("field_h"), group.get("stride"), *bounds)
        for group in param.get("box_group_param")
    )
    if context.bottoms != 2 * len(grids):
        raise param.error(
            "box_group_param",
            "value-count",
            f"{context.bottoms} bottoms are pairs of probabilities and boxes of "
            f"{context.bottoms / 2:g} levels, and there are {len(grids)} `box_group_param`",
        )
    return BoxOutputParams(grids, parse_regression(layer), *_limits(param), context.tops, True)


def _parse_output(layer: Message, context: LayerContext) -> BoxOutputParams:
    names = ("field_h", "field_w", "downsample_rate")
    param = reject_unknown_fields(layer.get("box_output_param"), *_OUTPUT_FIELDS, *names)
    columns = [param.get(name) for name in ("field_w", "field_h", "downsample_rate")]
    for name, values in zip(("field_w", "field_h", "downsample_rate"), columns, strict=True):
        if len(values) != context.bottoms:
            raise param.error(
                name if values else None,
                "value-count",
                f"{context.bottoms} bottoms need as many `{name}`, and there are {len(values)}",
            )
    bounds = param.get("field_xyr"), param.get("field_whr")
    grids = tuple(
        Grid((wide,), (high,), stride, *bounds) for wide, high, stride in zip(*columns, strict=True)
    )
    return BoxOutputParams(grids, parse_regression(layer), *_limits(param), context.tops, False)


def _output_shape(params: BoxOutputParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Where every cell of every field gives a box: how many do is known only from the data."""
    for shape in inputs:
        if len(shape) != 4 or shape[1] < (2 if params.grouped else 6):
            raise ShapeError(f"the bottoms must be maps of boxes, one is {show(shape)}")
    levels = inputs[::2] if params.grouped else inputs
    cells = sum(shape[0] * shape[2] * shape[3] for shape in levels)
    images = levels[0][0] // len(params.grids[0].widths)
    most = max(1, min(cells, params.after * images) if params.after else cells)
    return ((most, 5, 1, 1), (most, 6, 1, 1))[: params.tops]


def _output(params: BoxOutputParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    arrays = [np.asarray(array) for array in inputs]
    levels = _levels(params, arrays)
    images = arrays[0].shape[0] // len(params.grids[0].widths)
    found = [_best(params, image, [level[image] for level in levels]) for image in range(images)]
    return rows_of(found, params.tops)


def _levels(params: BoxOutputParams, arrays: Arrays) -> list[AnyArray]:
    """Each level's candidates by image: (images, boxes, 5), boxes of :func:`_bounded`, score."""
    made = []
    for at, grid in enumerate(params.grids):
        if params.grouped:
            score, coded = 1 - arrays[2 * at][:, :1], arrays[2 * at + 1]
        else:
            scores = arrays[at][:, :-4]
            score = scores[:, 1:].max(axis=1, keepdims=True) - scores[:, :1]
            coded = arrays[at][:, -4:]
        boxes = boxes_on_grid(coded, params.regression, grid)
        rows = _bounded(params, boxes, coded.shape[3] * grid.stride, coded.shape[2] * grid.stride)
        table = np.concatenate([rows, score], axis=1)
        groups = len(grid.widths)
        table = table.reshape(-1, groups, 5, *table.shape[2:])
        made.append(table.transpose(0, 1, 3, 4, 2).reshape(len(table), -1, table.shape[2]))
    return made


def _bounded(params: BoxOutputParams, boxes: AnyArray, width: float, height: float) -> AnyArray:
    """Boxes cut to the image: corners of pixels (grouped), or left, top, width and height."""
    low, sides = boxes[:, :2], boxes[:, 2:]
    limit = np.array([width, height], np.float32).reshape(1, 2, 1, 1)
    if params.grouped:
        high = np.minimum(low + sides - 1, limit)
        return np.concatenate([np.maximum(low, 0), high], axis=1)
    low = np.maximum(low, 0)
    return np.concatenate([low, np.minimum(sides, limit - low)], axis=1)


def _best(params: BoxOutputParams, image: int, levels: Arrays) -> AnyArray:
    """Rows of image, corners and score of one image, the best first."""
    rows = np.concatenate(levels)
    sides = rows[:, 2:4] - rows[:, :2] + 1 if params.grouped else rows[:, 2:4]
    enough = (sides >= np.float32(params.least)).all(axis=1)
    rows = rows[(rows[:, 4] >= np.float32(params.score)) & enough]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    rows = rows[: params.before] if params.before else rows
    kept = thinned(rows[:, :4], params.overlap, params.mode, by_sides=not params.grouped)
    rows = rows[kept[: params.after] if params.after else kept]
    if not params.grouped:
        rows[:, 2:4] += rows[:, :2]
    return np.concatenate([np.full((len(rows), 1), image), rows], axis=1)


BOX_GROUP_OUTPUT = cascade_op(
    "BoxGroupOutput", Arity((2, None), (1, 2)), _parse_group_output, _output_shape, _output
)
BOX_OUTPUT = cascade_op(
    "BoxOutput", Arity((1, None), (1, 2)), _parse_output, _output_shape, _output
)


# FrcnnOutput


@dataclass(frozen=True, slots=True)
class FrcnnParams:
    """FrcnnOutput: which boxes of each class are given, as rows of image, box, class and score.

    Args:
        regression: mean and deviation that the offsets were normalised by.
        score: least probability of a class.
        overlap: allowed between two boxes of a class, as ``mode`` measures it.
        mode: "IOU", "IOMU" or "IOFU", see :func:`netc.ops.detection.field_boxes.overlap_with`.
        most: boxes that are given, of all classes together; 0 for no limit.
    """

    regression: Regression
    score: float
    overlap: float
    mode: str
    most: int


def _parse_frcnn(layer: Message, context: LayerContext) -> FrcnnParams:
    names = ("conf_thr", "iou_thr", "nms_type", "max_det_num", "save_output_param")
    param = reject_unknown_fields(layer.get("frcnn_output_param"), *names)
    values = (param.get(name) for name in names[:4])
    return FrcnnParams(parse_regression(layer), *values)


def _frcnn_shape(params: FrcnnParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    scores, boxes = inputs[:2]
    classes = count(scores, 1)
    check_rows(boxes, 4 * classes if params.regression.aware else 8, "box changes")
    return ((1 + scores[0] * max(1, classes - 1), 7, 1, 1),)


def _frcnn(params: FrcnnParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Rows of image, corners, class and score, by class; a row of -1 stands before them."""
    scores, coded, regions, size = (np.asarray(a).reshape(len(a), -1) for a in inputs)
    boxes = boxes_by_regions(coded, regions[:, 1:5], params.regression)
    boxes = np.concatenate(
        [np.maximum(boxes[..., :2], 0), np.minimum(boxes[..., 2:], size[0, ::-1])], axis=2
    )
    rows = np.concatenate(
        [_of_class(params, scores, boxes, label) for label in range(1, scores.shape[1])]
    )
    if 0 < params.most < len(rows):
        best = np.argsort(-rows[:, 6], kind="stable")[: params.most]
        rows = rows[best[np.argsort(rows[best, 5], kind="stable")]]
    first = np.array([[0, -1, -1, -1, -1, -1, -1]], np.float32)
    return (np.concatenate([first, rows]).astype(np.float32).reshape(-1, 7, 1, 1),)


def _of_class(params: FrcnnParams, scores: AnyArray, boxes: AnyArray, label: int) -> AnyArray:
    own = boxes[:, label if params.regression.aware else 1]
    at = np.flatnonzero(scores[:, label] >= np.float32(params.score))
    at = at[np.argsort(-scores[at, label], kind="stable")]
    at = at[thinned(own[at], params.overlap, params.mode)]
    head, tail = np.zeros((len(at), 1)), np.full((len(at), 1), label)
    return np.concatenate([head, own[at], tail, scores[at, label, None]], axis=1)


FRCNN_OUTPUT = cascade_op("FrcnnOutput", Arity((4, 4), (1, 1)), _parse_frcnn, _frcnn_shape, _frcnn)

OPS = (BOX_GROUP_OUTPUT, BOX_OUTPUT, FRCNN_OUTPUT)
