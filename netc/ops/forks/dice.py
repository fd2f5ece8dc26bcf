"""DiceCoefLoss: one less the Dice coefficient of each item.

dice_coef_loss_layer.cpp of faustomilletari/3D-Caffe, ZhiwenShao/JAANet and jolibrain/caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import check_batch
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DiceParams:
    """``smooth`` is added to both parts of the fraction."""

    smooth: float


def _parse_dice(layer: Message, context: LayerContext) -> DiceParams:
    return DiceParams(
        reject_unknown_fields(layer.get("dice_coef_loss_param"), "smooth").get("smooth")
    )


def _dice_shape(params: DiceParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    one, other = inputs
    check_batch(one, other)
    if count(one, 1) != count(other, 1):
        raise ShapeError(f"items of both bottoms must be as long: {show(one)} and {show(other)}")
    return ((),)


def dice_parts(params: DiceParams, inputs: Arrays) -> tuple[AnyArray, AnyArray]:
    """2 a b + smooth and a^2 + b^2 + smooth of each item, summed over its elements, (n,)."""
    one, other = (np.asarray(x).reshape(len(x), -1).astype(np.float64) for x in inputs)
    product = 2 * (one * other).sum(axis=1) + params.smooth
    return product, (one * one).sum(axis=1) + (other * other).sum(axis=1) + params.smooth


@quietly
def _dice(params: DiceParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """1 less the mean Dice coefficient (Milletari et al. 2016, arXiv:1606.04797)."""
    product, squares = dice_parts(params, inputs)
    return (np.asarray(1 - np.abs(product / squares).mean(), inputs[0].dtype),)


DICE_LOSS = OpDef(
    name="DiceCoefLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_dice,
    shape=_dice_shape,
    cost=per_input(6),
    window=full_extent,
    memory=copies(8),
    reference=_dice,
    loss=True,
    family="loss",
    host=True,
)


OPS = (DICE_LOSS,)
