"""The gradient of RankHardLoss, which its fork gives whatever the loss's weight."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.rank_loss import RANK_HARD_LOSS, RankParams, ranked
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


@np.errstate(all="ignore")
def _rank_hard(params: RankParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Of each loss that counts: to the two alike the difference of the others, and back."""
    found = ranked(params, saved.inputs)
    data, rows = saved.inputs[0], found.rows
    made = np.zeros_like(rows)
    for group, kept in enumerate(found.kept):
        one, other = group * params.size, group * params.size + 1
        by_first = (kept & (found.first[group] > 0)).astype(np.float64)
        by_second = (kept & (found.second[group] > 0)).astype(np.float64)
        made[one] += by_first @ rows - (by_first.sum() + by_second.sum()) * rows[other]
        made[other] += by_second @ rows - (by_first.sum() + by_second.sum()) * rows[one]
        made += by_first[:, None] * rows[one] + by_second[:, None] * rows[other]
    made /= max(1, params.divisor(len(rows)))
    return made.astype(data.dtype).reshape(data.shape)


def _inexact(graph: Graph, node: Node) -> str:
    return "RankHardLoss learns whatever its weight"


GRADIENTS = gradients(
    of(
        RANK_HARD_LOSS,
        Gradient(_rank_hard, Reads(inputs=(0, 1)), stops=(1,), inexact=_inexact, host=True),
    ),
)
