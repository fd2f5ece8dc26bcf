"""Gradients of the deep hashing network's losses, as their source has them."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.deep_hashing import (
    PAIRWISE_OF_BATCH,
    QUANTIZATION_LOSS,
    AsymptoteParams,
    codes_and_likeness,
)
from netc.ops.gradients.define import INPUT, Gradient, Reads, Saved, gradients, of


@np.errstate(all="ignore")
def _pairs(params: AsymptoteParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """2 / n^2 times the sum over the pairs of (sigmoid(p) - s) times the other item's code."""
    rows, like = codes_and_likeness(saved.inputs)
    slope = 2 * (1 / (1 + np.exp(-(rows @ rows.T))) - like)
    made = slope @ rows * (float(tops[0]) / max(1, like.size))
    own = saved.inputs[0]
    result: AnyArray = made.astype(own.dtype).reshape(own.shape)
    return result


def _pairs_inexact(graph: Graph, node: Node) -> str | None:
    if node.params_as(AsymptoteParams).threshold < 0:
        return None
    return "the threshold of PairwiseLoss counts in the loss alone"


def _quantization(params: AsymptoteParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """sign(x) tanh(|x| - 1), divided by the number of items."""
    x = np.asarray(saved.inputs[0])
    slope = np.where(x >= 0, 1, -1) * np.tanh(np.abs(x.astype(np.float64)) - 1)
    result: AnyArray = (slope * (float(tops[0]) / max(1, len(x)))).astype(x.dtype)
    return result


def _quantization_inexact(graph: Graph, node: Node) -> str:
    return "QuantizationLoss is a mean over elements and learns by the mean over items"


GRADIENTS = gradients(
    of(
        PAIRWISE_OF_BATCH,
        Gradient(_pairs, Reads(inputs=(0, 1)), stops=(1,), inexact=_pairs_inexact, host=True),
    ),
    of(
        QUANTIZATION_LOSS,
        Gradient(_quantization, INPUT, inexact=_quantization_inexact, host=True),
    ),
)
