"""Gradients of MMDLoss, EntropyLoss and OuterProduct, as Xlearn has them."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.adaptation import (
    ENTROPY_LOSS,
    MMD_LOSS,
    MMD_TERMS,
    OUTER_PRODUCT,
    EntropyParams,
    MMDParams,
    entropy_waits,
    mmd_drawn,
    mmd_rates,
    mmd_rows,
)
from netc.ops.gradients.define import INPUT, Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled

_BOTH = Reads(inputs=(0, 1))


def _mmd(params: MMDParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Of the samples' mean, with the width of the kernels held."""
    source, target, gamma = mmd_rows(saved.inputs)
    drawn, rates = mmd_drawn(params, saved.inputs), mmd_rates(params, gamma)
    sides = (source, source, target, target)
    chosen = [sides[row][drawn[row]] for row in range(4)]
    slopes = [np.zeros_like(source), np.zeros_like(target)]
    for sign, one, other in MMD_TERMS:
        difference = chosen[one] - chosen[other]
        square = (difference * difference).sum(axis=1)
        pull = (-2 * sign * rates[:, None] * np.exp(-rates[:, None] * square)).sum(axis=0)
        np.add.at(slopes[one // 2], drawn[one], pull[:, None] * difference)
        np.add.at(slopes[other // 2], drawn[other], -pull[:, None] * difference)
    own = saved.inputs[index]
    return scaled(slopes[index], tops[0], own.dtype.type(drawn.shape[1]), own)


def _mmd_inexact(graph: Graph, node: Node) -> str:
    return "MMDLoss tells a sum over samples, and learns by their mean with the kernels held"


@np.errstate(all="ignore")
def _entropy(params: EntropyParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """-(1 + log p) over the number of rows; 0 below the threshold."""
    p = saved.inputs[0]
    waits = entropy_waits(params, saved.inputs)
    slope = np.where(p < params.threshold, 0, -(1 + np.log(p))) * (not waits)
    return scaled(slope, tops[0], p.dtype.type(len(p)), p)


def _entropy_inexact(graph: Graph, node: Node) -> str:
    return "EntropyLoss tells the negative sum, and learns by the mean entropy"


def _outer(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    other, own = saved.inputs[1 - index], saved.shapes[index]
    xp, rows = namespace(other), len(other)
    top = tops[0].reshape(rows, tops[0].shape[2], tops[0].shape[3])
    factor = other.reshape(rows, -1)
    rule = "nij,nj->ni" if index == 0 else "nij,ni->nj"
    made: AnyArray = xp.einsum(rule, top, factor)
    return made.reshape(own)


def _reads_other(params: None, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(1 - index,))


GRADIENTS = gradients(
    of(MMD_LOSS, Gradient(_mmd, _BOTH, inexact=_mmd_inexact, host=True)),
    of(
        ENTROPY_LOSS,
        Gradient(_entropy, INPUT, stops=(1,), inexact=_entropy_inexact, host=True),
    ),
    of(OUTER_PRODUCT, Gradient(_outer, _reads_other)),
)
