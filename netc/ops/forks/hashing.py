"""Layers of hashing nets: HashingLoss (Liu et al. 2016), PairwiseLoss and ScaleTanH (HashNet).

hashing_loss_layer.cpp of lhmRyan/deep-supervised-hashing-DSH; pairwise_loss_layer.cu and
scale_tanh_layer.cpp of thuml/HashNet (Cao et al. 2017, arXiv:1702.00758).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.cost import per_input, per_output
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
    same_shape,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import check_batch
from netc.ops.numbers import number
from netc.ops.random import iteration_of
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ScaleTanHParams:
    """tanh(scale * x); the scale is ``first`` * (1 + ``gamma`` * n)^``power``.

    n is the number of passes, kept at a multiple of ``step``; before the first one, 0.
    """

    first: float
    step: int
    gamma: float
    power: float

    def scale(self, passes: int) -> float:
        """The scale at a pass; that of the net's set-up counts as one."""
        kept = passes - passes % self.step
        return float(self.first * (1 + self.gamma * kept) ** self.power)


def _parse_scale(layer: Message, context: LayerContext) -> ScaleTanHParams:
    names = ("init_scale", "step_size", "gamma", "power")
    p = reject_unknown_fields(layer.get("scale_tanh_param"), *names)
    return ScaleTanHParams(
        p.get("init_scale"), number(p, "step_size", 1), p.get("gamma"), p.get("power")
    )


def scale_of(params: ScaleTanHParams, inputs: Arrays) -> float:
    """The scale of this pass; ``inputs`` may have the generator's key second."""
    return params.scale(2 + (iteration_of(inputs[1]) if len(inputs) > 1 else 0))


