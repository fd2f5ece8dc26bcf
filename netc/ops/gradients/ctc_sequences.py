"""Gradients of CTCLoss and WarpCTCLoss by the scores, which no loss_weight and batch scales."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.ctc_sequences import CTC_SEQUENCES, SequencesParams, sequences
from netc.ops.forks.warp_ctc import WARP_CTC_LOSS, WarpCTCParams, labelled
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.fork_losses import ctc_slopes


def _slopes(params: SequencesParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data = saved.inputs[0]
    made = np.zeros(data.shape[:3])
    blank = params.blank_of(data.shape[2])
    for item, (logs, label) in enumerate(sequences(params, saved.inputs)):
        if len(logs):
            made[: len(logs), item] = ctc_slopes(logs, label, blank)
    return made.astype(data.dtype).reshape(data.shape)


def _warp(params: WarpCTCParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data = saved.inputs[0]
    made = np.zeros(data.shape[:3])
    for item, (logs, label) in enumerate(labelled(params, saved.inputs)):
        made[:, item] = ctc_slopes(logs, label, params.blank)
    return made.astype(data.dtype).reshape(data.shape)


def _inexact(graph: Graph, node: Node) -> str:
    return f"{node.op} tells a mean, and its gradient is of the sum, whatever its weight"


GRADIENTS = gradients(
    of(
        CTC_SEQUENCES,
        Gradient(_slopes, Reads(inputs=(0, 1, 2)), stops=(1, 2), inexact=_inexact, host=True),
    ),
    of(
        WARP_CTC_LOSS,
        Gradient(_warp, Reads(inputs=(0, 1)), stops=(1,), inexact=_inexact, host=True),
    ),
)
