"""Gradients of AlignDataTransform and of EuclideanLoss2, 3 and 4, as JAANet has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.mirrored_points import (
    ALIGN,
    SCALED_LOSS,
    SCALED_WEIGHTED_LOSS,
    WEIGHTED_LOSS,
    ScaledLossParams,
    divisor,
    partners_of,
    weighted_difference,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled


def _align(params: object, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """A partner's gradient, x turned: exact where partners are each other's."""
    placed = saved.inputs[1].reshape(len(saved.inputs[1]), -1)
    mirrored = placed[:, 0] != 0
    made = np.array(tops[0]).reshape(len(placed), -1, 2)
    if mirrored.any():
        turned = made[mirrored] * np.array([-1, 1], made.dtype)
        made[mirrored] = turned[:, partners_of(saved.inputs[2], made.shape[1])]
    return made.reshape(saved.shapes[0])


def _align_inexact(graph: Graph, node: Node) -> str:
    return "AlignDataTransform gives a partner's gradient, right where partners are each other's"


@np.errstate(all="ignore")
def _loss(params: ScaledLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The difference, weighted once: the loss has the square of the weight."""
    own = saved.inputs[index]
    slope = weighted_difference(params, saved.inputs) / divisor(params, saved.inputs)
    sign = -1 if index else 1
    return scaled((sign * slope).reshape(own.shape), tops[0], own.dtype.type(1), own)


def _loss_inexact(graph: Graph, node: Node) -> str:
    return f"{node.op} weights its gradient once, and its loss by the square"


def _behind_second(params: object, bottoms: int) -> Sequence[int]:
    return range(2, bottoms)


_PLAIN = Gradient(_loss, reads_all, stops=_behind_second, host=True)
_WEIGHTED = replace(_PLAIN, inexact=_loss_inexact)

GRADIENTS = gradients(
    of(
        ALIGN,
        Gradient(_align, Reads(inputs=(1, 2)), stops=(1, 2), inexact=_align_inexact, host=True),
    ),
    of(SCALED_LOSS, _PLAIN),
    of(SCALED_WEIGHTED_LOSS, _WEIGHTED),
    of(WEIGHTED_LOSS, _WEIGHTED),
)