def _scale_tanh(params: ScaleTanHParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = inputs[0]
    return (namespace(x).tanh(x.dtype.type(scale_of(params, inputs)) * x),)


SCALE_TANH = OpDef(
    name="ScaleTanH",
    arity=ONE_TO_ONE,
    params=_parse_scale,
    shape=same_shape,
    cost=per_output(5),
    reference=_scale_tanh,
    draws=lambda params: params.power != 0 and params.gamma != 0,
    in_place=True,
    family="activation",
)


@dataclass(frozen=True, slots=True)
class HashingParams:
    """``margin`` of the squared distance of unlike codes; ``tradeoff`` weighs |x| being near 1."""

    margin: float
    tradeoff: float


def _parse_hashing(layer: Message, context: LayerContext) -> HashingParams:
    p = reject_unknown_fields(layer.get("hashing_loss_param"), "bi_margin", "tradeoff")
    return HashingParams(p.get("bi_margin"), p.get("tradeoff"))


def _codes_shape(params: object, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data = inputs[0]
    check_batch(data, inputs[1])
    if len(data) < 2 or count(data, 2) != 1:
        raise ShapeError(f"rows of codes are wanted, the bottom is {show(data)}")
    return ((),)


def _pairs_memory(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    items = inputs[0][0]
    return FLOAT * 2 * items * (8 * items + 4 * count(inputs[0], 1))


class HashPairs(NamedTuple):
    """Every two items: ``apart`` (n, n, length), squared distances and likeness, both (n, n)."""

    apart: AnyArray
    square: AnyArray
    like: AnyArray


def hash_pairs(inputs: Arrays) -> HashPairs:
    """The pairs of a batch; items are alike by equal labels, or by a common one of several."""
    data, label = (np.asarray(array) for array in inputs[:2])
    rows = data.reshape(len(data), -1).astype(np.float64)
    label = label.reshape(len(data), -1).astype(np.float64)
    apart = rows[:, None] - rows[None]
    square = (apart * apart).sum(axis=2)
    if label.shape[1] > 1:
        return HashPairs(apart, square, label @ label.T > 0)
    whole = np.trunc(label[:, 0])
    return HashPairs(apart, square, whole[:, None] == whole[None])


@quietly
def _hashing(params: HashingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    pairs, rows = hash_pairs(inputs), np.asarray(inputs[0]).astype(np.float64)
    items = len(rows)
    each = np.where(pairs.like, pairs.square, np.maximum(params.margin - pairs.square, 0))
    loss = np.triu(each, 1).sum() / np.float64(items * (items - 1))
    loss += params.tradeoff * np.abs(np.abs(rows) - 1).sum() / items
    return (np.asarray(loss, inputs[0].dtype),)


HASHING_LOSS = OpDef(
    name="HashingLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_hashing,
    shape=_codes_shape,
    cost=per_input(12),
    window=full_extent,
    memory=_pairs_memory,
    reference=_hashing,
    loss=True,
    family="loss",
    host=True,
)


@dataclass(frozen=True, slots=True)
class PairwiseParams:
    """PairwiseLoss's fields.

    Args:
        threshold: products from here on count as they are; below 0 for none.
        share: ``l_lambda``, a factor of the gradient; the loss is 0 where it is not above 0.
        similar: ``class_num``, the weight of a similar pair.
        scale: of the products, ``sigmoid_param``.
        continuous: the gradient is weighed by how many labels a pair shares.
    """

    threshold: float
    share: float
    similar: float
    scale: float
    continuous: bool


def _parse_pairwise(layer: Message, context: LayerContext) -> PairwiseParams:
    names = ("l_threshold", "l_lambda", "class_num", "sigmoid_param", "continous_similarity",
             "q_threshold", "q_gamma", "axis")  # fmt: skip  # the last three do nothing there
    p = reject_unknown_fields(layer.get("pairwise_param"), *names)
    return PairwiseParams(*(p.get(name) for name in names[:5]))


def _pairwise_shape(params: PairwiseParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for data, label in (inputs[:2], inputs[2:]):
        check_batch(data, label)
    for one, other in ((inputs[0], inputs[2]), (inputs[1], inputs[3])):
        if one[0] != other[0] or count(one, 1) != count(other, 1):
            raise ShapeError(f"both halves must be alike: {show(one)} and {show(other)}")
    return ((),)


class Similar(NamedTuple):
    """Two batches' pairs, (n, n) each: ``known``, ``like``, their products and shared labels."""

    known: AnyArray
    like: AnyArray
    product: AnyArray
    shared: AnyArray


def similar_pairs(params: PairwiseParams, inputs: Arrays) -> Similar:
    """The pairs of the first batch's items with the second's."""
    first, label, second, others = (
        np.asarray(a).reshape(len(a), -1).astype(np.float64) for a in inputs[:4]
    )
    common = label @ others.T
    size = [np.where(s == 0, 1, s) for s in ((label**2).sum(axis=1), (others**2).sum(axis=1))]
    shared = common**2 / (size[0][:, None] * size[1][None])
    shared = np.where(shared == 0, 0.25, shared)
    known = (common >= 0) & (common < label.shape[1])
    product = params.scale * (first @ second.T)
    return Similar(known, known & (common > 0), product, shared)


def pair_weights(params: PairwiseParams, found: Similar) -> AnyArray:
    """What each pair counts: 0 where nothing is known of it."""
    return found.known * np.where(found.like, params.similar, 1.0)


@quietly
def _pairwise(params: PairwiseParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The weighted mean of log(1 + e^p) - s p, with products p and s = 1 for similar pairs."""
    found = similar_pairs(params, inputs)
    p, weight = found.product, pair_weights(params, found)
    each = np.logaddexp(0, p) - found.like * p
    if params.threshold >= 0:
        each = np.where(p >= params.threshold, p * ~found.like, each)
    total = np.abs(weight).sum()
    loss = np.abs(each * weight).sum() / (total if total > 0 else 1) * (params.share > 0)
    return (np.asarray(loss, inputs[0].dtype),)


def _of_one_batch(layer: Message) -> TypeReading | None:
    """The deep hashing network's PairwiseLoss compares a batch with itself: it has two bottoms."""
    if len(layer.get("bottom")) != 2:
        return None
    from netc.ops.forks.deep_hashing import PAIRWISE_OF_BATCH

    return TypeReading(erased(PAIRWISE_OF_BATCH))


PAIRWISE_LOSS = OpDef(
    name="PairwiseLoss",
    arity=Arity((4, 4), (1, 1), optional_top=True),
    params=_parse_pairwise,
    shape=_pairwise_shape,
    cost=per_input(12),
    window=full_extent,
    memory=copies(24),
    reference=_pairwise,
    loss=True,
    family="loss",
    host=True,
    reading=_of_one_batch,
)

OPS = (SCALE_TANH, HASHING_LOSS, PAIRWISE_LOSS)
