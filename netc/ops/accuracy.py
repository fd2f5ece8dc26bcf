"""Accuracy: whether a label is among the ``top_k`` highest scores (accuracy_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, Namespace, namespace
from netc.ops.axes import axis_in
from netc.ops.contents import label_along
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, full_extent
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.labels import check_label_count, class_labels, parse_ignore_label
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class AccuracyParams:
    """Parameters of Accuracy (accuracy_layer.cpp).

    Args:
        top_k: a prediction is right if fewer than so many other scores reach the label's own.
        axis: of the scores, the one that holds the classes.
        ignore_label: predictions with this label are not counted; None counts all.
        tops: 1 for the accuracy, of shape (); 2 gives each class's too, of shape (classes,).
        least: the lowest scores are the best (`min_is_better` of happynear/caffe-windows: they are
            distances).
    """

    top_k: int
    axis: int
    ignore_label: int | None
    tops: int
    least: bool = False


def _parse(layer: Message, context: LayerContext) -> AccuracyParams:
    names = ("top_k", "axis", "ignore_label", "min_is_better")
    param = reject_unknown_fields(layer.get("accuracy_param"), *names)
    return AccuracyParams(
        param.get("top_k"),
        param.get("axis"),
        parse_ignore_label(param),
        context.tops,
        fork_field(param, "min_is_better", False),
    )


def _shape(params: AccuracyParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    axis = axis_in(data, params.axis, "accuracy_param.axis")
    check_label_count(data, label, axis)
    if params.top_k > data[axis]:
        raise ShapeError(
            f"`top_k` {params.top_k} is more than the {data[axis]} classes",
            "accuracy_param.top_k",
        )
    return ((), (data[axis],))[: params.tops]


def _accuracy(params: AccuracyParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, label = inputs
    axis = params.axis % data.ndim
    outer, classes, inner = (
        count(data.shape, 0, axis),
        data.shape[axis],
        count(data.shape, axis + 1),
    )
    scores = data.reshape(outer, classes, inner)
    index, kept = class_labels(label.reshape(outer, 1, inner), classes, params.ignore_label)
    xp = namespace(data)
    own = xp.take_along_axis(scores, index, axis=1)
    # A score equal to the label's own counts as better, so a tie at the k-th place is a miss.
    at_least = _smaller_first(scores, own, index, xp) if params.least else scores >= own
    better = at_least.sum(axis=1, keepdims=True) - 1
    right = kept & (better < params.top_k)
    total = _share(right.sum(), kept.sum(), xp)
    return (total, _by_class(index, right, kept, classes, xp))[: params.tops]


def _smaller_first(scores: AnyArray, own: AnyArray, index: AnyArray, xp: Namespace) -> AnyArray:
    """Where a score stands before the label's or is it: of equal ones the first class's does."""
    before = xp.arange(scores.shape[1]).reshape(1, -1, 1) <= index
    first: AnyArray = (scores < own) | ((scores == own) & before)
    return first


def _by_class(
    index: AnyArray, right: AnyArray, kept: AnyArray, classes: int, xp: Namespace
) -> AnyArray:
    hits = xp.bincount(index[right], minlength=classes)
    return _share(hits, xp.bincount(index[kept], minlength=classes), xp)


def _share(part: AnyArray, of: AnyArray, xp: Namespace) -> AnyArray:
    """``part / of`` as float32, 0 where there is nothing to share."""
    result: AnyArray = xp.where(of == 0, 0, part / xp.maximum(of, 1)).astype(np.float32)
    return result


ACCURACY = OpDef(
    name="Accuracy",
    arity=Arity((2, 2), (1, 2)),
    params=_parse,
    shape=_shape,
    cost=per_input(2),
    window=full_extent,
    reference=_accuracy,
    contents=label_along,
    family="loss",
    role=Role.RESULT,
)

OPS = (ACCURACY,)
