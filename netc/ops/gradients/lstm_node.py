"""Gradient of LSTMNode (lstm_node_layer.cpp of peteanderson80/caffe).

The slope of the forget gate is taken from the gate times the marker, which is the derivative for
markers of 0 and 1.
"""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.lstm_node import LSTM_NODE, LstmNodeParams, NodeGates, gates
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _slopes(
    params: LstmNodeParams, saved: Saved, tops: Arrays
) -> tuple[AnyArray, AnyArray, NodeGates]:
    """Gradients by the units, (streams, 4 * cells), and by the cells, (streams, cells)."""
    bottoms = [array for array in saved.inputs if array is not None]
    found = gates(params, bottoms, saved.weights)
    xp, squashed = namespace(found.now), namespace(found.now).tanh(found.now)
    zero = xp.zeros_like(found.now)
    hidden, cell = (zero if top is None else top.reshape(zero.shape) for top in tops)
    cell = cell + hidden * found.o * (1 - squashed * squashed)
    units = (
        cell * found.g * found.i * (1 - found.i),
        cell * found.before * _forget(found),
        hidden * squashed * found.o * (1 - found.o),
        cell * found.i * (1 - found.g * found.g),
    )
    return xp.concatenate(units, axis=1), cell, found


def _forget(found: NodeGates) -> AnyArray:
    """The fork keeps the gate times the marker, and takes its slope from that."""
    kept = found.f * found.markers
    result: AnyArray = kept * (1 - kept)
    return result


def _bottom(params: LstmNodeParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    units, cell, found = _slopes(params, saved, tops)
    if index == 0:
        return (units @ saved.weights[0]).reshape(saved.shapes[0])
    return (cell * found.f * found.markers).reshape(saved.shapes[1])


def _weight(params: LstmNodeParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    units, _, _ = _slopes(params, saved, tops)
    if index == 1:
        result: AnyArray = units.sum(axis=0)
        return result
    return units.T @ saved.inputs[0].reshape(len(units), -1)


def _reads(params: LstmNodeParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=tuple(range(bottoms)), weights=(0, 1) if params.bias else (0,))


GRADIENTS = gradients(
    of(LSTM_NODE, Gradient(_bottom, _reads, _weight, _reads, stops=(2,))),
)
