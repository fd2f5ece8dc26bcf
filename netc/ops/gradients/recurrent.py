"""Gradients of LSTM, RNN and LSTMUnit through all steps (lstm_layer.cpp, rnn_layer.cpp).

The forward pass is run again for the states between its steps. First states that are not bottoms
are 0 and have no gradient (Caffe carries states over, but no gradient crosses).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from netc.ir.types import count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.recurrent import LSTM, LSTM_UNIT, RNN, RecurrentParams, first_states, gate, step_units

_CONTINUATION = 1


class Gates(NamedTuple):
    """The gates of one step of an LSTM after their nonlinearities, (streams, hidden) each.

    Input gate ``given``, forget gate, output gate and candidate ``new``; the cell after the step.
    """

    given: AnyArray
    forget: AnyArray
    out: AnyArray
    new: AnyArray
    cell: AnyArray  # after the step


def _gates(units: AnyArray, cell: AnyArray, cont: AnyArray) -> Gates:
    xp = namespace(units)
    given, forget, out, new = xp.split(units, 4, axis=-1)
    given, out, new = gate(given), gate(out), xp.tanh(new)
    forget = xp.where(cont == 0, units.dtype.type(0), cont * gate(forget))
    return Gates(given, forget, out, new, forget * cell + given * new)


def _gates_back(
    gates: Gates, before: AnyArray, hidden: AnyArray, cell: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """From the gradients of a step's hidden state and cell those of its units and of the cell
    before (LSTMUnitLayer::Backward_cpu).
    """
    xp = namespace(hidden)
    squashed = xp.tanh(gates.cell)
    cell = cell + hidden * gates.out * (1 - squashed * squashed)
    units = (
        cell * gates.new * gates.given * (1 - gates.given),
        cell * before * gates.forget * (1 - gates.forget),
        hidden * squashed * gates.out * (1 - gates.out),
        cell * gates.given * (1 - gates.new * gates.new),
    )
    return xp.concatenate(units, axis=-1), cell * gates.forget


class Through(NamedTuple):
    """All gradients of a recurrent layer.

    Args:
        units: by what the inputs add to the gates: (steps, streams, gates * hidden).
        recurrent: by the weights of the hidden state.
        states: by the first states.
        own: by the output's weights and bias, which an RNN has.
    """

    units: AnyArray
    recurrent: AnyArray
    states: tuple[AnyArray, ...]
    own: tuple[AnyArray, ...] = ()


def _through_lstm(params: RecurrentParams, saved: Saved, tops: Arrays) -> Through:
    weight, marks = saved.weights[-1], saved.inputs[_CONTINUATION][..., None]
    units = step_units(params, saved.inputs, saved.weights)
    hidden, cell = first_states(params, saved.inputs)
    before: list[tuple[AnyArray, AnyArray, Gates]] = []
    for driven, cont in zip(units, marks, strict=True):
        kept = cont * hidden
        gates = _gates(kept @ weight.T + driven, cell, cont)
        before.append((kept, cell, gates))
        hidden, cell = gates.out * namespace(driven).tanh(gates.cell), gates.cell
    return _lstm_back(params, weight, marks, before, _arriving(params, tops, units, hidden))


class Arriving(NamedTuple):
    """The tops' gradients: of the output at each step, and of the last states."""

    output: AnyArray
    states: list[AnyArray]


def _arriving(params: RecurrentParams, tops: Arrays, units: AnyArray, like: AnyArray) -> Arriving:
    zero = like * 0
    given = [zero if top is None else top[0] for top in tops[1:]]
    states = given + [zero] * (params.states - len(given))
    output = tops[0] if tops[0] is not None else [zero] * len(units)
    return Arriving(output, states)


