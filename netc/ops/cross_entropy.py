"""Cross-entropy losses: SoftmaxWithLoss, MultinomialLogisticLoss, SigmoidCrossEntropyLoss.

softmax_loss_layer.cpp, multinomial_logistic_loss_layer.cpp and sigmoid_cross_entropy_loss_layer.cpp
of BVLC. The first top is the loss, shape ().
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import axis_in
from netc.ops.contents import flag_second, label_along, label_of_example
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    Stand,
    TypeReading,
    copies,
    erased,
    full_extent,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.forks.metric_losses import WEIGHTED_CROSS_ENTROPY
from netc.ops.forks.softmax_many_labels import SOFTMAX_WITH_LOSS_OF_MANY, many_labels
from netc.ops.forks.softmax_weights import third_bottom_reading
from netc.ops.labels import (
    check_batch,
    check_label_count,
    class_labels,
    class_weights,
    divisor,
    label_weights,
    loss_param,
    parse_ignore_label,
    parse_normalization,
)
from netc.ops.loss import LOG_THRESHOLD, ONE_LOSS, check_single, per_example, scalar
from netc.ops.normalization import softmax
from netc.ops.role import Role
from netc.schema.message import Message

_FLT_MIN = 2.0**-126  # FLT_MIN, the least float32 that is no denormal number
_ONE_OR_TWO = Arity((2, 2), (1, 2), optional_top=True)


# SoftmaxWithLoss: softmax_loss_layer.cpp


@dataclass(frozen=True, slots=True)
class SoftmaxLossParams:
    """Parameters of SoftmaxWithLoss (softmax_loss_layer.cpp).

    Args:
        axis: of the scores, the one that holds the classes.
        ignore_label: predictions with this label do not count; None counts all.
        normalization: FULL, VALID, BATCH_SIZE or NONE, see :func:`netc.ops.labels.divisor`.
        tops: 2 gives the probabilities too, in the shape of the scores.
        weights: SegNet's, of the classes, see :func:`netc.ops.labels.class_weights`.
    """

    axis: int
    ignore_label: int | None
    normalization: str
    tops: int
    weights: tuple[float, ...] | str | None = None


def _parse_softmax_loss(layer: Message, context: LayerContext) -> SoftmaxLossParams:
    loss = loss_param(layer, "class_weighting", "weight_by_label_freqs")
    return SoftmaxLossParams(
        reject_unknown_fields(layer.get("softmax_param"), "axis").get("axis"),
        parse_ignore_label(loss),
        parse_normalization(loss),
        max(1, context.tops),
        class_weights(loss),
    )


def _softmax_loss_shape(params: SoftmaxLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    axis = axis_in(data, params.axis, "softmax_param.axis")
    check_batch(data, label)
    check_label_count(data, label, axis)
    if isinstance(params.weights, tuple) and len(params.weights) != data[axis]:
        raise ShapeError(
            f"{data[axis]} classes need as many weights, and there are {len(params.weights)}",
            "loss_param.class_weighting",
        )
    return ((), data)[: params.tops]


@quietly
def _softmax_loss(
    params: SoftmaxLossParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    data, label = inputs
    xp = namespace(data)
    axis = params.axis % data.ndim
    outer, classes, inner = split_at(data.shape, axis)
    index, kept = class_labels(label.reshape(outer, 1, inner), classes, params.ignore_label)
    prob = softmax(data, axis)
    chosen = xp.take_along_axis(prob.reshape(outer, classes, inner), index, axis=1)
    logs = xp.log(xp.maximum(chosen, _FLT_MIN))
    if params.weights is not None:
        logs = logs * label_weights(params.weights, index, kept, data)
    loss = -xp.where(kept, logs, 0).sum(dtype=np.float64)
    by = divisor(params.normalization, outer, inner, kept.sum())
    return (scalar(loss / by, data), prob)[: params.tops]


def split_at(shape: Shape, axis: int) -> tuple[int, int, int]:
    """Numbers of elements before a non-negative axis, along it and after it."""
    return count(shape, 0, axis), shape[axis], count(shape, axis + 1)


def _each_shape(params: SoftmaxLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return ((), *_softmax_loss_shape(params, inputs)[1:], inputs[1])


@quietly
def _softmax_loss_each(
    params: SoftmaxLossParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    data, label = inputs
    xp = namespace(data)
    loss, prob = _softmax_loss(params, inputs, weights)
    outer, classes, inner = split_at(data.shape, params.axis % data.ndim)
    index, kept = class_labels(label.reshape(outer, 1, inner), classes, params.ignore_label)
    chosen = xp.take_along_axis(prob.reshape(outer, classes, inner), index, axis=1)
    each = xp.where(kept, -xp.log(xp.maximum(chosen, _FLT_MIN)), chosen.dtype.type(0))
    return loss, prob, each.reshape(label.shape)


SOFTMAX_WITH_LOSS_EACH = OpDef(
    name="SoftmaxWithLossEach",
    arity=Arity((2, 2), (3, 3)),
    params=_parse_softmax_loss,
    shape=_each_shape,
    cost=per_input(6),
    window=full_extent,
    reference=_softmax_loss_each,
    memory=copies(6),
    loss=True,
    contents=label_along,
    family="loss",
)


def _each_reading(layer: Message) -> TypeReading | None:
    """R-FCN's and Cascade R-CNN's third top: each place's loss (softmax_loss_layer.cu there); or
    what a third bottom says.
    """
    if len(layer.get("top")) == 3:
        return TypeReading(erased(SOFTMAX_WITH_LOSS_EACH))
    return third_bottom_reading(layer)


def _of_many(params: SoftmaxLossParams, inputs: Sequence[Shape]) -> Stand | None:
    many = many_labels(params, inputs)
    return None if many is None else Stand(SOFTMAX_WITH_LOSS_OF_MANY.name, many)


SOFTMAX_WITH_LOSS = OpDef(
    name="SoftmaxWithLoss",
    by_shape=_of_many,
    arity=_ONE_OR_TWO,
    params=_parse_softmax_loss,
    shape=_softmax_loss_shape,
    cost=per_input(5),
    window=full_extent,
    reference=_softmax_loss,
    memory=copies(3),
    loss=True,
    contents=label_along,
    family="loss",
    reading=_each_reading,
    role=Role.SOFTMAX | Role.SIGNED_SCORES,
)


# MultinomialLogisticLoss: multinomial_logistic_loss_layer.cpp


def _multinomial_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    check_batch(data, label)
    check_single("the label", label)
    return ((),)


@quietly
def _multinomial(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, label = inputs
    xp = namespace(data)
    number, classes = data.shape[0], count(data.shape, 1)
    index, _ = class_labels(label.reshape(number, 1), classes)
    chosen = xp.take_along_axis(data.reshape(number, classes), index, axis=1)
    loss = -xp.log(xp.maximum(chosen, LOG_THRESHOLD)).sum(dtype=np.float64)
    return (scalar(per_example(loss, number, data), data),)


MULTINOMIAL_LOGISTIC_LOSS = OpDef(
    name="MultinomialLogisticLoss",
    arity=ONE_LOSS,
    shape=_multinomial_shape,
    cost=per_input(1),
    window=full_extent,
    reference=_multinomial,
    params=no_params,
    loss=True,
    contents=label_of_example,
    family="loss",
)


# SigmoidCrossEntropyLoss: sigmoid_cross_entropy_loss_layer.cpp


@dataclass(frozen=True, slots=True)
class SigmoidLossParams:
    """Parameters of SigmoidCrossEntropyLoss (sigmoid_cross_entropy_loss_layer.cpp).

    Args:
        ignore_label: elements with this target do not count; None counts all.
        normalization: FULL, VALID, BATCH_SIZE or NONE, see :func:`netc.ops.labels.divisor`; Caffe's
            default here is BATCH_SIZE.
    """

    ignore_label: int | None
    normalization: str


def _parse_sigmoid_loss(layer: Message, context: LayerContext) -> SigmoidLossParams:
    loss = loss_param(layer)
    return SigmoidLossParams(parse_ignore_label(loss), parse_normalization(loss, "BATCH_SIZE"))


def _sigmoid_loss_shape(params: SigmoidLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs)
    first, second = (count(shape) for shape in inputs)
    if first != second:
        raise ShapeError(
            f"both bottoms must have as many elements: {first} in {show(inputs[0])} and "
            f"{second} in {show(inputs[1])}"
        )
    return ((),)


@quietly
def _sigmoid_loss(
    params: SigmoidLossParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    data, target = inputs[0].reshape(-1), inputs[1].reshape(-1)
    xp = namespace(data)
    positive = data >= 0
    terms = data * (target - positive) - xp.log1p(xp.exp(xp.where(positive, -data, data)))
    kept = xp.ones(data.shape, dtype=bool)
    if params.ignore_label is not None:
        kept = xp.trunc(target) != params.ignore_label
    loss = -xp.where(kept, terms, 0).sum(dtype=np.float64)
    shape = inputs[0].shape
    by = divisor(params.normalization, shape[0], count(shape, 1), kept.sum())
    return (scalar(loss / by, data),)


def _weighted_reading(layer: Message) -> TypeReading | None:
    """MNC's third bottom: a weight for each element."""
    three = len(layer.get("bottom")) == 3
    return TypeReading(erased(WEIGHTED_CROSS_ENTROPY)) if three else None


SIGMOID_CROSS_ENTROPY_LOSS = OpDef(
    name="SigmoidCrossEntropyLoss",
    arity=ONE_LOSS,
    params=_parse_sigmoid_loss,
    shape=_sigmoid_loss_shape,
    cost=per_input(6),
    window=full_extent,
    reference=_sigmoid_loss,
    loss=True,
    contents=flag_second,
    family="loss",
    reading=_weighted_reading,
    role=Role.SIGMOID | Role.SIGNED_SCORES,
)

READINGS = (SOFTMAX_WITH_LOSS_EACH,)

# C3D's, of volumes (voxel_wise_softmax_loss_layer.cpp), which leaves out labels beyond the classes;
# here these are refused, as SoftmaxWithLoss does it.
OTHER_NAMES = {"VoxelSoftmaxLoss": SOFTMAX_WITH_LOSS}

OPS = (
    SOFTMAX_WITH_LOSS,
    MULTINOMIAL_LOGISTIC_LOSS,
    SIGMOID_CROSS_ENTROPY_LOSS,
)
