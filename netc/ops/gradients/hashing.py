"""Gradients of HashingLoss, PairwiseLoss and ScaleTanH, as their forks have them."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.hashing import (
    HASHING_LOSS,
    PAIRWISE_LOSS,
    SCALE_TANH,
    HashingParams,
    PairwiseParams,
    ScaleTanHParams,
    hash_pairs,
    pair_weights,
    scale_of,
    similar_pairs,
)
from netc.ops.gradients.define import INPUT, Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled


def _scale_tanh(params: ScaleTanHParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    x = saved.inputs[0]
    scale = x.dtype.type(scale_of(params, saved.inputs))
    y = namespace(x).tanh(scale * x)
    result: AnyArray = tops[0] * (scale * (1 - y * y))
    return result


def _hashing(params: HashingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Of each pair half the derivative, and that of |(|x| - 1)|."""
    data = saved.inputs[0]
    pairs, items = hash_pairs(saved.inputs), len(data)
    pull = np.where(pairs.like, 1.0, -1.0 * (params.margin - pairs.square > 0))
    np.fill_diagonal(pull, 0)
    slopes = (pull[:, :, None] * pairs.apart).sum(axis=1) / max(1, items * (items - 1))
    x = data.reshape(items, -1)
    rising = (x >= 1) | ((x <= 0) & (x >= -1))
    slopes += params.tradeoff / items * np.where(rising, 1.0, -1.0)
    return scaled(slopes, tops[0], data.dtype.type(1), data)


def _hashing_inexact(graph: Graph, node: Node) -> str:
    return "HashingLoss learns by half the derivative of its pairs"


@np.errstate(all="ignore")
def _pairwise(params: PairwiseParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Twice the derivative, times 4 and the shared labels if these count, without loss_weight."""
    found = similar_pairs(params, saved.inputs)
    weight = pair_weights(params, found)
    slope = 2 * weight * (1 / (1 + np.exp(-found.product)) - found.like)
    if params.continuous:
        slope = slope * 4 * found.shared
    total = np.abs(np.where(found.like & found.known, params.similar, found.known * 1.0)).sum()
    first, second = (np.asarray(saved.inputs[i]) for i in (0, 2))
    rows = [a.reshape(len(a), -1).astype(np.float64) for a in (first, second)]
    made = slope @ rows[1] if index == 0 else slope.T @ rows[0]
    made = made * (params.scale * params.share / (total if total > 0 else 1))
    own = saved.inputs[index]
    return made.astype(own.dtype).reshape(own.shape)


def _pairwise_inexact(graph: Graph, node: Node) -> str:
    return "PairwiseLoss learns by twice the derivative, whatever its weight"


GRADIENTS = gradients(
    of(SCALE_TANH, Gradient(_scale_tanh, INPUT)),
    of(
        HASHING_LOSS,
        Gradient(_hashing, Reads(inputs=(0, 1)), stops=(1,), inexact=_hashing_inexact, host=True),
    ),
    of(
        PAIRWISE_LOSS,
        Gradient(
            _pairwise,
            Reads(inputs=(0, 1, 2, 3)),
            stops=(1, 3),
            inexact=_pairwise_inexact,
            host=True,
        ),
    ),
)
