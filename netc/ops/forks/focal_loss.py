"""FocalLoss (Lin et al. 2017, arXiv:1708.02002): a softmax loss that easy predictions hardly teach.

focal_loss_layer.cpp of chuanqi305/FocalLoss and makefile/frcnn: -alpha (1 - p)^gamma log p, p being
the probability of the label. happynear/caffe-windows has (alpha + p)^gamma for `type: ONEADDP`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import axis_in
from netc.ops.contents import label_along
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
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.labels import (
    check_batch,
    check_label_count,
    class_labels,
    divisor,
    loss_param,
    parse_ignore_label,
    parse_normalization,
)
from netc.ops.loss import scalar
from netc.ops.normalization import softmax
from netc.ops.numbers import one_of
from netc.schema.message import Message

_MIN_PROBABILITY = 2.0**-126  # FLT_MIN, the least float32 that is no denormal number
_MIN_BASE = 1e-10


class Focus(NamedTuple):
    """The loss of a probability p: -``scale`` (``base`` + ``sign`` p)^``gamma`` log p."""

    scale: float
    gamma: float
    base: float = 1.0
    sign: float = -1.0

    def loss(self, p: AnyArray) -> AnyArray:
        """The loss of each probability."""
        return -self._power(p) * self._log(p)

    def pull(self, p: AnyArray) -> AnyArray:
        """What (softmax - 1 at the label) is multiplied by in the gradient by the scores."""
        xp, kind = namespace(p), p.dtype.type
        base = xp.maximum(kind(self.base) + kind(self.sign) * p, kind(_MIN_BASE))
        steep = kind(self.gamma * self.sign) * self._power(p) / base
        result: AnyArray = steep * self._log(p) * p + self._power(p)
        return result

    def _power(self, p: AnyArray) -> AnyArray:
        kind = p.dtype.type
        base = kind(self.base) + kind(self.sign) * p
        made: AnyArray = kind(self.scale) * base ** kind(self.gamma)
        return made

    def _log(self, p: AnyArray) -> AnyArray:
        xp = namespace(p)
        made: AnyArray = xp.log(xp.maximum(p, p.dtype.type(_MIN_PROBABILITY)))
        return made


@dataclass(frozen=True, slots=True)
class FocalParams:
    """Parameters of FocalLoss; all but ``focus`` are as in SoftmaxWithLoss."""

    axis: int
    ignore_label: int | None
    normalization: str
    tops: int
    focus: Focus


def parse_focus(layer: Message) -> Focus:
    """What ``focal_loss_param`` says.

    Raises:
        NetcError: unsupported-value, for `type: LINEAR`, which no fork computes; out-of-range, for
            an `alpha` that is not above 0 or a `gamma` below 0, at which forks stop.
    """
    names = ("axis", "alpha", "gamma", "type", "beta")  # no fork reads `beta` without LINEAR
    p = reject_unknown_fields(layer.get("focal_loss_param"), *names)
    if not p.get("alpha") > 0:
        raise bad_value(p, "alpha", "must be greater than 0")
    if not p.get("gamma") >= 0:
        raise bad_value(p, "gamma", "must be at least 0")
    if one_of(p, "type", ("ORIGIN", "ONEADDP")) == "ONEADDP":
        return Focus(1.0, p.get("gamma"), p.get("alpha"), 1.0)
    return Focus(p.get("alpha"), p.get("gamma"))


def _parse(layer: Message, context: LayerContext) -> FocalParams:
    loss, focus = loss_param(layer), parse_focus(layer)
    axis = reject_unknown_fields(layer.get("softmax_param"), "axis").get("axis")
    own = layer.get("focal_loss_param")
    if own.has("axis") and own.get("axis") != axis:
        rule = f"must be that of `softmax_param`, {axis}, along which the softmax goes"
        raise bad_value(own, "axis", rule)
    ignored, mode = parse_ignore_label(loss), parse_normalization(loss)
    return FocalParams(axis, ignored, mode, max(1, context.tops), focus)


def _shape(params: FocalParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    axis = axis_in(data, params.axis, "softmax_param.axis")
    if data[axis] > 1 and count(data) == count(label):
        raise ShapeError(
            "a target for each score is that of forks whose FocalLoss takes sigmoids; netc has the "
            "softmax's, with a label for each prediction"
        )
    check_batch(data, label)
    check_label_count(data, label, axis)
    return ((), data)[: params.tops]


class Chosen(NamedTuple):
    """Probabilities (items, classes, places), the labels' own, which count, and the labels."""

    prob: AnyArray
    own: AnyArray
    kept: AnyArray
    label: AnyArray


def chosen(params: FocalParams, inputs: Arrays) -> Chosen:
    """The probabilities of a batch and of its labels.

    Raises:
        NetcError: label-out-of-range.
    """
    data, label = inputs
    axis = params.axis % data.ndim
    outer, classes, inner = (
        count(data.shape, 0, axis),
        data.shape[axis],
        count(data.shape, axis + 1),
    )
    index, kept = class_labels(label.reshape(outer, 1, inner), classes, params.ignore_label)
    prob = softmax(data, axis).reshape(outer, classes, inner)
    own = namespace(data).take_along_axis(prob, index, axis=1)
    return Chosen(prob, own, kept, index)


def loss_by(params: FocalParams, found: Chosen) -> AnyArray | float:
    """What the loss is divided by."""
    items, _, places = found.prob.shape
    return divisor(params.normalization, items, places, found.kept.sum())


@quietly
def _loss(params: FocalParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found, data = chosen(params, inputs), inputs[0]
    losses = namespace(data).where(found.kept, params.focus.loss(found.own), 0)
    total = losses.sum(dtype=np.float64) / loss_by(params, found)
    return (scalar(total, data), found.prob.reshape(data.shape))[: params.tops]


def _reading(layer: Message) -> TypeReading | None:
    """With `type`, the origin may be caffe-windows, which does not scale by `alpha`."""
    param = layer.get("focal_loss_param")
    if not param.has("type") or param.get("type") == "ONEADDP" or param.get("alpha") == 1:
        return None
    return TypeReading(erased(FOCAL_LOSS), _READ_AS)


_READ_AS = (
    "focal_loss_param",
    "the loss is `alpha` times (1 - p)^gamma, as in makefile/frcnn; happynear/caffe-windows reads "
    "the same text as (`alpha` - p)^gamma",
    ("with `alpha: 1` both are the same; leave `type` out if it is not caffe-windows'",),
)

FOCAL_LOSS = OpDef(
    name="FocalLoss",
    arity=Arity((2, 2), (1, 2), optional_top=True),
    params=_parse,
    shape=_shape,
    cost=per_input(12),
    window=full_extent,
    memory=copies(10),
    reference=_loss,
    loss=True,
    family="loss",
    contents=label_along,
    reading=_reading,
)

OPS = (FOCAL_LOSS,)
