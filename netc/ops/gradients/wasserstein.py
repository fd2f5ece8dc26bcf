"""Gradient of WassersteinLoss: the dual variable of the transport, as its source has it."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.wasserstein import WASSERSTEIN_LOSS, WassersteinParams, scalings
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


@np.errstate(all="ignore")
def _wasserstein(params: WassersteinParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """log(u) over lambda and the number of items, whatever the loss's weight."""
    own = saved.inputs[0]
    rows = np.log(scalings(params, saved.inputs).rows) / (params.sharpness * len(own))
    if params.shifted:
        rows = rows - rows.mean(axis=1, keepdims=True)
    return rows.astype(own.dtype).reshape(own.shape)


def _inexact(graph: Graph, node: Node) -> str:
    return "WassersteinLoss learns by its dual variable, whatever its weight"


GRADIENTS = gradients(
    of(
        WASSERSTEIN_LOSS,
        Gradient(_wasserstein, Reads(inputs=(0, 1)), stops=(1,), inexact=_inexact, host=True),
    ),
)
