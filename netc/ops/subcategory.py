"""FeatureExtrapolating, HeatmapGenerating and ROIGenerating of subcategory CNNs.

feature_extrapolating_layer.cpp, heatmap_generating_layer.cpp and roi_generating_layer.cpp of SubCNN
(Xiang et al. 2017, arXiv:1604.04693). Images come at several scales, all padded to one size, the
scales of an image next to each other along the first axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input, per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent, no_params
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.ops.random import layer_number, uniform
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ExtrapolationParams:
    """``scales`` of the bottom, and into how many steps the range between two is split."""

    scales: tuple[float, ...]
    steps: int

    def made(self) -> list[tuple[int, float]]:
        """Of each scale of the top: which of the bottom's it is made of, and by which factor."""
        found = []
        for at in range((len(self.scales) - 1) * self.steps + 1):
            low, part = divmod(at, self.steps)
            scale = self.scales[low]
            if part:
                scale += part * ((self.scales[low + 1] - scale) / self.steps)
            nearest = math.floor(at / self.steps + 0.5)
            found.append((nearest, scale / self.scales[nearest]))
        return found


def _parse_extrapolation(layer: Message, context: LayerContext) -> ExtrapolationParams:
    p = reject_unknown_fields(
        layer.get("feature_extrapolating_param"), "scale_string", "num_scale_base", "num_per_octave"
    )
    number = required_number(p, "num_scale_base")
    words = p.get("scale_string").split()[:number]
    try:
        scales = tuple(float(word) for word in words)
    except ValueError:
        scales = ()
    if len(scales) < number or not all(0 < scale < math.inf for scale in scales):
        raise bad_value(p, "scale_string", f"must have {number} numbers above 0")
    return ExtrapolationParams(scales, required_number(p, "num_per_octave"))


def _extrapolated_shape(params: ExtrapolationParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, scales = inputs[0], len(params.scales)
    if len(data) != 4 or data[0] % scales:
        raise ShapeError(
            f"maps of {scales} scales of each image are needed, the bottom is {show(data)}",
            "feature_extrapolating_param.num_scale_base",
        )
    return ((data[0] // scales * len(params.made()), *data[1:]),)


def stretched(factor: float, size: int) -> AnyArray:
    """A row that is resized by a factor, as a matrix (size, size): element x is at x / factor.

    What lies beyond the end is 0.
    """
    at = np.arange(size) / factor
    low = np.floor(at).astype(np.int64)
    part = at - low
    shares = np.zeros((size, size))
    rows = np.arange(size)
    for element, share in ((low, 1 - part), (low + 1, part)):
        inside = (at < size) & (element < size)
        shares[rows[inside], element[inside]] += share[inside]
    return shares


def _extrapolate(
    params: ExtrapolationParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    scales = x.reshape(-1, len(params.scales), *x.shape[1:])
    tops = []
    for scale, factor in params.made():
        down, across = (stretched(factor, size).astype(x.dtype) for size in x.shape[2:])
        tops.append(down @ scales[:, scale] @ across.T)
    return (np.stack(tops, axis=1).reshape(-1, *x.shape[1:]),)


FEATURE_EXTRAPOLATING = OpDef(
    name="FeatureExtrapolating",
    arity=Arity((1, 1), (1, 1)),
    params=_parse_extrapolation,
    shape=_extrapolated_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(4),
    reference=_extrapolate,
    family="pooling",
    host=True,
)


def _heatmap_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if len(inputs[0]) != 4:
        raise ShapeError(f"maps of probabilities are needed, the bottom is {show(inputs[0])}")
    return ((inputs[0][0], 1, *inputs[0][2:]),)


def greatest_class(x: AnyArray) -> AnyArray:
    """The class of greatest probability but for class 0 at each place, (num, 1, height, width).

    0 where none is above -1.
    """
    others = np.asarray(x)[:, 1:]
    if not others.shape[1]:
        return np.zeros((len(x), 1, *x.shape[2:]), np.int64)
    best = others.argmax(axis=1)[:, None]
    above = np.take_along_axis(others, best, axis=1) > -1
    return np.where(above, best + 1, 0)


@quietly
def _heatmap(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    best = greatest_class(x)
    found = np.take_along_axis(x, best, axis=1)
    return (np.where(best > 0, found, x.dtype.type(-1)),)


HEATMAP_GENERATING = OpDef(
    name="HeatmapGenerating",
    arity=Arity((1, 1), (1, 1)),
    params=no_params,
    shape=_heatmap_shape,
    cost=per_input(1),
    memory=copies(4),
    reference=_heatmap,
    family="pooling",
    host=True,
)


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

OPS = (FEATURE_EXTRAPOLATING, HEATMAP_GENERATING, ROI_GENERATING)
