"""Gradients of losses, as the ``Backward_cpu`` of BVLC's ``<name>_loss_layer.cpp``.

The top's gradient is a scalar, shape (): the loss's weight in the net's loss.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.contrastive_loss import CONTRASTIVE_LOSS, ContrastiveLossParams, alike
from netc.ops.cross_entropy import (
    MULTINOMIAL_LOGISTIC_LOSS,
    SIGMOID_CROSS_ENTROPY_LOSS,
    SOFTMAX_WITH_LOSS,
    SOFTMAX_WITH_LOSS_EACH,
    SigmoidLossParams,
    SoftmaxLossParams,
    split_at,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.infogain_loss import INFOGAIN_LOSS, InfogainLossParams, infogain_matrix
from netc.ops.labels import class_labels, divisor, label_weights
from netc.ops.loss import EUCLIDEAN_LOSS, HINGE_LOSS, LOG_THRESHOLD, HingeLossParams, hinge_margins
from netc.ops.normalization import softmax

_BOTH = Reads(inputs=(0, 1))


def scaled(array: AnyArray, top: AnyArray, by: AnyArray | float, data: AnyArray) -> AnyArray:
    """``array`` times the loss's weight ``top`` over a divisor, in ``data``'s shape and dtype."""
    scale = (top / by).astype(data.dtype) if hasattr(top / by, "astype") else top / by
    result: AnyArray = (array * scale).astype(data.dtype).reshape(data.shape)
    return result


def _softmax_loss(params: SoftmaxLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(p - 1 at the label) / divisor, 0 where the label is left out (softmax_loss_layer.cpp)."""
    data, label = saved.inputs
    axis = params.axis % data.ndim
    outer, _, inner = split_at(data.shape, axis)
    slope, kept = by_label(data, label, axis, params.ignore_label)
    if params.weights is not None:
        labels = label.reshape(outer, 1, inner)
        chosen, _ = class_labels(labels, data.shape[axis], params.ignore_label)
        slope = slope * label_weights(params.weights, chosen, kept, data)
    return scaled(slope, tops[0], divisor(params.normalization, outer, inner, kept.sum()), data)


def by_label(
    data: AnyArray, label: AnyArray, axis: int, ignored: int | None
) -> tuple[AnyArray, AnyArray]:
    """Gradient of a softmax cross entropy by the scores, and which predictions count.

    The probabilities less 1 at the label, (items, classes, places), 0 where a label is left out.

    Raises:
        NetcError: label-out-of-range.
    """
    xp = namespace(data)
    outer, classes, inner = split_at(data.shape, axis)
    chosen, kept = class_labels(label.reshape(outer, 1, inner), classes, ignored)
    prob = softmax(data, axis).reshape(outer, classes, inner)
    hot = xp.arange(classes).reshape(1, -1, 1) == chosen
    return xp.where(kept, prob - hot, 0), kept


