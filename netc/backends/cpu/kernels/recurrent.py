"""One time step of LSTM and RNN, behind the product of its hidden state: gates, cell, hidden state.

A unit is a stream. Gates of a stream lie one after the other, H floats each::

    units, product   | input H | forget H | output H | cell H |     (RNN: one gate)
    hidden, cells    | H |

The hidden state is stored twice: as the layer's output, and multiplied by the next step's
continuation indicator, as the next product reads it.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import float32, njit

from netc.backends.cpu.kernel_args import RecurrentArgs
from netc.backends.cpu.kernels.functions import sigmoid, tanh
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import float_at, record, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine


def lstm(machine: Machine, first: bool, last: bool) -> Kernel:
    """A step of an LSTM; before the ``first`` the states are 0, nothing follows the ``last``."""
    return _kernel(machine, _lstm, 4, first, last)


def rnn(machine: Machine, first: bool, last: bool) -> Kernel:
    """A step of an RNN."""
    return _kernel(machine, _rnn, 1, first, last)


def _kernel(
    machine: Machine, factory: Callable[..., Compiled], gates: int, first: bool, last: bool
) -> Kernel:
    width = machine.width
    whole = factory(width, False, first, last)
    part = factory(width, True, first, last)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(RecurrentArgs, args)
        main = a.hidden // width * width
        for stream in range(begin, end):
            # A stream's rows: ``hidden`` floats of states, ``gates`` times as many of gates,
            #
            #   LSTM:  [input i][forget f][output o][candidate g]     RNN:  [h]
            at = 4 * stream * a.hidden
            cont = float_at(a.cont, stream)
            # The state is masked for the next step here: 0 where the next sequence begins.
            following = float32(0.0)
            if not last:
                following = float_at(a.next_cont, stream)
            for h in range(0, main, width):
                whole(a, gates * at + 4 * h, at + 4 * h, cont, following, width)
            if main < a.hidden:
                lanes = a.hidden - main
                part(a, gates * at + 4 * main, at + 4 * main, cont, following, lanes)

    return kernel


def _gate(width: int, part: bool, first: bool) -> Compiled:
    """A vector of a gate before its function, at a byte of the stream's gates."""
    load = loader(width, part)

    @njit(inline="always")
    def gate(a: Record, at: int, lanes: int) -> Lanes:
        # W_x x + b of all time steps lies in ``units``; ``product`` is this step's W_h h.
        driven = load(a.units + at, lanes)
        if first:
            return driven
        return load(a.product + at, lanes) + driven

    return gate


def _ended(width: int, part: bool, last: bool) -> Compiled:
    """Store a vector of the hidden state."""
    store = storer(width, part)

    @njit(inline="always")
    def ended(a: Record, at: int, hidden: Lanes, following: float, lanes: int) -> None:
        store(a.output + at, hidden, lanes)
        if not last:
            store(a.masked + at, splat(width, following) * hidden, lanes)

    return ended


def _lstm(width: int, part: bool, first: bool, last: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)
    gate, ended = _gate(width, part, first), _ended(width, part, last)

    @njit(inline="always")
    def step(a: Record, gates: int, at: int, cont: float, following: float, lanes: int) -> None:
        row = 4 * a.hidden
        # c = f * c_before + i * g, and h = o * tanh(c) (lstm_unit_layer.cpp).
        given = sigmoid(gate(a, gates, lanes))
        cell = given * tanh(gate(a, gates + 3 * row, lanes))
        if not first:
            # Where cont is 0 nothing is kept, even of a gate that is not a number.
            kept = splat(width, float32(0.0))
            if cont != float32(0.0):
                kept = splat(width, cont) * sigmoid(gate(a, gates + row, lanes))
            cell = kept * load(a.cells + at, lanes) + cell
        store(a.cells + at, cell, lanes)
        hidden = sigmoid(gate(a, gates + 2 * row, lanes)) * tanh(cell)
        ended(a, at, hidden, following, lanes)

    return step


def _rnn(width: int, part: bool, first: bool, last: bool) -> Compiled:
    gate, ended = _gate(width, part, first), _ended(width, part, last)

    @njit(inline="always")
    def step(a: Record, gates: int, at: int, cont: float, following: float, lanes: int) -> None:
        ended(a, at, tanh(gate(a, gates, lanes)), following, lanes)

    return step
