"""Losses of forks: L1Loss, LiftedStructSimilaritySoftmaxLoss and weighted cross entropy.

l1loss_layer.cu of lmb-freiburg/flownet2 and l1_loss_layer.cpp of SeokjuLee/VPGNet, whose loss is
that of the former without fields; lifted_struct_similarity_softmax_layer.cpp of the Caffe of Oh
Song et al. 2016 (rksltnl); sigmoid_cross_entropy_loss_layer.cpp of daijifeng001/caffe-mnc.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import label_of_example
from netc.ops.cost import per_input
from netc.ops.define import (
    FLOAT,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import check_batch
from netc.ops.loss import ONE_LOSS
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class L1Params:
    """How the differences of two bottoms, or the elements of one, become a loss.

    Args:
        per_place: at each place the root of the sum of squares over the channels, else absolute
            values.
        scaled: with ``per_place``, the mean of squares in place of their sum.
        entries: divide by the number of differences that are not NaN over the channels, else by the
            batch.
        epsilon: added under the root.
        plateau: differences, or roots with ``per_place``, smaller than this count as 0.
    """

    per_place: bool
    scaled: bool
    entries: bool
    epsilon: float
    plateau: float


def _parse_l1(layer: Message, context: LayerContext) -> L1Params:
    names = ("l2_per_location", "l2_prescale_by_channels", "normalize_by_num_entries", "epsilon",
             "plateau")  # fmt: skip
    p = reject_unknown_fields(layer.get("l1_loss_param"), *names)
    return L1Params(*(p.get(name) for name in names))


def _l1_shape(params: L1Params, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if len(inputs) == 2:
        check_batch(*inputs)
        if count(inputs[0]) != count(inputs[1]):
            raise ShapeError(
                f"both bottoms must have as many elements: {show(inputs[0])}, {show(inputs[1])}"
            )
    if params.per_place and len(inputs[0]) < 2:
        raise ShapeError(f"the bottom has no channels to sum over, it is {show(inputs[0])}")
    return ((),)


def l1_slopes(params: L1Params, inputs: Arrays) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The loss of each difference or place, its derivative by the difference, and the divisor.

    A difference that is NaN (the truth is not known) counts 0. A place below the plateau counts the
    root of epsilon, as in the fork.
    """
    xp, first = namespace(inputs[0]), inputs[0]
    difference = first - inputs[1].reshape(first.shape) if len(inputs) == 2 else first
    known = ~xp.isnan(difference)
    difference = xp.where(known, difference, 0)
    channels = first.shape[1] if first.ndim > 1 else 1
    divisor = known.sum() / channels if params.entries else xp.asarray(max(1, len(first)))
    if not params.per_place:
        counted = known & (xp.abs(difference) >= params.plateau)
        return xp.abs(difference) * counted, xp.sign(difference) * counted, divisor
    share = 1 / channels if params.scaled else 1
    square = share * (difference * difference).sum(axis=1, keepdims=True)
    counted = square >= params.plateau**2
    size = xp.sqrt(square * counted + params.epsilon)
    return size, known * counted * share * difference / size, divisor