def _euclidean(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(a - b) / number by a, its negative by b (euclidean_loss_layer.cpp)."""
    first, second = saved.inputs
    difference = first.reshape(-1) - second.reshape(-1)
    own = saved.inputs[index]
    return scaled(difference if index == 0 else -difference, tops[0], _number(own), own)


def _number(data: AnyArray) -> AnyArray:
    result: AnyArray = data.dtype.type(data.shape[0])
    return result


def _hinge(params: HingeLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, label = saved.inputs
    xp = namespace(data)
    sign, margins = hinge_margins(data, label)
    slope = 2 * margins if params.norm == "L2" else xp.sign(margins)
    return scaled(sign * slope, tops[0], _number(data), data)


_DIFFERENCE = 1e-4  # what the distance is made greater by, contrastive_loss_layer.cpp


def _contrastive(params: ContrastiveLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    first, second = saved.inputs[:2]
    xp, number, kind = namespace(first), first.shape[0], first.dtype.type
    difference = (first - second.reshape(first.shape)).reshape(number, count(first.shape, 1))
    squares = (difference * difference).sum(axis=1, keepdims=True)
    if params.legacy_version:
        room = kind(params.margin) - squares
        push = xp.where(room > 0, kind(-1), kind(0))
    else:
        distance = xp.sqrt(squares)
        room = kind(params.margin) - distance
        push = xp.where(room > 0, -room / (distance + kind(_DIFFERENCE)), kind(0))
    factor = xp.where(alike(saved.inputs)[:, None], kind(1), push)
    own = saved.inputs[index]
    return scaled(factor * difference * (1 if index == 0 else -1), tops[0], _number(own), own)


def _stops_labels(params: ContrastiveLossParams, bottoms: int) -> Sequence[int]:
    return range(2, bottoms)


def _contrastive_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(ContrastiveLossParams)
    return None if params.legacy_version else "Caffe adds 0.0001 to the distance"


def _infogain(params: InfogainLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """p * the sum of the label's row - the row, 0 where the label is left out."""
    data, label = saved.inputs[:2]
    xp = namespace(data)
    outer, classes, inner = split_at(data.shape, params.axis % data.ndim)
    matrix = infogain_matrix(params, saved.inputs, classes)
    chosen, kept = class_labels(label.reshape(outer, inner), classes, params.ignore_label)
    prob = softmax(data, params.softmax_axis % data.ndim).reshape(outer, classes, inner)
    rows = xp.moveaxis(matrix[chosen], -1, 1)
    slope = prob * rows.sum(axis=1, keepdims=True) - rows
    by = divisor(params.normalization, outer, inner, kept.sum())
    return scaled(xp.where(kept[:, None], slope, 0), tops[0], by, data)


def _infogain_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(InfogainLossParams)
    axes = len(graph.shape(node.inputs[0]))
    if params.axis % axes == params.softmax_axis % axes:
        return None
    return "Caffe takes both axes for one"


def _multinomial(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """-1 / p at the label."""
    data, label = saved.inputs
    xp, number, classes = namespace(data), data.shape[0], count(data.shape, 1)
    chosen, _ = class_labels(label.reshape(number, 1), classes)
    prob = data.reshape(number, classes)
    hot = xp.arange(classes) == chosen
    slope = xp.where(hot, -1 / xp.maximum(prob, data.dtype.type(LOG_THRESHOLD)), 0)
    return scaled(slope, tops[0], _number(data), data)


def _sigmoid_loss(params: SigmoidLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """sigmoid(x) - target, 0 where the target is left out."""
    data, target = saved.inputs[0], saved.inputs[1].reshape(saved.shapes[0])
    xp = namespace(data)
    kept = xp.ones(data.shape, dtype=bool)
    if params.ignore_label is not None:
        kept = xp.trunc(target) != params.ignore_label
    by = divisor(params.normalization, data.shape[0], count(data.shape, 1), kept.sum())
    return scaled(xp.where(kept, sigmoid(data) - target, 0), tops[0], by, data)


_SOFTMAX = Gradient(_softmax_loss, _BOTH, stops=(1,), tops=(0,))

GRADIENTS = gradients(
    of(SOFTMAX_WITH_LOSS, _SOFTMAX),
    of(SOFTMAX_WITH_LOSS_EACH, _SOFTMAX),
    of(EUCLIDEAN_LOSS, Gradient(_euclidean, _BOTH)),
    of(HINGE_LOSS, Gradient(_hinge, _BOTH, stops=(1,))),
    of(
        CONTRASTIVE_LOSS,
        Gradient(_contrastive, reads_all, stops=_stops_labels, inexact=_contrastive_inexact),
    ),
    of(
        INFOGAIN_LOSS,
        Gradient(_infogain, reads_all, stops=(1, 2), tops=(0,), inexact=_infogain_inexact),
    ),
    of(MULTINOMIAL_LOGISTIC_LOSS, Gradient(_multinomial, _BOTH, stops=(1,))),
    of(SIGMOID_CROSS_ENTROPY_LOSS, Gradient(_sigmoid_loss, _BOTH, stops=(1,))),
)
