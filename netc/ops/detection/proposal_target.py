"""ProposalTarget of Cascade R-CNN and MS-CNN: regions to train on, with their labels and boxes.

proposal_target_layer.cpp of zhaoweicai/cascade-rcnn and zhaoweicai/mscnn (Girshick 2015, Fast
R-CNN, section 2.3). Regions are rows of image and box; true boxes are rows of image, box, label,
ignored and, in Cascade R-CNN, difficult. Boxes are in pixels. Where a batch is not full, MS-CNN,
whose true boxes have 7 numbers, adds random boxes that overlap no true one; Cascade R-CNN adds one
where there would be none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Regions, TrueBoxes, corner_rows
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.boxes import areas, overlaps
from netc.ops.detection.field_boxes import Regression, parse_regression
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.ops.random import layer_number, uniform
from netc.schema.message import Message

_MIN_SIDE, _TRIES = 32, 1000  # of boxes that are drawn


@dataclass(frozen=True, slots=True)
class TargetParams:
    """How a batch of regions is chosen.

    Args:
        classes: how many, the background counted.
        regression: how box offsets are normalised.
        batch: regions that are given; -1 for all positives and negatives.
        share: largest share of positives in the batch.
        images: in a batch of the net.
        near: a region that overlaps a true box by this or more is a positive.
        apart: a region whose overlap lies between these two is a negative.
        sides: width and height of the net's input in pixels, for boxes that are drawn.
        by_overlap: positives are weighted by their overlap.
        counted: a positive whose overlap lies between these two has a box loss.
        discarded: regions that are neither positive nor negative fill up the batch.
        append: the true boxes are regions too.
        tops: 6 or 7.
        layer: the layer's number in random draws.
    """

    classes: int
    regression: Regression
    batch: int
    share: float
    images: int
    near: float
    apart: tuple[float, float]
    sides: tuple[int, int]
    by_overlap: bool
    counted: tuple[float, float]
    discarded: bool
    append: bool
    tops: int
    layer: int

    @property
    def width(self) -> int:
        """How many box offsets a row of targets has."""
        return 4 * self.classes if self.regression.aware else 8


_FIELDS = ("cls_num", "batch_size", "fg_fraction", "num_img_per_batch", "fg_thr", "bg_thr_hg",
           "bg_thr_lw", "img_width", "img_height", "iou_weighted", "bbox_thr_lw", "bbox_thr_hg",
           "pickup_discard", "append_gtbox")  # fmt: skip


def _parse(layer: Message, context: LayerContext) -> TargetParams:
    p = reject_unknown_fields(layer.get("proposal_target_param"), *_FIELDS)
    if p.get("batch_size") < 1 and p.get("batch_size") != -1:
        raise p.error("batch_size", "out-of-range", "`batch_size` must be -1 or at least 1")
    return TargetParams(
        required_number(p, "cls_num"),
        parse_regression(layer),
        p.get("batch_size"),
        p.get("fg_fraction"),
        p.get("num_img_per_batch"),
        p.get("fg_thr"),
        (p.get("bg_thr_lw"), p.get("bg_thr_hg")),
        (p.get("img_width"), p.get("img_height")),
        p.get("iou_weighted"),
        (p.get("bbox_thr_lw"), p.get("bbox_thr_hg")),
        p.get("pickup_discard"),
        p.get("append_gtbox"),
        context.tops,
        layer_number(layer.get("name")),
    )


def _shape(params: TargetParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes of a full batch: how many regions there are the data tell."""
    regions, truth = inputs[:2]
    if not regions or count(regions, 1) != 5:
        raise ShapeError(f"the regions must be rows of 5, the bottom is {show(regions)}")
    if not truth or count(truth, 1) not in (7, 8):
        raise ShapeError(f"the true boxes must be rows of 7 or 8, the bottom is {show(truth)}")
    rows = params.batch
    if rows == -1:
        rows = max(1, regions[0] + truth[0] * params.append)
    each = (5, 1, params.width, params.width, params.width, 6, 1)
    return tuple((rows, numbers, 1, 1) for numbers in each)[: params.tops]


