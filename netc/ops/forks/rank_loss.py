"""RankHardLoss of xiaolonw/caffe-video_triplet (Wang and Gupta 2015, arXiv:1505.00687).

Rows come in groups of ``pair_size``: the first two of a group are alike, rows of other labels are
not. A pair is compared, by cosines of rows of length 1, with the hardest of these and with some at
random (rank_hard_loss_layer.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import FLOAT, LayerContext, OpDef, ShapeError, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.labels import check_batch
from netc.ops.loss import ONE_LOSS
from netc.ops.numbers import number
from netc.ops.random import layer_number, uniform
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class RankParams:
    """Which unlike rows a pair is compared with, and by how much it has to be nearer.

    Args:
        most: all of them, where there are no more of a loss than these.
        size: rows of a group.
        hard: else so many of the ``most`` hardest.
        some: and so many of the others.
        margin: of the distances.
        seed: the layer's number in random draws.
    """

    most: int
    size: int
    hard: int
    some: int
    margin: float
    seed: int

    def divisor(self, rows: int) -> int:
        """Of the sum of losses."""
        return self.most * rows // self.size * 2


def _parse(layer: Message, context: LayerContext) -> RankParams:
    p = reject_unknown_fields(
        layer.get("rank_param"), "neg_num", "pair_size", "hard_ratio", "rand_ratio", "margin"
    )
    most = number(p, "neg_num", 1)
    for name in ("hard_ratio", "rand_ratio"):
        if not 0 <= p.get(name) <= 1:
            raise bad_value(p, name, "must be between 0 and 1")
    hard, some = (
        int(np.float32(most) * np.float32(p.get(n))) for n in ("hard_ratio", "rand_ratio")
    )
    return RankParams(
        most,
        number(p, "pair_size", 2),
        hard,
        some,
        p.get("margin"),
        layer_number(layer.get("name")),
    )


def _shape(params: RankParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, labels = inputs[:2]
    check_batch(data, labels)
    if not data or data[0] % params.size:
        raise ShapeError(
            f"the rows must be a multiple of `pair_size` {params.size}, the bottom is {show(data)}",
            "rank_param.pair_size",
        )
    if count(labels) != data[0]:
        raise ShapeError(f"one label for each row is wanted: {show(data)}, {show(labels)}")
    return ((),)


def _memory(params: RankParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return FLOAT * (24 * inputs[0][0] ** 2 + 4 * count(inputs[0]))


class Ranked(NamedTuple):
    """What is compared: rows (n, length) in float64, and for each group its losses.

    ``kept`` (groups, n) says which rows a group's pair is compared with; ``first`` and ``second``
    (groups, n) are the losses by the pair's two rows, above 0 where they count.
    """

    rows: AnyArray
    kept: AnyArray
    first: AnyArray
    second: AnyArray


def ranked(params: RankParams, inputs: Arrays) -> Ranked:
    """The losses of every pair; ``inputs`` may have the generator's key third."""
    rows = np.asarray(inputs[0]).reshape(len(inputs[0]), -1).astype(np.float64)
    label = np.asarray(inputs[1]).reshape(-1)
    distance = -(rows @ rows.T)
    np.fill_diagonal(distance, 0)
    at = np.arange(0, len(rows), params.size)
    alike = distance[at, at + 1][:, None] + params.margin
    first, second = alike - distance[at], alike - distance[at + 1]
    able = (label[None] != label[at][:, None]) & (first > 0)
    key = inputs[2] if len(inputs) > 2 else None
    drawn = np.asarray(uniform(inputs[0], (2, *able.shape), params.seed, key))
    kept = np.zeros(able.shape, bool)
    for group, row in enumerate(able):
        found = np.flatnonzero(row)
        kept[group, _chosen(params, found, distance[at[group]], drawn[:, group])] = True
    return Ranked(rows, kept, first, second)


def _chosen(params: RankParams, found: AnyArray, distance: AnyArray, drawn: AnyArray) -> AnyArray:
    """Of the rows that make a loss those that are compared."""
    if len(found) <= params.most:
        return found
    ordered = found[np.argsort(distance[found], kind="stable")]
    near, far = ordered[: params.most], ordered[params.most :]
    near = near[np.argsort(drawn[0][near], kind="stable")]
    others = np.concatenate([far, near[params.hard :]])
    others = others[np.argsort(drawn[1][others], kind="stable")]
    return np.concatenate([near[: params.hard], others[: params.some]])


@quietly
def _rank_hard(params: RankParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found = ranked(params, inputs)
    each = np.maximum(found.first, 0) + np.maximum(found.second, 0)
    loss = np.where(found.kept, each, 0).sum() / max(1, params.divisor(len(found.rows)))
    return (np.asarray(loss, inputs[0].dtype).reshape(()),)


RANK_HARD_LOSS = OpDef(
    name="RankHardLoss",
    arity=ONE_LOSS,
    params=_parse,
    shape=_shape,
    cost=per_input(8),
    window=full_extent,
    memory=_memory,
    reference=_rank_hard,
    draws=lambda params: True,
    loss=True,
    family="loss",
    host=True,
)

OPS = (RANK_HARD_LOSS,)
