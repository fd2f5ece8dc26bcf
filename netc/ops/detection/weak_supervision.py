"""GlobalSumPooling, MulticlassCrossEntropyLoss and WeightedSoftmaxWithLoss: detectors that learn
from images' labels alone.

global_sum_pooling_layer.cpp, multi_class_cross_entropy_loss_layer.cpp and
weighted_softmax_loss_layer.cpp of forks for OICR (Tang et al. 2017, arXiv:1704.00138) and for
segmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import axis_in, need_axes
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
    no_params,
)
from netc.ops.fields import reject_unknown_fields
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

_LEAST = 1e-10  # probabilities count as at least this, and at most 1 less this
_LEAST_PROBABILITY = 2.0**-126  # FLT_MIN


def _sum_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "GlobalSumPooling")
    return ((1, *inputs[0][1:]),)


def _sum(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (inputs[0].sum(axis=0, keepdims=True),)


GLOBAL_SUM_POOLING = OpDef(
    name="GlobalSumPooling",
    arity=Arity((1, 1), (1, 1)),
    params=no_params,
    shape=_sum_shape,
    cost=per_input(1),
    window=full_extent,
    reference=_sum,
    family="pooling",
)


def _each_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if len(data) < 2 or not label or data[0] != label[0] or count(data) != count(label):
        raise ShapeError(f"as many targets as probabilities: {show(data)} and {show(label)}")
    if count(data, 2) != 1:
        raise ShapeError(f"rows of probabilities are needed, the bottom is {show(data)}")
    return ((),)


def clipped(p: AnyArray) -> AnyArray:
    """Probabilities away from 0 and 1, by what the dtype lets differ from 1."""
    kind = p.dtype.type
    return namespace(p).clip(p, kind(_LEAST), kind(1 - _LEAST))


@quietly
def _each(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """-sum t log p + (1 - t) log(1 - p) over the classes, the mean over the items."""
    xp, data = namespace(inputs[0]), inputs[0]
    p, target = clipped(data), inputs[1].reshape(data.shape)
    # In float32 1 - 1e-10 is 1, and the fork's log of 0 times a target's 0 is NaN there; here 0.
    other = xp.log(xp.maximum(1 - p, p.dtype.type(_LEAST)))
    total = -(target * xp.log(p) + (1 - target) * other).sum(dtype=np.float64)
    return (scalar(total / max(1, data.shape[0]), data),)


def _flags(params: None, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(2)


MULTICLASS_CROSS_ENTROPY = OpDef(
    name="MulticlassCrossEntropyLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=no_params,
    shape=_each_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(8),
    reference=_each,
    contents=_flags,
    loss=True,
    family="loss",
)


@dataclass(frozen=True, slots=True)
class WeightedLossParams:
    """As SoftmaxWithLoss's. With two bottoms (``balanced``) label 0 and all others weigh as much.

    There ``ignore_label`` and ``normalization`` do nothing.
    """

    axis: int
    ignore_label: int | None
    normalization: str
    tops: int
    balanced: bool


def _parse_weighted(layer: Message, context: LayerContext) -> WeightedLossParams:
    loss = loss_param(layer)
    return WeightedLossParams(
        reject_unknown_fields(layer.get("softmax_param"), "axis").get("axis"),
        parse_ignore_label(loss),
        parse_normalization(loss),
        max(1, context.tops),
        context.bottoms == 2,
    )


def _weighted_shape(params: WeightedLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs[:2]
    axis = axis_in(data, params.axis, "softmax_param.axis")
    check_label_count(data, label, axis)
    if len(inputs) > 2 and count(inputs[2]) != count(label):
        raise ShapeError(f"a weight for each label of {show(label)}, got {show(inputs[2])}")
    return ((), data)[: params.tops]


class Weighted(NamedTuple):
    """Probabilities (items, classes, places), labels, their weights (items, 1, places), divisor."""

    prob: AnyArray
    label: AnyArray
    weight: AnyArray
    by: AnyArray | float


def weighted_labels(params: WeightedLossParams, inputs: Arrays) -> Weighted:
    """What the loss is made of.

    Raises:
        NetcError: label-out-of-range.
    """
    xp, data = namespace(inputs[0]), inputs[0]
    axis = params.axis % data.ndim
    outer, inner = count(data.shape, 0, axis), count(data.shape, axis + 1)
    ignored = None if params.balanced else params.ignore_label
    label, kept = class_labels(inputs[1].reshape(outer, 1, inner), data.shape[axis], ignored)
    prob = softmax(data, axis).reshape(outer, data.shape[axis], inner)
    if params.balanced:
        number, positive = label.size, int((label > 0).sum())
        half = number / 2
        shares = (half / max(1, number - positive), half / max(1, positive))
        weight = xp.where(label > 0, shares[1], shares[0]).astype(data.dtype)
        return Weighted(prob, label, weight, max(1, number))
    weight = xp.where(kept, inputs[2].reshape(label.shape), 0).astype(data.dtype)
    return Weighted(prob, label, weight, divisor(params.normalization, outer, inner, weight.sum()))


@quietly
def _weighted(params: WeightedLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    xp, data = namespace(inputs[0]), inputs[0]
    found = weighted_labels(params, inputs)
    own = xp.take_along_axis(found.prob, found.label, axis=1)
    logs = xp.log(xp.maximum(own, own.dtype.type(_LEAST_PROBABILITY)))
    total = -(found.weight * logs).sum(dtype=np.float64) / found.by
    return (scalar(total, data), found.prob.reshape(data.shape))[: params.tops]


def _labels(params: WeightedLossParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(inputs[0][params.axis]), None


def _weighted_reading(layer: Message) -> TypeReading | None:
    """With weights and no `normalization` forks may divide by other than the weights' sum."""
    loss = layer.get("loss_param")
    said = loss.has("normalization") or loss.has("normalize")
    if len(layer.get("bottom")) < 3 or said:
        return None
    return TypeReading(erased(WEIGHTED_SOFTMAX), _READ_AS)


_READ_AS = (
    "type",
    "it is divided by the sum of the weights, at least 1, as in the forks whose source is at hand; "
    "one may divide by the number of labels",
    ("`loss_param { normalization: FULL }` divides by their number, `VALID` by the weights' sum",),
)

WEIGHTED_SOFTMAX = OpDef(
    name="WeightedSoftmaxWithLoss",
    arity=Arity((2, 3), (1, 2), optional_top=True),
    params=_parse_weighted,
    shape=_weighted_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(10),
    reference=_weighted,
    contents=_labels,
    loss=True,
    family="loss",
    reading=_weighted_reading,
)

OPS = (GLOBAL_SUM_POOLING, MULTICLASS_CROSS_ENTROPY, WEIGHTED_SOFTMAX)
