"""Losses of embeddings: TripletLoss, GeneralContrastiveLoss and XCovLoss.

triplet_loss_layer.cpp of BVLC's pull request 3422 and general_constrastive_loss_layer.cpp, both of
happynear/caffe-windows; xcov_loss_layer.cpp of BVLC's pull request 2126 (Cheung et al. 2014,
arXiv:1412.6583).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import label_of_example
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import check_batch, class_labels
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class TripletParams:
    """``margin`` between the squared distances of unlike and of like items."""

    margin: float


def _parse_triplet(layer: Message, context: LayerContext) -> TripletParams:
    p = reject_unknown_fields(layer.get("triplet_loss_param"), "margin")
    return TripletParams(p.get("margin"))


def _triplet_shape(params: TripletParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    first = inputs[0]
    for shape in inputs[:3]:
        check_batch(first, shape)
        if len(shape) < 2 or count(shape, 1) != count(first, 1) or count(shape, 2) != 1:
            raise ShapeError(f"three rows of features each: {show(first)} and {show(shape)}")
    if len(inputs) > 3 and count(inputs[3]) != first[0]:
        raise ShapeError(f"{first[0]} weights are needed, the last bottom is {show(inputs[3])}")
    return ((),)


class Triplets(NamedTuple):
    """Anchors, like and unlike rows (n, length); what each triplet lacks and its weight, (n,)."""

    rows: tuple[AnyArray, AnyArray, AnyArray]
    lack: AnyArray
    weight: AnyArray


def triplets(params: TripletParams, inputs: Arrays) -> Triplets:
    """The triplets of a batch; ``lack`` is 0 where the margin is kept."""
    rows = [np.asarray(x).reshape(len(x), -1).astype(np.float64) for x in inputs[:3]]
    near, far = (((rows[0] - other) ** 2).sum(axis=1) for other in rows[1:])
    weight = np.ones(len(near)) if len(inputs) < 4 else np.asarray(inputs[3]).reshape(-1)
    return Triplets((rows[0], rows[1], rows[2]), np.maximum(params.margin + near - far, 0), weight)


def _triplet(params: TripletParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found = triplets(params, inputs)
    total = (found.weight * found.lack).sum() / max(1, len(found.lack)) / 2
    return (np.asarray(total, inputs[0].dtype),)


TRIPLET_LOSS = OpDef(
    name="TripletLoss",
    arity=Arity((3, 4), (1, 1), optional_top=True),
    params=_parse_triplet,
    shape=_triplet_shape,
    cost=per_input(8),
    window=full_extent,
    memory=copies(8),
    reference=_triplet,
    loss=True,
    family="loss",
    host=True,
)


@dataclass(frozen=True, slots=True)
class GeneralParams:
    """GeneralContrastiveLoss's fields; ``tops`` 2 gives mean distances as second top.

    Args:
        near, far: the margins of the label's distance and of the others'.
        near_weight, far_weight: their weights.
        most: what the label's distance above its margin counts at most.
        held: the others' gradient is divided so that it is this times the label's; None for never.
        greatest_near, greatest_far: the one greatest of the batch, or of each item, teaches alone.
        bound: items whose label is farther than this teach by the label alone; None for none.
        steep: others count exp(-distance), not the distance below the margin.
    """

    near: float
    far: float
    near_weight: float
    far_weight: float
    most: float
    held: float | None
    greatest_near: bool
    greatest_far: bool
    bound: float | None
    steep: bool
    tops: int


def _parse_general(layer: Message, context: LayerContext) -> GeneralParams:
    names = (
        "positive_margin", "negative_margin", "positive_weight", "negative_weight",
        "positive_outlier_thresh", "normalize_negative", "max_positive_only", "max_negative_only",
        "positive_first", "positive_upper_bound", "exp_negative_weight", "max_negative_margin",
        "square",
    )  # fmt: skip
    p = reject_unknown_fields(layer.get("general_contrastive_loss_param"), *names)
    near, far, near_weight, far_weight, most = (p.get(name) for name in names[:5])
    return GeneralParams(
        near,
        far,
        near_weight,
        far_weight,
        most,
        p.optional("normalize_negative"),
        p.get("max_positive_only"),
        p.get("max_negative_only"),
        p.get("positive_upper_bound") if p.get("positive_first") else None,
        p.get("exp_negative_weight"),
        context.tops,
    )


def _general_shape(params: GeneralParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs)
    if count(inputs[1]) != inputs[0][0]:
        raise ShapeError(f"one label for each item of {show(inputs[0])}, got {show(inputs[1])}")
    return ((), (2,))[: params.tops]


class Distances(NamedTuple):
    """What each distance counts: all (items, classes).

    Args:
        each: the loss.
        slope: its slope by the distance, without the last division.
        hot: whether it is the label's.
        excess: of the distances over or under their margins, unweighted.
    """

    each: AnyArray
    slope: AnyArray
    hot: AnyArray
    excess: AnyArray


def general_distances(params: GeneralParams, inputs: Arrays) -> Distances:
    """The losses and slopes of a batch's distances to the classes.

    Raises:
        NetcError: label-out-of-range.
    """
    data = np.asarray(inputs[0])
    x = data.reshape(len(data), -1).astype(np.float64)
    labels, _ = class_labels(np.asarray(inputs[1]).reshape(-1), x.shape[1])
    hot = np.arange(x.shape[1]) == labels[:, None]
    over = np.clip(x - params.near, 0, params.most)
    short = np.maximum(params.far - x, 0)
    push = np.exp(-x) * (x < params.far) if params.steep else short
    each = np.where(hot, over * params.near_weight, push * params.far_weight)
    rising = (x > params.near) & (x < params.most)
    fall = -(np.exp(-x) if params.steep else 1.0) * params.far_weight * (x < params.far)
    slope = np.where(hot, rising * params.near_weight, fall)
    keep = _kept(params, x, each, hot)
    slope = np.where(keep, slope, 0)
    if params.bound is not None:
        late = (hot & (x > params.bound)).any(axis=1, keepdims=True)
        each = np.where(late & ~hot, 0, each)
        slope = np.where(late, hot * params.near_weight, slope)
    return Distances(np.where(keep, each, 0), slope, hot, np.where(hot, over, short))


def _kept(params: GeneralParams, x: AnyArray, each: AnyArray, hot: AnyArray) -> AnyArray:
    """Which distances count where the greatest alone do."""
    kept = np.ones(x.shape, bool)
    if params.greatest_near:  # the fork takes the least of the labels' losses for the greatest
        own = each[hot]
        kept &= ~hot | (np.arange(len(x)) == int(np.argmin(own)))[:, None]
    if params.greatest_far:
        first = np.arange(x.shape[1]) == 0  # the search begins there, be it the label's or not
        places = np.where(hot & ~first, -np.inf, each).argmax(axis=1)
        kept &= hot | (np.arange(x.shape[1]) == places[:, None])
    return kept


def _general(params: GeneralParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The sum of all that count over the batch; then the mean distances beyond the margins."""
    found = general_distances(params, inputs)
    items, classes = found.each.shape
    kind = inputs[0].dtype
    with np.errstate(all="ignore"):
        means = np.array([
            (found.excess * found.hot).sum() / items,
            (found.excess * ~found.hot).sum() / items / np.float64(classes - 1),
        ])  # fmt: skip
    loss = np.asarray(np.abs(found.each).sum() / items, kind)
    return (loss, means.astype(kind))[: params.tops]