class _Batch(NamedTuple):
    """Regions that train.

    Args:
        rows: image and box of each; the positives first.
        label: of each, 0 for the background.
        target: the true box of each; -1 for none.
        overlap: with it.
    """

    rows: AnyArray
    label: AnyArray
    target: AnyArray
    overlap: AnyArray


@quietly
def _targets(params: TargetParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    regions, truth = (np.asarray(a).reshape(len(a), -1) for a in inputs[:2])
    key = inputs[2] if len(inputs) > 2 else None
    fills = truth.shape[1] == 7
    truth = truth[truth[:, 0].astype(np.int64) != -1]
    _check_images(params, regions[:, 0], truth[:, 0])
    rows = np.concatenate([regions, truth[:, :5]]) if params.append else regions
    batch = _chosen(params, rows, truth, fills, key)
    matched = np.zeros((len(batch.rows), 6), np.float32)
    own = batch.label > 0
    matched[own, 0] = batch.label[own]
    matched[own, 1:5] = truth[batch.target[own], 1:5]
    matched[own, 5] = batch.overlap[own]
    targets, inside = _boxes(params, batch, truth)
    label, share = batch.label[:, None], _weights(params, batch)[:, None]
    made = (batch.rows, label, targets, inside, inside.copy(), matched, share)
    return tuple(
        np.ascontiguousarray(a, dtype=np.float32).reshape(*a.shape, 1, 1)
        for a in made[: params.tops]
    )


def _check_images(params: TargetParams, *columns: AnyArray) -> None:
    for column in columns:
        wrong = column[(column < 0) | (column >= params.images)]
        if len(wrong):
            raise NetcError(
                Diagnostic(
                    "region-out-of-range",
                    f"a box is of image {wrong[0]:g}, and `num_img_per_batch` is {params.images}",
                )
            )


def _nearest(rows: AnyArray, truth: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The true box of the same image that each overlaps most, -1 for none, and how much."""
    if not len(truth) or not len(rows):
        return np.full(len(rows), -1), np.zeros(len(rows), np.float32)
    both = np.concatenate([rows[:, 1:], truth[:, 1:5]])
    columns, own = np.ascontiguousarray(both.T), areas(both, 1)
    table = overlaps(columns, own, np.arange(len(rows), len(both)), 1)[:, : len(rows)]
    table = np.where(truth[:, :1] == rows[:, 0], table, -1)
    best = table.argmax(axis=0)
    overlap = table[best, np.arange(len(rows))]
    return np.where(overlap < 0, -1, best), np.maximum(overlap, 0)


def _chosen(
    params: TargetParams, rows: AnyArray, truth: AnyArray, fills: bool, key: AnyArray | None
) -> _Batch:
    best, overlap = _nearest(rows, truth)
    near = (best >= 0) & (overlap >= np.float32(params.near))
    low, high = map(np.float32, params.apart)
    positive = np.flatnonzero(near & (truth[best, 6] == 0 if len(truth) else False))
    negative = np.flatnonzero(~near & (overlap >= low) & (overlap < high))
    others = np.flatnonzero(~near & ~((overlap >= low) & (overlap < high)))
    size = len(positive) + len(negative) if params.batch == -1 else params.batch
    most = size if params.batch == -1 else int(np.float32(params.share) * params.batch + 0.5)
    if params.batch == -1:
        most = len(positive)
    positive = _drawn(params, positive, most, key, 0)
    room = size - len(positive)
    if len(negative) > room:
        negative = _drawn(params, negative, room, key, 1)
    elif params.discarded:
        negative = np.concatenate([negative, others[: room - len(negative)]])
    kept = np.concatenate([positive, negative])
    label = np.zeros(len(kept))
    label[: len(positive)] = np.trunc(truth[best[positive], 5])
    batch = _Batch(rows[kept], label, best[kept], overlap[kept])
    missing = size - len(kept) if fills else int(not len(kept))
    return _filled(params, batch, truth, missing, key) if missing > 0 else batch


def _drawn(
    params: TargetParams, some: AnyArray, most: int, key: AnyArray | None, draw: int
) -> AnyArray:
    """So many of some at random, in the order they are drawn; all as they are where they fit."""
    if len(some) <= most:
        return some
    chance = uniform(np.zeros(1), (len(some),), params.layer, key, draw)
    return some[np.argsort(chance, kind="stable")[:most]]


def _filled(
    params: TargetParams, batch: _Batch, truth: AnyArray, number: int, key: AnyArray | None
) -> _Batch:
    """The batch with boxes drawn that overlap no true box much."""
    wide, high = params.sides
    if min(wide, high) <= _MIN_SIDE:
        raise NetcError(
            Diagnostic(
                "bad-argument",
                f"`img_width` {wide} and `img_height` {high} leave no room for boxes of "
                f"{_MIN_SIDE} pixels, which fill up a batch",
            )
        )
    chance = uniform(np.zeros(1), (number * _TRIES, 5), params.layer, key, 2).astype(np.float64)
    image = np.floor(chance[:, 0] * params.images)
    x, y = (np.floor(chance[:, 1 + i] * (s - _MIN_SIDE)) for i, s in enumerate((wide, high)))
    w, h = (
        np.maximum(np.floor(chance[:, 3 + i] * (s - at)), _MIN_SIDE)
        for i, (s, at) in enumerate(((wide, x), (high, y)))
    )
    rows = np.stack([image, x, y, x + w - 1, y + h - 1], axis=1).astype(np.float32)
    free = np.flatnonzero(_nearest(rows, truth)[1] < np.float32(params.near))[:number]
    if len(free) < number:
        raise NetcError(
            Diagnostic(
                "region-out-of-range",
                "no box was found that overlaps no true box and fills a batch",
            )
        )
    more = np.zeros(number)
    return _Batch(
        np.concatenate([batch.rows, rows[free]]),
        np.concatenate([batch.label, more]),
        np.concatenate([batch.target, np.full(number, -1)]),
        np.concatenate([batch.overlap, more]),
    )


def _boxes(params: TargetParams, batch: _Batch, truth: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Targets of the positives in the columns of their class, and which of them count."""
    targets = np.zeros((len(batch.rows), params.width), np.float32)
    counts = np.zeros_like(targets)
    at = np.flatnonzero(batch.label > 0)
    boxes, wanted = batch.rows[at, 1:], truth[batch.target[at], 1:5]
    side, wanted_side = boxes[:, 2:] - boxes[:, :2] + 1, wanted[:, 2:] - wanted[:, :2] + 1
    apart = (wanted[:, :2] + wanted_side / 2 - boxes[:, :2] - side / 2) / side
    coded = np.concatenate([apart, np.log(wanted_side / side)], axis=1)
    mean, deviation = (np.array(v, np.float32) for v in params.regression[:2])
    label = batch.label[at].astype(np.int64)
    first = 4 * (label if params.regression.aware else np.minimum(label, 1))
    low, high = map(np.float32, params.counted)
    used = (low <= batch.overlap[at]) & (batch.overlap[at] <= high)
    for number in range(4):
        targets[at, first + number] = ((coded - mean) / deviation)[:, number]
        counts[at, first + number] = used
    return targets, counts


def _weights(params: TargetParams, batch: _Batch) -> AnyArray:
    """Weights by which positives count ``share`` of all."""
    own = batch.label > 0
    weights = np.where(own & params.by_overlap, batch.overlap, 1).astype(np.float32)
    sums, number = (weights[own].sum(), weights[~own].sum()), len(weights)
    if sums[0] != 0:
        factors = (params.share * number / sums[0], (1 - params.share) * number / sums[1])
        weights *= np.where(own, *factors).astype(np.float32)
    return weights


def _contents(params: TargetParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    wide, high = params.sides
    truth = corner_rows(1, count(inputs[1], 1) - 6)
    return Regions(params.images, high, wide), TrueBoxes(truth, params.classes, 1, high, wide)


OPS = (
    OpDef(
        name="ProposalTarget",
        arity=Arity((2, 2), (6, 7)),
        params=_parse,
        shape=_shape,
        cost=per_input(20),
        window=full_extent,
        memory=copies(12),
        reference=_targets,
        draws=lambda params: True,
        dynamic=True,
        contents=_contents,
        family="loss",
        host=True,
    ),
)
