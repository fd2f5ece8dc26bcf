"""Gradient of Lstm of junhyukoh/caffe-lstm (lstm_layer.cpp), through all steps.

The recurrent term of every stream is computed from the first stream's output, as in that fork's
forward pass, and so its gradient goes there. The gradient of the recurrent weights uses each
stream's own output, also where a sequence begins.
"""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.lstm import LSTM, LstmParams, LstmStep, lstm_steps
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _units(params: LstmParams, saved: Saved, top: AnyArray) -> tuple[AnyArray, list[LstmStep]]:
    """The gradients of every step's units, (steps, streams, 4 * hidden), and the steps."""
    bottoms = [array for array in saved.inputs if array is not None]
    steps = list(lstm_steps(params, bottoms, saved.weights))
    arriving = top.reshape(len(steps), params.sequences, params.num_output).copy()
    cell = np.zeros_like(arriving[0])
    found = np.zeros((*arriving.shape[:2], 4 * params.num_output), top.dtype)
    for at in reversed(range(len(steps))):
        mark, (i, f, o, g), now, _ = steps[at]
        before = steps[at - 1].cell if at else np.zeros_like(cell)
        squashed = np.tanh(now)
        cell = cell + arriving[at] * o * (1 - squashed * squashed)
        units = (
            cell * g * i * (1 - i),
            mark * cell * before * f * (1 - f),
            arriving[at] * squashed * o * (1 - o),
            cell * i * (1 - g * g),
        )
        cell = mark * cell * f
        found[at] = np.concatenate(units, axis=1)
        if params.threshold > 0:
            found[at] = found[at].clip(-params.threshold, params.threshold)
        if at:
            arriving[at - 1, 0] += (mark * (found[at] @ saved.weights[1])).sum(axis=0)
    return found, steps


def _bottom(params: LstmParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    units, _ = _units(params, saved, tops[0])
    flat = units.reshape(-1, units.shape[2])
    return (flat @ saved.weights[0]).reshape(saved.shapes[0])


def _weight(params: LstmParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    units, steps = _units(params, saved, tops[0])
    flat = units.reshape(-1, units.shape[2])
    if index == 0:
        return flat.T @ saved.inputs[0].reshape(len(flat), -1)
    if index == 2:
        result: AnyArray = flat.sum(axis=0)
        return result
    total = np.zeros_like(saved.weights[1])
    for before, own in zip(steps[:-1], units[1:], strict=True):
        total += own.T @ before.hidden
    return total


def _reads(params: LstmParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=tuple(range(bottoms)), weights=(0, 1, 2))


def _inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(LstmParams)
    if params.sequences == 1 and len(node.inputs) == 1 and not params.threshold:
        return None
    return "caffe-lstm takes other outputs for its recurrent weights than it used, or bounds slopes"


GRADIENTS = gradients(
    of(
        LSTM,
        Gradient(_bottom, _reads, _weight, _reads, stops=(1,), inexact=_inexact, host=True),
    ),
)
