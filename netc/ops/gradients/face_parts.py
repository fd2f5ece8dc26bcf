"""Gradients of Division, Combination and DiceCoefLoss; AUMaskBasedLand passes none in the fork."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.dice import DICE_LOSS, DiceParams, dice_parts
from netc.ops.forks.face_parts import COMBINATION, DIVISION, MASKS, PartsParams, part
from netc.ops.gradients.define import Gradient, Reads, Saved, every_bottom, gradients, of
from netc.ops.gradients.loss import scaled


def _divided(params: PartsParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each part's gradient at its place; where parts overlap, the last one's."""
    given = [top for top in tops if top is not None]
    made = namespace(given[0]).zeros(saved.shapes[0], given[0].dtype)
    for place, top in enumerate(tops):
        if top is not None:
            made[part(params, place, params.height, params.width)] = top
    return made


def _overlaps(params: PartsParams, sizes: list[tuple[int, int]]) -> bool:
    boxes = [
        (row, column, row + high, column + wide)
        for row, column, (high, wide) in zip(params.rows, params.columns, sizes, strict=True)
    ]
    return any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        for i, a in enumerate(boxes)
        for b in boxes[:i]
    )


def _division_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(PartsParams)
    sizes = [(params.height, params.width)] * len(params.rows)
    overlaps = _overlaps(params, sizes)
    return "the gradient of overlapping parts is the last one's" if overlaps else None


def _combined(params: PartsParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return tops[0][part(params, index, *saved.shapes[index][2:])].copy()


def _combination_inexact(graph: Graph, node: Node) -> str | None:
    shapes = [graph.shape(value) for value in node.inputs]
    sizes = [(shape[2], shape[3]) for shape in shapes]
    overlaps = _overlaps(node.params_as(PartsParams), sizes)
    return "parts under others learn as if they were on top" if overlaps else None


@np.errstate(all="ignore")
def _dice(params: DiceParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """2 (f a - b) / (a^2 + b^2 + smooth) of each item, f its fraction, not over the batch."""
    product, squares = dice_parts(params, saved.inputs)
    own, other = saved.inputs[index], saved.inputs[1 - index]
    fraction = product / squares
    rows = [x.reshape(len(x), -1).astype(np.float64) for x in (own, other)]
    made = (2 * fraction[:, None] * rows[0] - 2 * rows[1]) / squares[:, None]
    return scaled(made, tops[0], own.dtype.type(1), own)


def _dice_inexact(graph: Graph, node: Node) -> str | None:
    return "DiceCoefLoss tells a mean of absolute values, and learns by the sum of the values"


GRADIENTS = gradients(
    of(DIVISION, Gradient(_divided, inexact=_division_inexact)),
    of(COMBINATION, Gradient(_combined, inexact=_combination_inexact)),
    of(DICE_LOSS, Gradient(_dice, Reads(inputs=(0, 1)), inexact=_dice_inexact, host=True)),
    of(MASKS, Gradient(ignored=every_bottom)),
)
