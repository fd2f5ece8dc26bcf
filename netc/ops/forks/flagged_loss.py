"""EuclideanLossWithIgnore of pulkitag/caffe: items count whose targets end in a flag of 1.

euclidean_loss_with_ignore_layer.cpp there: the second bottom has a channel more than the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.cost import per_input
from netc.ops.define import LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.loss import ONE_LOSS, scalar
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class FlaggedParams:
    """``norm``: an item's loss is divided by the sum of squares of its bottom 0 or 1; None: not."""

    norm: int | None


def _parse(layer: Message, context: LayerContext) -> FlaggedParams:
    p = reject_unknown_fields(layer.get("euclideanloss_param"), "is_normalized", "normalize_choice")
    choice = p.get("normalize_choice")
    if choice > 1:
        raise bad_value(p, "normalize_choice", "must be 0 or 1")
    return FlaggedParams(choice if p.get("is_normalized") else None)


def _shape(params: FlaggedParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, target = inputs
    fits = len(data) > 1 and len(target) > 1 and data[0] == target[0]
    if not fits or data[1] + 1 != target[1] or count(data, 2) != count(target, 2):
        raise ShapeError(
            "the second bottom must have a channel more than the first, and be like it else: they "
            f"are {show(data)} and {show(target)}"
        )
    return ((),)


def flagged(inputs: Arrays) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Rows of predictions and of their targets, (items, numbers), and which items count, (items,).

    Of several places of the flag's channel the first one's counts.
    """
    rows, target = (array.reshape(len(array), -1) for array in inputs)
    length = rows.shape[1]
    return rows, target[:, :length], target[:, length] == 1


@quietly
def _loss(params: FlaggedParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the mean over the items that count of their sums of squares; 0 where none does."""
    rows, target, counts = flagged(inputs)
    xp = namespace(rows)
    apart = rows - target
    each = (apart * apart).sum(axis=1, dtype=np.float64)
    if params.norm is not None:
        by = (rows, target)[params.norm]
        size = (by * by).sum(axis=1, dtype=np.float64)
        each = each / xp.where(size > 0, size, 1)
    total = xp.where(counts, each, 0).sum() / xp.maximum(counts.sum(), 1) / 2
    return (scalar(total, inputs[0]),)


FLAGGED_LOSS = OpDef(
    name="EuclideanLossWithIgnore",
    arity=ONE_LOSS,
    params=_parse,
    shape=_shape,
    cost=per_input(3),
    window=full_extent,
    memory=copies(4),
    reference=_loss,
    loss=True,
    family="loss",
)

OPS = (FLAGGED_LOSS,)