def _lstm_back(
    params: RecurrentParams,
    weight: AnyArray,
    marks: AnyArray,
    before: list[tuple[AnyArray, AnyArray, Gates]],
    arriving: Arriving,
) -> Through:
    xp = namespace(weight)
    hidden, cell = arriving.states
    rows: list[AnyArray] = []
    total = xp.zeros_like(weight)
    for step in reversed(range(len(before))):
        kept, old, gates = before[step]
        units, cell = _gates_back(gates, old, hidden + arriving.output[step], cell)
        total += units.T @ kept
        hidden = marks[step] * (units @ weight)
        rows.insert(0, units)
    return Through(_rows(rows, marks, weight), total, (hidden, cell))


def _rows(rows: list[AnyArray], marks: AnyArray, weight: AnyArray) -> AnyArray:
    xp = namespace(weight)
    return xp.stack(rows) if rows else xp.zeros((0, marks.shape[1], len(weight)), weight.dtype)


def _through_rnn(params: RecurrentParams, saved: Saved, tops: Arrays) -> Through:
    weight, out, bias = saved.weights[-3:]
    xp, marks = namespace(weight), saved.inputs[_CONTINUATION][..., None]
    units = step_units(params, saved.inputs, saved.weights)
    (hidden,) = first_states(params, saved.inputs)
    kept, states = [], []
    for driven, cont in zip(units, marks, strict=True):
        kept.append(cont * hidden)
        hidden = xp.tanh(kept[-1] @ weight.T + driven)
        states.append(hidden)
    arriving = _arriving(params, tops, units, hidden)
    (grad,) = arriving.states
    rows: list[AnyArray] = []
    sums = [xp.zeros_like(array) for array in (weight, out, bias)]
    for step in reversed(range(len(states))):
        output = xp.tanh(states[step] @ out.T + bias)
        ended = arriving.output[step] * (1 - output * output)
        sums[1] += ended.T @ states[step]
        sums[2] += ended.sum(axis=0)
        inner = (grad + ended @ out) * (1 - states[step] * states[step])
        sums[0] += inner.T @ kept[step]
        grad = marks[step] * (inner @ weight)
        rows.insert(0, inner)
    return Through(_rows(rows, marks, weight), sums[0], (grad,), (sums[1], sums[2]))


Walk = Callable[[RecurrentParams, Saved, Arrays], Through]


def _recurrent(walk: Walk) -> Gradient[RecurrentParams]:
    def bottom(params: RecurrentParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
        through = walk(params, saved, tops)
        if index == 0:
            return (through.units @ saved.weights[0]).reshape(saved.shapes[0])
        if index == 2 and params.static:
            result: AnyArray = (through.units.sum(axis=0) @ saved.weights[2]).reshape(
                saved.shapes[2]
            )
            return result
        return through.states[index - 2 - params.static][None]

    def weight(params: RecurrentParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
        through = walk(params, saved, tops)
        fed = 2 + params.static
        if index >= fed:
            return (through.recurrent, *through.own)[index - fed]
        if index == 1:
            result: AnyArray = through.units.sum(axis=(0, 1))
            return result
        if index == 2:
            static = saved.inputs[2].reshape(saved.shapes[2][0], count(saved.shapes[2], 1))
            result = through.units.sum(axis=0).T @ static
            return result
        units = through.units.reshape(-1, through.units.shape[-1])
        return units.T @ saved.inputs[0].reshape(len(units), count(saved.shapes[0], 2))

    return Gradient(bottom, _reads, weight, _reads, stops=(_CONTINUATION,))


def _reads(params: RecurrentParams, index: int, bottoms: int) -> Reads:
    weights = 3 + params.static + 2 * (params.gates == 1)
    return Reads(inputs=tuple(range(bottoms)), weights=tuple(range(weights)))


def _unit(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    cell, units, marks = saved.inputs
    gates = _gates(units, cell, marks[..., None])
    zero = cell * np.float32(0)
    arrived = [zero if top is None else top for top in tops]
    by_units, by_cell = _gates_back(gates, cell, arrived[1], arrived[0])
    return by_units if index == 1 else by_cell


GRADIENTS = gradients(
    of(LSTM, _recurrent(_through_lstm)),
    of(RNN, _recurrent(_through_rnn)),
    of(LSTM_UNIT, Gradient(_unit, Reads(inputs=(0, 1, 2)), stops=(2,))),
)
