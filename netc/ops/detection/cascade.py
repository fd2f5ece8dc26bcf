"""DecodeBBox, ScaleRoute and HardMining: regions that are moved, filtered by size, or mined.

Of MS-CNN (Cai et al. 2016) and Cascade R-CNN (Cai and Vasconcelos 2018): decode_bbox_layer.cpp,
scale_route_layer.cpp and hard_mining_layer.cpp of zhaoweicai/cascade-rcnn and zhaoweicai/mscnn. A
region is a row of image, x_min, y_min, x_max, y_max in pixels of the net's input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    Kernel,
    LayerContext,
    OpDef,
    P,
    Parse,
    ShapeError,
    ShapeRule,
    copies,
    full_extent,
)
from netc.ops.detection.field_boxes import (
    Regression,
    area,
    boxes_by_regions,
    parse_regression,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.role import Family
from netc.schema.message import Message

THINNING_MODES = ("IOU", "IOMU", "IOFU")


def check_rows(shape: Shape, width: int, what: str) -> None:
    """Check that a bottom is (n, ...) with ``width`` numbers in each of its n rows.

    Raises:
        ShapeError: it is not; ``what`` names the rows in the message.
    """
    if len(shape) < 2 or count(shape, 1) != width:
        raise ShapeError(f"{what} must be rows of {width}, the bottom is {show(shape)}")


def cascade_op(
    name: str,
    arity: Arity,
    parse: Parse[P],
    shape: ShapeRule[P],
    run: Kernel[P],
    dynamic: bool = True,
    family: Family = "loss",
) -> OpDef[P]:
    """An op of a layer of regions. Its definition runs on NumPy arrays only, not on a device's.

    Args:
        name: the layer type.
        arity: numbers of bottoms and tops.
        parse: parse rule of the layer's message.
        shape: shape rule; upper bounds where ``dynamic``.
        run: the definition.
        dynamic: whether the number of rows of a top is known only from the data.
        family: how a drawing shows it.
    """
    return OpDef(
        name=name,
        arity=arity,
        params=parse,
        shape=shape,
        cost=per_input(10),
        window=full_extent,
        memory=copies(12),
        reference=quietly(run),
        dynamic=dynamic,
        family=family,
        host=True,
    )


# ROIAlign of Cascade R-CNN


# DecodeBBox


@dataclass(frozen=True, slots=True)
class DecodeParams:
    """DecodeBBox: regions moved by the predicted offsets of class 1, the only foreground class.

    Args:
        regression: mean and deviation that the offsets were normalised by.
        training: TRAIN phase: boxes with a maximum below its minimum are dropped.
        most_overlap: in training, with a third bottom, boxes that overlap their true box by this
            much or more are dropped too.
    """

    regression: Regression
    training: bool
    most_overlap: float


def _parse_decode(layer: Message, context: LayerContext) -> DecodeParams:
    limit = reject_unknown_fields(layer.get("decode_bbox_param"), "gt_iou_thr").get("gt_iou_thr")
    return DecodeParams(parse_regression(layer), context.phase == "TRAIN", limit)


def _decode_shape(params: DecodeParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_rows(inputs[0], 8, "box changes")
    check_rows(inputs[1], 5, "the regions")
    return ((inputs[1][0], 5, 1, 1),)


def _decode(params: DecodeParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Regions moved by the changes of the one class that is not the background."""
    coded, regions = (np.asarray(a).reshape(len(a), -1) for a in inputs[:2])
    boxes = boxes_by_regions(coded, regions[:, 1:], params.regression)[:, 1]
    keep = np.ones(len(boxes), dtype=bool)
    if params.training:
        keep &= (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
        if len(inputs) > 2:
            truth = np.asarray(inputs[2]).reshape(len(boxes), -1)
            keep &= truth[:, -1] < np.float32(params.most_overlap)
    rows = np.concatenate([regions[:, :1], boxes], axis=1)[keep].astype(np.float32)
    return (rows.reshape(-1, 5, 1, 1),)


DECODE_BBOX = cascade_op("DecodeBBox", Arity((2, 3), (1, 1)), _parse_decode, _decode_shape, _decode)


# ScaleRoute and HardMining


@dataclass(frozen=True, slots=True)
class ScaleRouteParams:
    """ScaleRoute: the rows of regions with ``low`` <= sqrt(area) < ``high``, in pixels.

    Where there is none, the one region whose side is nearest to ``middle``, by its logarithm.
    """

    low: float
    high: float
    middle: float


def _parse_route(layer: Message, context: LayerContext) -> ScaleRouteParams:
    param = reject_unknown_fields(layer.get("scale_route_param"), "low_scale", "high_scale")
    low, high = param.optional("low_scale"), param.optional("high_scale")
    both = math.sqrt(low * high) if low is not None and high is not None else None
    middle = next(v for v in (both, low, high, 256.0) if v is not None)
    return ScaleRouteParams(low or 0.0, math.inf if high is None else high, middle)


def _same_shapes(
    params: ScaleRouteParams | HardMiningParams, inputs: Sequence[Shape]
) -> tuple[Shape, ...]:
    check_rows(inputs[0], 5, "the regions")
    return tuple((shape[0], *(*shape[1:], 1, 1, 1)[:3]) for shape in inputs)


def _route(params: ScaleRouteParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    regions = np.asarray(inputs[0]).reshape(-1, 5)
    scale: Any = np.sqrt(area(regions[:, 1:]))
    chosen = np.flatnonzero((scale >= np.float32(params.low)) & (scale < params.high))
    if not len(chosen):
        chosen = np.abs(np.log2(scale / np.float32(params.middle))).argmin()[None]
    return tuple(_picked(np.asarray(array), chosen) for array in inputs)


def _picked(array: AnyArray, rows: AnyArray) -> AnyArray:
    some = array[rows]
    return some.reshape(len(some), *(*array.shape[1:], 1, 1, 1)[:3])


SCALE_ROUTE = cascade_op(
    "ScaleRoute", Arity((1, None), (1, None), same=True), _parse_route, _same_shapes, _route
)


@dataclass(frozen=True, slots=True)
class HardMiningParams:
    """HardMining: the ``each`` highest scores of each of ``images`` images are kept.

    Where an image has fewer, the next highest of all images fill up ``each`` * ``images`` rows.
    """

    each: int
    images: int


def _parse_mining(layer: Message, context: LayerContext) -> HardMiningParams:
    param = reject_unknown_fields(layer.get("hard_mining_param"), "num_roi_per_image", "num_image")
    if context.tops != context.bottoms - 1:
        raise layer.error(
            "top", "top-count", "HardMining makes one top of each bottom but the first, the scores"
        )
    return HardMiningParams(param.get("num_roi_per_image"), param.get("num_image"))


def _mining_shape(params: HardMiningParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    rows = min(params.each * params.images, inputs[0][0])
    return tuple((rows, *shape[1:]) for shape in _same_shapes(params, inputs[1:]))


def _mine(params: HardMiningParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The highest scores of each image, and of the rest of all images where these are too few."""
    scores = np.asarray(inputs[0]).reshape(-1)
    images = np.asarray(inputs[1]).reshape(len(scores), -1)[:, 0].astype(np.int64)
    order = np.lexsort((np.arange(len(scores)), scores))[::-1]
    rank = np.zeros(len(scores), dtype=np.int64)
    for image in range(params.images):
        own = order[images[order] == image]
        rank[own] = np.arange(len(own))
    wanted = min(params.each * params.images, len(scores))
    first, rest = order[rank[order] < params.each], order[rank[order] >= params.each]
    chosen = np.sort(np.concatenate([first, rest[: wanted - len(first)]]))
    return tuple(_picked(np.asarray(array), chosen) for array in inputs[1:])


HARD_MINING = cascade_op(
    "HardMining", Arity((2, None), (1, None)), _parse_mining, _mining_shape, _mine, dynamic=False
)

OPS = (DECODE_BBOX, SCALE_ROUTE, HARD_MINING)
