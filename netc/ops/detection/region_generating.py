"""ROIGenerating of subcategory CNNs: regions to train on, from a heatmap and true boxes.

roi_generating_layer.cpp of SubCNN (Xiang et al. 2017, arXiv:1604.04693). Images come at several
scales, the scales of an image next to each other along the first axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.ops.random import layer_number, uniform
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class GeneratingParams:
    """ROIGenerating's fields.

    Args:
        proposals: only the regions that propose are made, five tops; else seven.
        rows: of every top, shared out among the images.
        classes: of the boxes' targets.
        positives: the largest share of positives among an image's regions.
        scale: elements of the heatmap for each pixel.
        layer: the layer's number for the generator.
    """

    proposals: bool
    rows: int
    classes: int
    positives: float
    scale: float
    layer: int


_GENERATING = ("flag_proposal_only", "batch_size", "num_classes", "fg_fraction", "spatial_scale")
_BOX = 18  # of a true box: x, y, both stages' regions, class, subclass and targets


def _parse_generating(layer: Message, context: LayerContext) -> GeneratingParams:
    p = reject_unknown_fields(layer.get("roi_generating_param"), *_GENERATING)
    if not p.get("spatial_scale") > 0:
        raise bad_value(p, "spatial_scale", "must be greater than 0")
    return GeneratingParams(
        p.get("flag_proposal_only") != 0,
        required_number(p, "batch_size"),
        required_number(p, "num_classes"),
        p.get("fg_fraction"),
        p.get("spatial_scale"),
        layer_number(layer.get("name")),
    )


def _generating_shape(params: GeneratingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    heat, boxes, parameters = inputs[:3]
    if len(heat) != 4 or heat[1] != 1:
        raise ShapeError(f"the heatmap must have one channel, the first bottom is {show(heat)}")
    if not boxes or count(boxes, 1) != _BOX:
        raise ShapeError(f"true boxes are rows of {_BOX}, the second bottom is {show(boxes)}")
    if count(parameters) < 6:
        raise ShapeError(f"scales and aspects are needed, the third bottom is {show(parameters)}")
    rows, each = params.rows, 4 * params.classes
    tops = [(rows, 5, 1, 1), (rows, 1, 1, 1), *((rows, each, 1, 1),) * 3]
    return (*tops, *(() if params.proposals else tops[:2]))


@dataclass(frozen=True, slots=True)
class Pyramid:
    """What the third bottom says of the scales and of the sides of negatives, in elements."""

    scales: AnyArray
    mapping: AnyArray
    heights: AnyArray
    widths: AnyArray


def _pyramid(parameters: AnyArray) -> Pyramid:
    flat = parameters.reshape(-1)
    scales, aspects = int(flat[0]), int(flat[1])
    ends = 2 + np.cumsum([0, scales, scales, aspects, aspects])
    parts = [flat[a:b] for a, b in pairwise(ends.tolist())]
    return Pyramid(*parts)


@quietly
def _generate(params: GeneratingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Of each image the positives of lowest score, then the negatives of highest.

    An image without positives has negatives alone; the fork counts a wrong number then. The sides
    of negatives are drawn by netc's own generator.
    """
    heat, boxes = np.array(inputs[0]), np.asarray(inputs[1]).reshape(-1, _BOX)
    pyramid = _pyramid(np.asarray(inputs[2]))
    images = len(heat) // len(pyramid.scales)
    each = params.rows // images
    scores = _taken_scores(heat, boxes)
    owner = boxes[:, 2].astype(np.int64) // len(pyramid.scales)
    positive, negative = [], []
    flat = heat.reshape(images, -1)
    for image in range(images):
        own = np.flatnonzero(owner == image)
        hard = own[np.lexsort((own, scores[own]))]
        kept = own if len(own) <= int(params.positives * each) else hard
        positive.append(kept[: int(params.positives * each)])
        order = np.lexsort((np.arange(flat.shape[1]), flat[image]))[::-1]
        negative.append(order[: each - len(positive[-1])] + image * flat.shape[1])
    key = inputs[3] if len(inputs) > 3 else None
    return _regions(params, boxes[np.concatenate(positive)], np.concatenate(negative), heat.shape,
                    pyramid, key)  # fmt: skip


def _taken_scores(heat: AnyArray, boxes: AnyArray) -> AnyArray:
    """The score of each true box's place, which then is -1 for all."""
    scores = np.zeros(len(boxes), heat.dtype)
    for row, (x, y, scale) in enumerate(boxes[:, :3].astype(np.int64)):
        scores[row], heat[scale, 0, y, x] = heat[scale, 0, y, x], -1
    return scores


def _regions(
    params: GeneratingParams,
    boxes: AnyArray,
    negative: AnyArray,
    shape: Shape,
    pyramid: Pyramid,
    key: AnyArray | None,
) -> tuple[AnyArray, ...]:
    """The tops, positives first."""
    number, rows = len(boxes), params.rows
    first, second = np.zeros((2, rows, 5), boxes.dtype)
    labels, sublabels = np.zeros((2, rows, 1), boxes.dtype)
    targets, inside = np.zeros((2, rows, params.classes, 4), boxes.dtype)
    first[:number], second[:number] = boxes[:, 2:7], boxes[:, 7:12]
    labels[:number, 0], sublabels[:number, 0] = boxes[:, 12], boxes[:, 13]
    at = (np.arange(number), boxes[:, 12].astype(np.int64))
    targets[at], inside[at] = boxes[:, 14:], 1
    made = slice(number, number + len(negative))
    first[made], second[made] = _negatives(params, negative, shape, pyramid, key)
    tops = [first, sublabels, targets, inside, inside]
    tops += [] if params.proposals else [second, labels]
    return tuple(top.reshape(rows, -1, 1, 1) for top in tops)


def _negatives(
    params: GeneratingParams,
    places: AnyArray,
    shape: Shape,
    pyramid: Pyramid,
    key: AnyArray | None,
) -> tuple[AnyArray, AnyArray]:
    """Regions of random sides around places, and the same at the scale that it is mapped to."""
    batch, rest = np.divmod(places, shape[2] * shape[3])
    y, x = np.divmod(rest, shape[3])
    drawn = np.asarray(uniform(pyramid.scales, (len(places),), params.layer, key))
    side = np.minimum((drawn * len(pyramid.widths)).astype(np.int64), len(pyramid.widths) - 1)
    wide, high = pyramid.widths[side] / 2, pyramid.heights[side] / 2
    box = np.stack([x - wide, y - high, x + wide, y + high], axis=1) / params.scale
    image, level = np.divmod(batch, len(pyramid.scales))
    own = pyramid.scales[level]
    within = own / pyramid.scales[-1]
    inside = (x < shape[3] * within) & (y < shape[2] * within)
    mapped = np.where(inside, pyramid.mapping[level].astype(np.int64), level)
    factor = pyramid.scales[mapped] / own
    there = image * len(pyramid.scales) + mapped
    return (
        np.concatenate([batch[:, None], box], axis=1),
        np.concatenate([there[:, None], box * factor[:, None]], axis=1),
    )


ROI_GENERATING = OpDef(
    name="ROIGenerating",
    arity=Arity((3, 3), (5, 7)),
    params=_parse_generating,
    shape=_generating_shape,
    cost=per_input(20),
    window=full_extent,
    memory=copies(24),
    reference=_generate,
    draws=lambda params: True,
    family="loss",
    host=True,
)

OPS = (ROI_GENERATING,)
