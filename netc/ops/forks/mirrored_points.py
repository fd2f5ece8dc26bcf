"""AlignDataTransform and the scaled and weighted EuclideanLoss2, 3 and 4 of JAANet.

align_data_transform_layer.cpp and euclidean_loss_layer.cpp of ZhiwenShao/JAANet (Shao et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Whole
from netc.ops.cost import per_input, per_output
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
)
from netc.schema.message import Message

_AXES = 4  # of the top
PLACED = 4  # mirrored or not, the crop's size, its first row, its first column


@dataclass(frozen=True, slots=True)
class AlignParams:
    """AlignDataTransform has no fields."""


def _parse_align(layer: Message, context: LayerContext) -> AlignParams:
    return AlignParams()


def _points_shape(params: AlignParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    points, placed, partners = inputs
    if not 1 <= len(points) <= _AXES:
        raise ShapeError(f"1 to {_AXES} axes are wanted, the first bottom is {show(points)}")
    if count(points, 1) % 2:
        raise ShapeError(f"x and y of each point are wanted, the first bottom is {show(points)}")
    if not placed or placed[0] != points[0] or count(placed, 1) != PLACED:
        raise ShapeError(
            f"{PLACED} numbers for each of {points[0]} images are wanted, the second bottom is "
            f"{show(placed)}"
        )
    if count(partners) < count(points, 1) // 2:
        raise ShapeError(
            f"the third bottom must number the partners of {count(points, 1) // 2} points, it is "
            f"{show(partners)}"
        )
    return ((*points, *(1,) * (_AXES - len(points))),)


def partners_of(partners: AnyArray, points: int) -> AnyArray:
    """Which point each becomes in a mirror, from 0; the text's numbers are from 1.

    Raises:
        NetcError: index-out-of-range, where there is no such point.
    """
    own = np.trunc(np.asarray(partners).reshape(-1)[:points])
    if not ((own >= 1) & (own <= points)).all():
        raise NetcError(
            Diagnostic(
                "index-out-of-range",
                f"AlignDataTransform: the partners of {points} points are numbered from 1 to "
                f"{points}",
            )
        )
    found: AnyArray = own.astype(np.int64) - 1
    return found


def _align(params: AlignParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Points (x, y) of a picture in its crop, mirrored where that is."""
    points, placed = (np.asarray(x).reshape(len(x), -1) for x in inputs[:2])
    made = points.reshape(len(points), -1, 2) - placed[:, None, [3, 2]]
    mirrored = placed[:, 0] != 0
    made[mirrored, :, 0] = placed[mirrored, 1, None] - 1 - made[mirrored, :, 0]
    if mirrored.any():
        made[mirrored] = made[mirrored][:, partners_of(inputs[2], made.shape[1])]
    (shape,) = _points_shape(params, [x.shape for x in inputs])
    return (made.reshape(shape).astype(inputs[0].dtype),)


def _points_contents(params: AlignParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(2), Whole(count(inputs[0], 1) // 2 + 1, 1)


ALIGN = OpDef(
    name="AlignDataTransform",
    arity=Arity((3, 3), (1, 1)),
    params=_parse_align,
    shape=_points_shape,
    cost=per_output(2),
    window=full_extent,
    memory=copies(3),
    reference=_align,
    contents=_points_contents,
    family="other",
    host=True,
)


@dataclass(frozen=True, slots=True)
class ScaledLossParams:
    """Which bottoms divide the whole loss by their first number, and weight each difference."""

    divisor: int | None
    weight: int | None


_KINDS = {
    "EuclideanLoss2": ScaledLossParams(2, None),
    "EuclideanLoss3": ScaledLossParams(2, 3),
    "EuclideanLoss4": ScaledLossParams(None, 2),
}


def _parse_loss(layer: Message, context: LayerContext) -> ScaledLossParams:
    return _KINDS[layer.get("type")]


def _loss_shape(params: ScaledLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    one, two = inputs[:2]
    if not one or not two or one[0] != two[0] or count(one) != count(two):
        raise ShapeError(f"the first two bottoms must match: {show(one)} and {show(two)}")
    if params.weight is not None and count(inputs[params.weight]) != count(one):
        raise ShapeError(
            f"a weight for each of {count(one)} numbers is wanted, bottom {params.weight} is "
            f"{show(inputs[params.weight])}"
        )
    if params.divisor is not None and not count(inputs[params.divisor]):
        raise ShapeError(f"bottom {params.divisor}, which divides the loss, is empty")
    return ((),)


def weighted_difference(params: ScaledLossParams, inputs: Arrays) -> AnyArray:
    """The first bottom less the second in float64, times its weight."""
    one, two = (np.asarray(x).reshape(-1).astype(np.float64) for x in inputs[:2])
    difference: AnyArray = one - two
    if params.weight is not None:
        difference = difference * np.asarray(inputs[params.weight]).reshape(-1)
    return difference


def divisor(params: ScaledLossParams, inputs: Arrays) -> float:
    """The images, times the first number of the bottom that divides."""
    by = 1.0 if params.divisor is None else float(inputs[params.divisor].reshape(-1)[0])
    return len(inputs[0]) * by


@quietly
def _scaled_loss(params: ScaledLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    difference = weighted_difference(params, inputs)
    loss = np.divide((difference**2).sum(), 2 * divisor(params, inputs))
    return (np.array(loss, inputs[0].dtype),)


def _scaled(name: str, bottoms: int) -> OpDef[ScaledLossParams]:
    return OpDef(
        name=name,
        arity=Arity((bottoms, bottoms), (1, 1), optional_top=True),
        params=_parse_loss,
        shape=_loss_shape,
        cost=per_input(3),
        window=full_extent,
        memory=copies(6),
        reference=_scaled_loss,
        loss=True,
        family="loss",
        host=True,
    )


SCALED_LOSS = _scaled("EuclideanLoss2", 3)
SCALED_WEIGHTED_LOSS = _scaled("EuclideanLoss3", 4)
WEIGHTED_LOSS = _scaled("EuclideanLoss4", 3)

OPS = (ALIGN, SCALED_LOSS, SCALED_WEIGHTED_LOSS, WEIGHTED_LOSS)