@quietly
def _l1(params: L1Params, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    each, _, divisor = l1_slopes(params, inputs)
    xp = namespace(inputs[0])
    total = each.sum(dtype=np.float64) / divisor
    return (xp.asarray(total, dtype=inputs[0].dtype).reshape(()),)


L1_LOSS = OpDef(
    name="L1Loss",
    arity=Arity((1, 2), (1, 1), optional_top=True),
    params=_parse_l1,
    shape=_l1_shape,
    cost=per_input(3),
    window=full_extent,
    memory=copies(8),
    reference=_l1,
    loss=True,
    family="loss",
)


@dataclass(frozen=True, slots=True)
class LiftedParams:
    """``margin``: distance that examples of different classes should have."""

    margin: float


def _parse_lifted(layer: Message, context: LayerContext) -> LiftedParams:
    p = reject_unknown_fields(layer.get("lifted_struct_sim_softmax_loss_param"), "margin")
    return LiftedParams(p.get("margin"))


def _lifted_shape(params: LiftedParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    check_batch(data, label)
    if count(data, 2) != 1 or count(label, 1) != 1:
        raise ShapeError(
            f"rows of features and one label each are wanted: {show(data)} and {show(label)}"
        )
    return ((),)


def distances(rows: AnyArray) -> AnyArray:
    """Euclidean distance of every two rows, (n, n), of (n, length)."""
    square = (rows * rows).sum(axis=1)
    squared = square[:, None] + square[None] - 2 * rows @ rows.T
    result: AnyArray = np.sqrt(np.maximum(squared, 0))
    return result


@dataclass(frozen=True, slots=True)
class ExamplePair:
    """Two examples of one class, ``one`` and ``other``, and their loss before it is squared.

    ``share`` (2, n) is the softmax over the examples of other classes, seen from either.
    """

    one: int
    other: int
    loss: float
    share: AnyArray


def pairs_of(params: LiftedParams, far: AnyArray, label: AnyArray) -> Iterator[ExamplePair]:
    """Every two examples of one class, in rising order of their indices.

    Args:
        params: the layer's parameters.
        far: distances (n, n).
        label: (n,).

    Where a batch has one class alone Caffe takes the maximum of nothing; here a pair's loss is 0.
    """
    unlike = label[:, None] != label[None]
    for one, other in zip(*np.nonzero(np.triu(~unlike, 1)), strict=True):
        near = np.where(unlike[[one, other]], params.margin - far[[one, other]], -np.inf)
        largest = near.max(initial=-np.inf)
        if not np.isfinite(largest):
            yield ExamplePair(int(one), int(other), 0.0, np.zeros_like(near))
            continue
        weights = np.exp(near - largest)
        soft = np.log(weights.sum()) + largest
        loss = max(0.0, float(soft + far[one, other]))
        yield ExamplePair(int(one), int(other), loss, weights / weights.sum())


def _lifted(params: LiftedParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the mean, over the pairs, of the square of distance plus soft maximum of margins."""
    data = np.asarray(inputs[0])
    rows = data.reshape(len(data), -1).astype(np.float64)
    losses = [p.loss**2 for p in pairs_of(params, distances(rows), _labels(inputs))]
    total = sum(losses) / len(losses) / 2 if losses else np.nan  # Caffe divides by no pairs
    return (np.asarray(total, data.dtype),)


def _labels(inputs: Arrays) -> AnyArray:
    return np.asarray(inputs[1]).reshape(-1)


def lifted_slopes(params: LiftedParams, inputs: Arrays) -> AnyArray:
    """The gradient by the rows, (n, length), as in Forward_cpu of the fork's layer."""
    rows = np.asarray(inputs[0]).reshape(len(inputs[0]), -1).astype(np.float64)
    far = distances(rows)
    pull, number = np.zeros_like(far), 0  # the loss's slope by each distance
    for pair in pairs_of(params, far, _labels(inputs)):
        pull[pair.one, pair.other] += 2 * pair.loss
        np.add.at(pull, [pair.one, pair.other], -2 * pair.loss * pair.share)
        number += 1
    with np.errstate(all="ignore"):
        each = np.where(pull != 0, pull / far, 0)[:, :, None] * (rows[:, None] - rows[None])
        result: AnyArray = (each.sum(axis=1) - each.sum(axis=0)) / (2 * np.float64(number))
        return result


def _lifted_memory(params: LiftedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    number = inputs[0][0]
    return FLOAT * (16 * number * number + 6 * number * count(inputs[0]))


LIFTED_STRUCT = OpDef(
    name="LiftedStructSimilaritySoftmaxLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_lifted,
    shape=_lifted_shape,
    cost=per_input(10),
    window=full_extent,
    memory=_lifted_memory,
    reference=_lifted,
    contents=label_of_example,
    loss=True,
    family="loss",
    host=True,
)


def _weighted_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for index, shape in enumerate(inputs[1:], 1):
        if count(shape) != count(inputs[0]):
            raise ShapeError(
                f"all bottoms must have as many elements: bottom {index} is {show(shape)} and the "
                f"first is {show(inputs[0])}"
            )
    return ((),)


@quietly
def _weighted(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The weighted mean of the losses; 0 where no weight is above 0."""
    xp, x = namespace(inputs[0]), inputs[0].reshape(-1)
    target, weight = (array.reshape(-1) for array in inputs[1:])
    each = xp.log1p(xp.exp(-xp.abs(x))) + xp.maximum(x, 0) - x * target
    total = weight.sum(dtype=np.float64)
    loss = (weight * each).sum(dtype=np.float64) / xp.where(total > 0, total, 1)
    return (xp.asarray(xp.where(total > 0, loss, 0), dtype=x.dtype).reshape(()),)


WEIGHTED_CROSS_ENTROPY = OpDef(
    name="SigmoidCrossEntropyLossWeighted",
    arity=Arity((3, 3), (1, 1), optional_top=True),
    params=no_params,
    shape=_weighted_shape,
    cost=per_input(6),
    window=full_extent,
    memory=copies(6),
    reference=_weighted,
    loss=True,
    family="loss",
)

READINGS = (WEIGHTED_CROSS_ENTROPY,)
OPS = (L1_LOSS, LIFTED_STRUCT)


def _parse_svr(layer: Message, context: LayerContext) -> L1Params:
    """SVRLoss of BVLC's pull request 5779 (svr_loss_layer.cpp): absolute differences, no fields."""
    return L1Params(False, False, False, 0.0, 0.0)


OTHER_NAMES = {"SVRLoss": replace(L1_LOSS, arity=ONE_LOSS, params=_parse_svr)}