GENERAL_CONTRASTIVE = OpDef(
    name="GeneralContrastiveLoss",
    arity=Arity((2, 2), (1, 2), optional_top=True),
    params=_parse_general,
    shape=_general_shape,
    cost=per_input(12),
    window=full_extent,
    memory=copies(32),
    reference=_general,
    contents=label_of_example,
    loss=True,
    family="loss",
    host=True,
)


def _xcov_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs)
    return ((),)


def centred(x: AnyArray) -> AnyArray:
    """Rows less their mean, float64 (n, length)."""
    rows = np.asarray(x).reshape(len(x), -1).astype(np.float64)
    found: AnyArray = rows - rows.mean(axis=0)
    return found


def _xcov(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the sum of squares of the covariances between both bottoms' elements."""
    one, other = map(centred, inputs)
    covariance = one.T @ other / len(one)
    return (np.asarray((covariance**2).sum() / 2, inputs[0].dtype),)


XCOV_LOSS = OpDef(
    name="XCovLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=no_params,
    shape=_xcov_shape,
    cost=per_input(8),
    window=full_extent,
    memory=lambda p, i, o: 8 * (count(i[0], 1) * count(i[1], 1) + 4 * sum(map(count, i))),
    reference=_xcov,
    loss=True,
    family="loss",
    host=True,
)

OPS = (TRIPLET_LOSS, GENERAL_CONTRASTIVE, XCOV_LOSS)
