"""Losses of single projects, each with its source.

CrossEntropyLoss (cross_entropy_loss_layer.cpp of s-gupta's Caffe; Fang et al. 2015, visual
concepts), EuclideanLossHeatmap (euclidean_loss_heatmap_layer.cpp of tpfister/caffe-heatmap; Pfister
et al. 2015), MTCNNEuclideanLoss (mtcnn_euclidean_loss_layer.cpp of public MTCNN trainers) and
GraphLinkageLoss (graphlinkage_loss_layer.cpp of jwyang/JULE-Caffe; Yang et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import Contents, Whole
from netc.ops.cost import per_input
from netc.ops.define import (
    FLOAT,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    copies,
    erased,
    full_extent,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import check_batch
from netc.ops.loss import ONE_LOSS, scalar
from netc.schema.message import Message

LEAST = 1e-5  # of a probability, in logarithms and in what a slope is divided by


def _as_many(params: object, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs[:2])
    if count(inputs[0]) != count(inputs[1]):
        raise ShapeError(
            f"both bottoms must have as many elements: {show(inputs[0])}, {show(inputs[1])}"
        )
    return ((),)


# CrossEntropyLoss


@quietly
def _cross_entropy(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """-q log p - (1 - q) log(1 - p), the mean over all elements."""
    p, q = inputs[0], inputs[1].reshape(inputs[0].shape)
    xp, least = namespace(p), p.dtype.type(LEAST)
    total = -(q * xp.log(xp.maximum(p, least))).sum(dtype=np.float64)
    total -= ((1 - q) * xp.log(xp.maximum(1 - p, least))).sum(dtype=np.float64)
    return (scalar(total / max(1, p.size), p),)


def _told(layer: Message) -> TypeReading | None:
    return TypeReading(erased(CROSS_ENTROPY_LOSS), _READ_AS)


_READ_AS = (
    "type",
    "it is the mean over all elements, as in the visual concepts' Caffe; another fork divides by "
    "the items alone, and leaves out targets of -1",
    ("`loss_weight` may make up for the number of elements of an item",),
)

CROSS_ENTROPY_LOSS = OpDef(
    name="CrossEntropyLoss",
    arity=ONE_LOSS,
    params=no_params,
    shape=_as_many,
    cost=per_input(8),
    window=full_extent,
    memory=copies(8),
    reference=_cross_entropy,
    loss=True,
    family="loss",
    reading=_told,
)

# EuclideanLossHeatmap


def _heatmap_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs[:2]
    if len(data) != 4 or data != label or data[2] != data[3]:
        raise ShapeError(
            f"both bottoms must be square maps of one shape, they are {show(data)} and "
            f"{show(label)}",
            help=("of other maps Caffe compares elements that lie elsewhere",)
            if data == label
            else (),
        )
    return ((),)


@quietly
def _heatmap(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean square of the difference; a third bottom is only shown."""
    apart = inputs[0] - inputs[1]
    total = (apart * apart).sum(dtype=np.float64)
    return (scalar(total / max(1, apart.size), inputs[0]),)


EUCLIDEAN_HEATMAP = OpDef(
    name="EuclideanLossHeatmap",
    arity=Arity((2, 3), (1, 1), optional_top=True),
    params=no_params,
    shape=_heatmap_shape,
    cost=per_input(3),
    window=full_extent,
    reference=_heatmap,
    loss=True,
    family="loss",
)

# MTCNNEuclideanLoss


@dataclass(frozen=True, slots=True)
class MTCNNParams:
    """``ignored``: items with this label do not count; None without labels.

    ``shared``: what counts is divided by the numbers of an item, as in the release in which label 0
    alone is left out and no field says so.
    """

    ignored: int | None
    shared: bool


def _parse_mtcnn(layer: Message, context: LayerContext) -> MTCNNParams:
    loss = reject_unknown_fields(layer.get("loss_param"), "ignore_label", "normalization")
    if loss.has("ignore_label") and context.bottoms < 3:
        raise layer.error(
            "bottom",
            "bottom-count",
            "MTCNNEuclideanLoss with `ignore_label` takes 3 bottoms, the third the labels",
            "name the labels, or remove `ignore_label`",
        )
    if context.bottoms < 3:
        return MTCNNParams(None, False)
    given: int | None = loss.optional("ignore_label")
    return MTCNNParams(0 if given is None else given, given is None)


