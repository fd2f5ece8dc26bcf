"""Gradients of losses of single projects, as their sources have them."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.project_losses import (
    CROSS_ENTROPY_LOSS,
    EUCLIDEAN_HEATMAP,
    GRAPH_LINKAGE,
    LEAST,
    MTCNN_LOSS,
    MTCNNParams,
    counted_rows,
    linkage,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled

_BOTH = Reads(inputs=(0, 1))


def _cross_entropy(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(1 - q) / (1 - p) - q / p over the number of elements."""
    p = saved.inputs[0]
    q, xp, least = saved.inputs[1].reshape(p.shape), namespace(p), p.dtype.type(LEAST)
    slope = (1 - q) / xp.maximum(1 - p, least) - q / xp.maximum(p, least)
    return scaled(slope, tops[0], p.dtype.type(max(1, p.size)), p)


def _cross_entropy_inexact(graph: Graph, node: Node) -> str:
    return "CrossEntropyLoss gives probabilities below 0.00001 the slope that it has there"


def _heatmap(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The difference, by both bottoms, whatever the loss's weight."""
    return saved.inputs[0] - saved.inputs[1]


def _heatmap_inexact(graph: Graph, node: Node) -> str:
    return "EuclideanLossHeatmap learns by the difference as it is, whatever its weight"


def _mtcnn(params: MTCNNParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The differences that count, over the number of items."""
    own = saved.inputs[index]
    rows = counted_rows(params, saved.inputs) * (1 if index == 0 else -1)
    return scaled(rows, tops[0], own.dtype.type(max(1, len(own))), own)


def _mtcnn_inexact(graph: Graph, node: Node) -> str | None:
    if node.params_as(MTCNNParams).ignored is None:
        return None
    return "MTCNNEuclideanLoss with labels is a sum and learns by the mean over the items"


@np.errstate(all="ignore")
def _linkage(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The derivative of the pairs with their width held, whatever the loss's weight."""
    found, own = linkage(saved.inputs), saved.inputs[0]
    far = found.pushes & (found.near > 0.5)
    pull = found.pulls / found.pulls.sum() - far / found.pushes.sum()
    slope = 2 * found.near * pull / found.width
    made = 2 * (slope[:, :, None] * found.apart).sum(axis=1)
    result: AnyArray = made.astype(own.dtype).reshape(own.shape)
    return result


def _linkage_inexact(graph: Graph, node: Node) -> str:
    return "GraphLinkageLoss holds the width of its affinities, and learns whatever its weight"


GRADIENTS = gradients(
    of(
        CROSS_ENTROPY_LOSS,
        Gradient(_cross_entropy, _BOTH, stops=(1,), inexact=_cross_entropy_inexact),
    ),
    of(
        EUCLIDEAN_HEATMAP,
        Gradient(_heatmap, _BOTH, ignored=(2,), inexact=_heatmap_inexact),
    ),
    of(MTCNN_LOSS, Gradient(_mtcnn, reads_all, stops=(2,), inexact=_mtcnn_inexact)),
    of(
        GRAPH_LINKAGE,
        Gradient(_linkage, _BOTH, stops=(1,), inexact=_linkage_inexact, host=True),
    ),
)
