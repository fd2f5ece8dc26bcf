"""SoftmaxWithLoss of several labels an item, as peteanderson80/bottom-up-attention has it.

softmax_loss_layer.cpp of the Caffe in that repository: each of an item's labels counts as much, and
those with ``ignore_label`` do not count. The attributes of an object train so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import Contents, Whole
from netc.ops.cost import per_input
from netc.ops.define import Arity, OpDef, copies, full_extent
from netc.ops.forks.softmax_weights import ThirdBottomParams, parse_plain
from netc.ops.labels import class_labels, divisor
from netc.ops.loss import scalar
from netc.ops.normalization import softmax
from netc.ops.shape_error import ShapeError

_LEAST_PROBABILITY = 2.0**-126  # FLT_MIN


class _Weighed(Protocol):
    """What is read of SoftmaxWithLoss's parameters."""

    @property
    def axis(self) -> int: ...
    @property
    def ignore_label(self) -> int | None: ...
    @property
    def normalization(self) -> str: ...
    @property
    def tops(self) -> int: ...
    @property
    def weights(self) -> tuple[float, ...] | str | None: ...


def many_labels(params: _Weighed, inputs: Sequence[Shape]) -> ThirdBottomParams | None:
    """Parameters where items have several labels, some of which may be ignored; else None.

    BVLC's layer refuses such bottoms. Scores have one place, (items, classes), and labels are
    (items, labels), with an ``ignore_label``; as many as classes may be one-hot labels, which no
    fork takes.
    """
    data, label = inputs
    if params.weights is not None or params.ignore_label is None:
        return None
    if len(data) < 2 or params.axis not in (1, 1 - len(data)) or count(data, 2) != 1:
        return None
    several = len(label) > 1 and label[0] == data[0] and count(label, 2) == 1
    if not several or label[1] in (1, data[1]):
        return None
    return ThirdBottomParams(1, params.ignore_label, params.normalization, params.tops)


def _shape(params: ThirdBottomParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if label[:1] != data[:1]:
        raise ShapeError("each item must have its labels")
    return ((), data)[: params.tops]


class ManyLabelled(NamedTuple):
    """Of each item: probabilities (items, classes), labels and whether they count (items, labels),
    and how many count, at least 1, (items, 1).
    """

    prob: AnyArray
    label: AnyArray
    kept: AnyArray
    number: AnyArray


def many_labelled(params: ThirdBottomParams, inputs: Arrays) -> ManyLabelled:
    """What the loss and its gradient are made of.

    Raises:
        NetcError: label-out-of-range.
    """
    xp, items = namespace(inputs[0]), len(inputs[0])
    data = inputs[0].reshape(items, -1)
    label, kept = class_labels(inputs[1].reshape(items, -1), data.shape[1], params.ignore_label)
    number = xp.maximum(kept.sum(axis=1, keepdims=True), 1)
    return ManyLabelled(softmax(data, 1), label, kept, number)


def divided_by_items(params: ThirdBottomParams, found: ManyLabelled) -> AnyArray | float:
    """The divisor; VALID counts the items with a label that counts."""
    return divisor(params.normalization, len(found.prob), 1, found.kept.any(axis=1).sum())


@quietly
def _loss(params: ThirdBottomParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    xp, found = namespace(inputs[0]), many_labelled(params, inputs)
    own = xp.take_along_axis(found.prob, found.label, axis=1)
    logs = -xp.log(xp.maximum(own, own.dtype.type(_LEAST_PROBABILITY)))
    each = xp.where(found.kept, logs, 0) / found.number
    loss = each.sum(dtype=np.float64) / divided_by_items(params, found)
    return (scalar(loss, inputs[0]), found.prob.reshape(inputs[0].shape))[: params.tops]


def _labels(params: ThirdBottomParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(inputs[0][1])


SOFTMAX_WITH_LOSS_OF_MANY = OpDef(
    name="SoftmaxWithLossOfMany",
    arity=Arity((2, 2), (1, 2), optional_top=True),
    params=parse_plain,
    shape=_shape,
    cost=per_input(8),
    window=full_extent,
    memory=copies(6),
    reference=_loss,
    contents=_labels,
    loss=True,
    family="loss",
)

READINGS = (SOFTMAX_WITH_LOSS_OF_MANY,)
