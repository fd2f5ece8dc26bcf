"""SoftmaxWithLoss with a third bottom: weights of the labels, or overlaps of segments.

softmax_loss_layer.cpp of the Caffe of Faster R-CNN's first release (ShaoqingRen/caffe), whose third
bottom weighs each label, and of Segment-CNN (Shou et al. 2016, arXiv:1601.02129), whose third
bottom has what each segment shares with a true one: the more, the more may its score be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import axis_in
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
from netc.ops.labels import (
    check_label_count,
    class_labels,
    divisor,
    loss_param,
    parse_ignore_label,
    parse_normalization,
)
from netc.ops.loss import scalar
from netc.ops.normalization import softmax
from netc.schema.message import Message

_LEAST_PROBABILITY = 2.0**-126  # FLT_MIN


@dataclass(frozen=True, slots=True)
class ThirdBottomParams:
    """As SoftmaxWithLoss's, see :class:`netc.ops.cross_entropy.SoftmaxLossParams`."""

    axis: int
    ignore_label: int | None
    normalization: str
    tops: int


def parse_plain(layer: Message, context: LayerContext) -> ThirdBottomParams:
    """The fields of BVLC's layer."""
    loss = loss_param(layer)
    return ThirdBottomParams(
        layer.get("softmax_param").get("axis"),
        parse_ignore_label(loss),
        parse_normalization(loss),
        max(1, context.tops),
    )


def _parse_weighted(layer: Message, context: LayerContext) -> ThirdBottomParams:
    params, loss = parse_plain(layer, context), layer.get("loss_param")
    if params.normalization not in ("VALID", "BATCH_SIZE"):
        raise loss.error(
            "normalization",
            "unsupported-value",
            f"with weights `normalization` {params.normalization} is not one that netc computes",
            "`VALID` divides by the sum of the weights, `BATCH_SIZE` by the number of items",
        )
    return params


def _shape(params: ThirdBottomParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label, third = inputs
    check_label_count(data, label, axis_in(data, params.axis, "softmax_param.axis"))
    if count(third) != count(label):
        raise ShapeError(f"a number for each label of {show(label)}, got {show(third)}")
    return ((), data)[: params.tops]


class Labelled(NamedTuple):
    """Probabilities (items, classes, places); all others (items, 1, places): labels, the
    probabilities that they have, which of them count, and the third bottom, 1 where they do not.
    """

    prob: AnyArray
    label: AnyArray
    own: AnyArray
    kept: AnyArray
    third: AnyArray


def labelled(params: ThirdBottomParams, inputs: Arrays) -> Labelled:
    """What both losses are made of.

    Raises:
        NetcError: label-out-of-range.
    """
    xp, data = namespace(inputs[0]), inputs[0]
    axis = params.axis % data.ndim
    outer, inner = count(data.shape, 0, axis), count(data.shape, axis + 1)
    label, kept = class_labels(
        inputs[1].reshape(outer, 1, inner), data.shape[axis], params.ignore_label
    )
    prob = softmax(data, axis).reshape(outer, data.shape[axis], inner)
    third = xp.where(kept, inputs[2].reshape(label.shape), 1).astype(data.dtype)
    return Labelled(prob, label, xp.take_along_axis(prob, label, axis=1), kept, third)


def _losses(found: Labelled) -> AnyArray:
    xp = namespace(found.own)
    return -xp.log(xp.maximum(found.own, found.own.dtype.type(_LEAST_PROBABILITY)))


def weights_of(params: ThirdBottomParams, found: Labelled) -> tuple[AnyArray, AnyArray | float]:
    """The weight of each label, 0 where it does not count, and the divisor."""
    xp = namespace(found.own)
    weight = xp.where(found.kept, found.third, found.own.dtype.type(0))
    if params.normalization == "BATCH_SIZE":
        return weight, max(1, found.label.shape[0])
    total = weight.sum()
    return weight, xp.where(total == 0, total.dtype.type(1), total)


@quietly
def _weighted(params: ThirdBottomParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found = labelled(params, inputs)
    weight, by = weights_of(params, found)
    total = (weight * _losses(found)).sum(dtype=np.float64) / by
    return (scalar(total, inputs[0]), found.prob.reshape(inputs[0].shape))[: params.tops]


def divided_by(params: ThirdBottomParams, found: Labelled) -> AnyArray | float:
    """The divisor of the loss by overlaps."""
    return divisor(
        params.normalization, found.label.shape[0], found.label.shape[2], found.kept.sum()
    )


def by_overlap(found: Labelled) -> AnyArray:
    """p^2 / overlap^(1/4) of the label's class, 0 for the background (class 0) and ignored ones."""
    xp = namespace(found.own)
    eighth = xp.sqrt(xp.sqrt(xp.sqrt(found.third)))
    return xp.where(found.kept & (found.label > 0), (found.own / eighth) ** 2, 0)


@quietly
def _overlap(params: ThirdBottomParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """-log p, and for what is no background (p^2 / overlap^(1/4) - 1) / 2 besides."""
    xp, found = namespace(inputs[0]), labelled(params, inputs)
    logs = xp.where(found.kept, _losses(found), 0)
    less = 0.5 * (found.kept & (found.label > 0))
    total = (logs + (0.5 * by_overlap(found) - less)).sum(dtype=np.float64)
    loss = scalar(total / divided_by(params, found), inputs[0])
    return (loss, found.prob.reshape(inputs[0].shape))[: params.tops]


def _labels(params: ThirdBottomParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(inputs[0][params.axis]), Whole(2)


def _shares(params: ThirdBottomParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(inputs[0][params.axis]), None


SOFTMAX_WITH_WEIGHTED_LOSS = OpDef(
    name="SoftmaxWithLossOfWeights",
    arity=Arity((3, 3), (1, 2), optional_top=True),
    params=_parse_weighted,
    shape=_shape,
    cost=per_input(8),
    window=full_extent,
    memory=copies(6),
    reference=_weighted,
    contents=_labels,
    loss=True,
    family="loss",
)

SOFTMAX_WITH_OVERLAP_LOSS = OpDef(
    name="SoftmaxWithLossOfOverlaps",
    arity=Arity((3, 3), (1, 2), optional_top=True),
    params=parse_plain,
    shape=_shape,
    cost=per_input(12),
    window=full_extent,
    memory=copies(8),
    reference=_overlap,
    contents=_shares,
    loss=True,
    family="loss",
)

_AS_WEIGHTS = (
    "type",
    "its third bottom is taken for weights of the labels, as in the Caffe of Faster R-CNN's first "
    "release; in Segment-CNN's it has the overlaps of segments",
    ("name that bottom `overlap`, as Segment-CNN's nets do, for its loss",),
)


def third_bottom_reading(layer: Message) -> TypeReading | None:
    """What SoftmaxWithLoss with three bottoms is; None with another number of them.

    No field tells the two forks apart, but Segment-CNN's data layer calls its top ``overlap``.
    """
    bottoms = layer.get("bottom")
    if len(bottoms) != 3:
        return None
    if "overlap" in bottoms[2].lower():
        return TypeReading(erased(SOFTMAX_WITH_OVERLAP_LOSS))
    told = None if "weight" in bottoms[2].lower() else _AS_WEIGHTS
    return TypeReading(erased(SOFTMAX_WITH_WEIGHTED_LOSS), told)


READINGS = (SOFTMAX_WITH_WEIGHTED_LOSS, SOFTMAX_WITH_OVERLAP_LOSS)
