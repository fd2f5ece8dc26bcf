"""Gradients of ManhattanLoss, K1_EuclideanLoss, K2_EuclideanLoss, SigmoidCrossEntropyBalanceLoss.

They are the forks' own; ``inexact`` says where that is not the derivative.
"""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.small_losses import (
    BALANCED_LOSS,
    K1_LOSS,
    K2_LOSS,
    MANHATTAN_EPSILON,
    MANHATTAN_LOSS,
    BinaryCodeParams,
    balanced_slopes,
)
from netc.ops.gradients.define import INPUT, Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled

_BOTH = Reads(inputs=(0, 1))


def _manhattan(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """d / (|d| + 0.001) over the number of items; its negative by the second bottom."""
    first, own = saved.inputs[0], saved.inputs[index]
    apart = first - saved.inputs[1].reshape(first.shape)
    size = namespace(first).abs(apart) + first.dtype.type(MANHATTAN_EPSILON)
    return scaled(apart / size * (1 - 2 * index), tops[0], own.dtype.type(max(1, len(own))), own)


def _manhattan_inexact(graph: Graph, node: Node) -> str:
    return "ManhattanLoss learns by d / (|d| + 0.001)"


def _binary_code(params: BinaryCodeParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    codes = saved.inputs[0]
    apart = (codes - codes.dtype.type(0.5)) * params.sign
    return scaled(apart, tops[0], codes.dtype.type(max(1, codes.size)), codes).reshape(
        saved.shapes[index]
    )


def _binary_code_inexact(graph: Graph, node: Node) -> str:
    return f"{node.op} gives its second bottom, which it does not read, the first one's gradient"


@np.errstate(all="ignore")
def _balanced(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, target = saved.inputs
    rows = data.reshape(len(data), -1)
    slopes = balanced_slopes(rows, target.reshape(rows.shape))
    return scaled(slopes, tops[0], data.dtype.type(max(1, len(data))), data)


GRADIENTS = gradients(
    of(MANHATTAN_LOSS, Gradient(_manhattan, _BOTH, inexact=_manhattan_inexact)),
    of(K1_LOSS, Gradient(_binary_code, INPUT, inexact=_binary_code_inexact)),
    of(K2_LOSS, Gradient(_binary_code, INPUT, inexact=_binary_code_inexact)),
    of(BALANCED_LOSS, Gradient(_balanced, _BOTH, stops=(1,))),
)
