"""Layers of domain adaptation: MMDLoss, EntropyLoss and OuterProduct of thuml/Xlearn.

mmd_layer.cu (Long et al. 2015, arXiv:1502.02791), entropy_loss_layer.cu and outerproduct_layer.cu.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input, per_output
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
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.labels import check_batch
from netc.ops.numbers import number
from netc.ops.random import iteration_of, layer_number, uniform
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class MMDParams:
    """A sum of ``kernels`` Gaussians, each ``factor`` times as narrow as the one before.

    ``seed`` is the layer's number for the generator.
    """

    kernels: int
    factor: float
    seed: int


def _parse_mmd(layer: Message, context: LayerContext) -> MMDParams:
    p = reject_unknown_fields(layer.get("mmd_param"), "kernel_num", "kernel_mul", "fix_gamma")
    if p.get("fix_gamma"):
        raise bad_value(p, "fix_gamma", "must be false", "the width follows each batch")
    return MMDParams(
        number(p, "kernel_num", 1), p.get("kernel_mul"), layer_number(layer.get("name"))
    )


def _mmd_shape(params: MMDParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    source, target = inputs[:2]
    if not source or not target or count(source, 1) != count(target, 1):
        raise ShapeError(
            f"items of both bottoms must be as long: {show(source)} and {show(target)}"
        )
    if min(source[0], target[0]) < 2:
        raise ShapeError(f"two items of each are needed: {show(source)} and {show(target)}")
    return ((),)


def _mmd_memory(params: MMDParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    items = inputs[0][0] + inputs[1][0]
    return FLOAT * 2 * (6 * items * items + 6 * sum(map(count, inputs)))


def mmd_rows(inputs: Arrays) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Rows of source and target, and the rates of all kernels but for their factors, () ."""
    source, target = (np.asarray(a).reshape(len(a), -1).astype(np.float64) for a in inputs[:2])
    rows = np.concatenate([source, target])
    size = (rows * rows).sum(axis=1)
    far = np.maximum(size[:, None] + size[None] - 2 * rows @ rows.T, 0)
    np.fill_diagonal(far, 0)
    items, total = len(rows), far.sum()
    return source, target, np.asarray((items * items - items) / (total if total > 0 else 1))


def mmd_rates(params: MMDParams, gamma: AnyArray) -> AnyArray:
    """The kernels' rates: exp(-rate * squared distance), (kernels,)."""
    first = gamma / params.factor ** (params.kernels // 2)
    return first * params.factor ** np.arange(params.kernels)


def mmd_drawn(params: MMDParams, inputs: Arrays) -> AnyArray:
    """Two source and two target items of each sample, unlike each other: int (4, samples).

    The numbers are netc's own, by the net's seed and the iteration; the same in both passes.
    """
    sizes = [len(inputs[0]), len(inputs[1])]
    key = inputs[2] if len(inputs) > 2 else None
    drawn = np.asarray(uniform(inputs[0], (4, max(sizes)), params.seed, key), np.float64)
    places = [
        np.minimum((drawn[row] * sizes[row // 2]).astype(np.int64), sizes[row // 2] - 1)
        for row in range(4)
    ]
    for one, other, size in ((0, 1, sizes[0]), (2, 3, sizes[1])):
        places[other] = np.where(
            places[one] == places[other], (places[other] + 1) % size, places[other]
        )
    return np.stack(places)


# Sign, and which of both items of a term: (source, s1, s2), (source s1, target t2) ...
MMD_TERMS = ((1, 0, 1), (1, 2, 3), (-1, 0, 3), (-1, 1, 2))


def _mmd(params: MMDParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """k(s1, s2) + k(t1, t2) - k(s1, t2) - k(s2, t1), over as many samples as the larger batch.

    The loss told is their sum, the gradient that of their mean, as in the fork.
    """
    source, target, gamma = mmd_rows(inputs)
    drawn, rates, total = mmd_drawn(params, inputs), mmd_rates(params, gamma), 0.0
    chosen = [(source, source, target, target)[row][drawn[row]] for row in range(4)]
    for sign, one, other in MMD_TERMS:
        square = ((chosen[one] - chosen[other]) ** 2).sum(axis=1)
        total += sign * float(np.exp(-rates[:, None] * square).sum())
    return (np.asarray(total, inputs[0].dtype),)


MMD_LOSS = OpDef(
    name="MMDLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_mmd,
    shape=_mmd_shape,
    cost=per_input(20),
    window=full_extent,
    memory=_mmd_memory,
    reference=_mmd,
    draws=lambda params: True,
    loss=True,
    family="loss",
    host=True,
)


@dataclass(frozen=True, slots=True)
class EntropyParams:
    """Probabilities below ``threshold`` teach nothing, and nothing does before ``first`` passes.

    The layer has ``bottoms`` bottoms; a generator's key comes behind them.
    """

    threshold: float
    first: int
    bottoms: int


def _parse_entropy(layer: Message, context: LayerContext) -> EntropyParams:
    names = ("threshold", "ignore_label", "iterations_num")  # the label does nothing there
    p = reject_unknown_fields(layer.get("entropy_param"), *names)
    return EntropyParams(p.get("threshold"), p.get("iterations_num"), context.bottoms)


def _entropy_shape(params: EntropyParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if len(inputs[0]) < 2:
        raise ShapeError(f"rows of probabilities are wanted, the bottom is {show(inputs[0])}")
    if len(inputs) > 1:
        check_batch(inputs[0], inputs[1])
    return ((),)


def entropy_waits(params: EntropyParams, inputs: Arrays) -> bool:
    """Whether the layer does not count yet; the key behind the bottoms has the iteration."""
    keyed = len(inputs) > params.bottoms
    return (iteration_of(inputs[params.bottoms]) if keyed else 0) < params.first


_MIN_PROBABILITY = 1e-5  # smaller probabilities do not count in the loss


@quietly
def _entropy(params: EntropyParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The sum of p log p, at most 0: the fork tells the entropy with this sign, undivided."""
    p = np.asarray(inputs[0])
    each = np.where(p < _MIN_PROBABILITY, 0, p * np.log(p))
    total = 0.0 if entropy_waits(params, inputs) else -np.abs(each).sum(dtype=np.float64)
    return (np.asarray(total, p.dtype),)


ENTROPY_LOSS = OpDef(
    name="EntropyLoss",
    arity=Arity((1, 2), (1, 1), optional_top=True),
    params=_parse_entropy,
    shape=_entropy_shape,
    cost=per_input(4),
    window=full_extent,
    memory=copies(4),
    reference=_entropy,
    draws=lambda params: params.first > 0,
    loss=True,
    family="loss",
    host=True,
)


def _outer_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    one, other = inputs
    if len(one) < 2 or len(other) < 2 or count(one, 2) != 1 or count(other, 2) != 1:
        raise ShapeError(f"rows are wanted, the bottoms are {show(one)} and {show(other)}")
    if one[0] != other[0]:
        raise ShapeError(f"both bottoms must have as many rows: {show(one)} and {show(other)}")
    return ((one[0], 1, one[1], other[1]),)


def _outer(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    one, other = inputs
    rows = len(one)
    return (one.reshape(rows, 1, -1, 1) * other.reshape(rows, 1, 1, -1),)


OUTER_PRODUCT = OpDef(
    name="OuterProduct",
    arity=Arity((2, 2), (1, 1)),
    params=no_params,
    shape=_outer_shape,
    cost=per_output(1),
    window=full_extent,
    reference=_outer,
    family="joining",
)

OPS = (MMD_LOSS, ENTROPY_LOSS, OUTER_PRODUCT)
