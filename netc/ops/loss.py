"""EuclideanLoss and HingeLoss, and what all losses share.

euclidean_loss_layer.cpp and hinge_loss_layer.cpp of BVLC. Every loss gives a scalar, shape ();
``loss_weight`` does not change its value. Sums are in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, dims, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import label_of_example
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    full_extent,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import (
    check_batch,
    class_labels,
)
from netc.ops.numbers import one_of
from netc.ops.role import Role
from netc.schema.message import Message

LOG_THRESHOLD = 9.999999682655225e-21  # kLOG_THRESHOLD, loss_layer.hpp: 1e-20 as float32
ONE_LOSS = Arity((2, 2), (1, 1), optional_top=True)


def scalar(value: AnyArray, like: AnyArray) -> AnyArray:
    """A number as an array of shape () with the dtype and of the library of ``like``."""
    return namespace(like).asarray(value, dtype=like.dtype).reshape(())


# EuclideanLoss: euclidean_loss_layer.cpp


def _euclidean_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs)
    first, second = (count(shape, 1) for shape in inputs)
    if first != second:
        raise ShapeError(
            f"both bottoms must have as many elements for each example: {first} in "
            f"{show(inputs[0])} and {second} in {show(inputs[1])}"
        )
    return ((),)


@quietly
def _euclidean(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    first, second = inputs
    difference = first.reshape(-1) - second.reshape(-1)
    squares = (difference * difference).sum(dtype=np.float64)
    return (scalar(per_example(squares, first.shape[0], first) / 2, first),)


def per_example(total: AnyArray, number: int, like: AnyArray) -> AnyArray:
    """``total / number`` in float64, NaN for 0 / 0 as in C; ``like`` tells the array library."""
    xp = namespace(like)
    return xp.divide(total, xp.float64(number))


EUCLIDEAN_LOSS = OpDef(
    name="EuclideanLoss",
    arity=ONE_LOSS,
    shape=_euclidean_shape,
    cost=per_input(3),
    window=full_extent,
    reference=_euclidean,
    params=no_params,
    loss=True,
    family="loss",
)


# HingeLoss: hinge_loss_layer.cpp


@dataclass(frozen=True, slots=True)
class HingeLossParams:
    """``norm`` of the margins that are summed: "L1", or "L2" for their squares."""

    norm: str


def _parse_hinge(layer: Message, context: LayerContext) -> HingeLossParams:
    return HingeLossParams(
        one_of(reject_unknown_fields(layer.get("hinge_loss_param"), "norm"), "norm", ("L1", "L2"))
    )


def _hinge_shape(params: HingeLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs)
    check_one_label_each(inputs[0], inputs[1])
    return ((),)


def check_single(what: str, shape: Shape) -> None:
    """Check that a bottom has one number for each item: channels, height and width are 1.

    Raises:
        ShapeError: it has more; ``what`` names the bottom in the message.
    """
    if len(shape) > 4 or dims(shape)[1:] != (1, 1, 1):
        raise ShapeError(f"{what} must have channels, height and width 1, it is {show(shape)}")


def check_one_label_each(data: Shape, label: Shape) -> None:
    """Check that there are at least as many labels as items.

    Raises:
        ShapeError: there are fewer.
    """
    if count(label) < data[0]:
        raise ShapeError(
            f"{data[0]} labels are needed, one for each example, and the label {show(label)} has "
            f"{count(label)}"
        )


@quietly
def _hinge(params: HingeLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, label = inputs
    _, margins = hinge_margins(data, label)
    total = (margins * margins if params.norm == "L2" else margins).sum(dtype=np.float64)
    return (scalar(per_example(total, data.shape[0], data), data),)


def hinge_margins(data: AnyArray, label: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Signs and margins of HingeLoss, (num, classes) each.

    The sign is -1 at the label's class and 1 elsewhere, the margin max(0, 1 + sign * score).

    Raises:
        NetcError: label-out-of-range.
    """
    xp = namespace(data)
    number, classes = data.shape[0], count(data.shape, 1)
    index, _ = class_labels(label.reshape(-1)[:number], classes)
    sign = xp.where(xp.arange(classes) == index[:, None], -1, 1).astype(data.dtype)
    return sign, xp.maximum(1 + sign * data.reshape(number, classes), 0)


HINGE_LOSS = OpDef(
    name="HingeLoss",
    arity=ONE_LOSS,
    params=_parse_hinge,
    shape=_hinge_shape,
    cost=per_input(4),
    window=full_extent,
    reference=_hinge,
    loss=True,
    contents=label_of_example,
    family="loss",
    role=Role.SIGNED_SCORES,
)

OPS = (
    EUCLIDEAN_LOSS,
    HINGE_LOSS,
)