def _mtcnn_shape(params: MTCNNParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    _as_many(params, inputs)
    if len(inputs) > 2 and (count(inputs[0], 2) != 1 or count(inputs[2]) != inputs[0][0]):
        raise ShapeError(
            f"rows and a label for each are wanted: the bottoms are {show(inputs[0])} and "
            f"{show(inputs[2])}"
        )
    return ((),)


def counted_rows(params: MTCNNParams, inputs: Arrays) -> AnyArray:
    """The differences of the items that count, 0 for the others: (items, numbers)."""
    first = inputs[0]
    rows = (first - inputs[1].reshape(first.shape)).reshape(len(first), -1)
    if params.ignored is None:
        return rows
    kept = inputs[2].reshape(-1) != params.ignored
    return namespace(first).where(kept[:, None], rows, 0).astype(first.dtype)


@quietly
def _mtcnn(params: MTCNNParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the sum of squares: over the items without labels, as it is with them."""
    rows = counted_rows(params, inputs)
    total = (rows * rows).sum(dtype=np.float64) / 2
    if params.ignored is None:
        total = total / max(1, len(rows))
    return (scalar(total / (max(1, rows.shape[1]) if params.shared else 1), inputs[0]),)


def _mtcnn_contents(params: MTCNNParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return (None, None, Whole(2))[: len(inputs)]


MTCNN_LOSS = OpDef(
    name="MTCNNEuclideanLoss",
    arity=Arity((2, 3), (1, 1), optional_top=True),
    params=_parse_mtcnn,
    shape=_mtcnn_shape,
    cost=per_input(3),
    window=full_extent,
    memory=copies(4),
    reference=_mtcnn,
    loss=True,
    contents=_mtcnn_contents,
    family="loss",
)

# GraphLinkageLoss


def _parse_linkage(layer: Message, context: LayerContext) -> None:
    """`sigma` and `topK` do nothing there."""
    reject_unknown_fields(layer.get("graphlinkage_loss_param"), "sigma", "topK")


def _linkage_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    check_batch(data, label)
    if len(data) < 2 or count(data, 2) != 1 or count(label) != data[0]:
        raise ShapeError(
            f"rows and a label for each are wanted: the bottoms are {show(data)} and {show(label)}"
        )
    return ((),)


def _linkage_memory(params: None, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    items = inputs[0][0]
    return FLOAT * 2 * items * items * (8 + 2 * count(inputs[0], 1))


class Linkage(NamedTuple):
    """Every two items: ``apart`` (n, n, length), ``near`` their affinity, who ``pulls`` and pushes.

    Affinity is e^(-d / ``width``) of the squared distance d, the width being the mean of all d.
    """

    apart: AnyArray
    near: AnyArray
    width: AnyArray
    pulls: AnyArray
    pushes: AnyArray


def linkage(inputs: Arrays) -> Linkage:
    """The pairs of a batch, an item's with itself left out."""
    data, label = (np.asarray(array) for array in inputs[:2])
    rows, label = data.reshape(len(data), -1).astype(np.float64), label.reshape(-1)
    apart = rows[:, None] - rows[None]
    square = (apart * apart).sum(axis=2)
    width = square.mean()
    alike = label[:, None] == label[None]
    return Linkage(
        apart, np.exp(-square / width), width, alike & ~np.eye(len(rows), dtype=bool), ~alike
    )


@quietly
def _linkage(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean of 1 - a over pairs of a cluster, and of a above 1/2 over others.

    As in Caffe it is NaN where there are no pairs of one of both kinds.
    """
    found = linkage(inputs)
    inside = ((1 - found.near) * found.pulls).sum() / found.pulls.sum()
    between = (np.maximum(found.near - 0.5, 0) * found.pushes).sum() / found.pushes.sum()
    return (np.asarray(inside + between, inputs[0].dtype),)


def _linkage_contents(params: None, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(3)


GRAPH_LINKAGE = OpDef(
    name="GraphLinkageLoss",
    arity=ONE_LOSS,
    params=_parse_linkage,
    shape=_linkage_shape,
    cost=per_input(12),
    window=full_extent,
    memory=_linkage_memory,
    reference=_linkage,
    loss=True,
    contents=_linkage_contents,
    family="loss",
    host=True,
)

OPS = (CROSS_ENTROPY_LOSS, EUCLIDEAN_HEATMAP, MTCNN_LOSS, GRAPH_LINKAGE)
