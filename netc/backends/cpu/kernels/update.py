"""Updates of parameters: netc.ops.update_rules in vectors, one load and one store for each array.

Units are runs of elements. What follows from the iteration alone (Adam's correction) is worked out
anew by each unit, in the order of the definition.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import float32, float64, njit

from netc.backends.cpu.kernel_args import UpdateArgs
from netc.backends.cpu.kernels.functions import greater, select, sqrt
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import as_float, float_at, record, splat
from netc.backends.cpu.kernels.values import Compiled, Lanes, Record
from netc.backends.cpu.machine import Machine

_TWO_HISTORIES = ("AdaDelta", "Adam")


def update(
    machine: Machine, rule: str, decay: str, reached: bool
) -> Callable[[int, int, int, int], None]:
    """The kernel of a rule; ``decay`` is "L2", "L1" or "none", ``reached``: there is a gradient."""
    width = machine.width
    whole = _apply(width, rule, decay, reached, False)
    part = _apply(width, rule, decay, reached, True)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(UpdateArgs, args)
        rate = float_at(a.rate, 0) * as_float(a.lr_mult)
        if rule == "Adam":
            rate = rate * _correction(a)
        for unit in range(begin, end):
            first = unit * a.per_unit
            last = min(first + a.per_unit, a.count)
            main = first + (last - first) // width * width
            for at in range(first, main, width):
                whole(a, 4 * at, rate, width)
            if main < last:
                part(a, 4 * main, rate, last - main)

    return kernel


@njit(inline="always")
def _correction(a: Record) -> float:
    """The correction of Adam's means, which begin at 0 (adam_solver.cpp)."""
    steps = int(float_at(a.iteration, 0)) + 1
    first = _faded(as_float(a.momentum), steps)
    second = _faded(as_float(a.momentum2), steps)
    one = float32(1.0)
    return float32((one - second) ** float32(0.5)) / (one - first)


@njit(inline="always")
def _faded(beta: float, steps: int) -> float:
    """Beta to the power of ``steps``: squares in double, as far as float32 tells them from 0."""
    result, square = float64(1.0), float64(beta)
    while steps > 0:
        if steps % 2:
            result = result * square
        square = square * square
        steps = steps // 2
    return float32(result)


def _apply(width: int, rule: str, decay: str, reached: bool, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)
    two = rule in _TWO_HISTORIES
    step = _STEPS[rule](width)

    @njit(inline="always")
    def decayed(a: Record, g: Lanes, data: Lanes) -> Lanes:
        if decay == "L2":
            return g + splat(width, as_float(a.decay)) * data
        if decay == "L1":
            zero = splat(width, float32(0.0))
            amount = splat(width, as_float(a.decay))
            sign = select(greater(data, zero), amount, zero)
            return g + select(greater(zero, data), zero - amount, sign)
        return g

    @njit(inline="always")
    def apply(a: Record, at: int, rate: float, lanes: int) -> None:
        # Caffe's order: clip, average over iter_size, decay, rule.
        data = load(a.data + at, lanes)
        g = splat(width, float32(0.0))
        if reached:
            g = load(a.gradient + at, lanes) * splat(width, float_at(a.clip, 0))
            g = g * splat(width, as_float(a.share))
        # Weight decay is part of the gradient (SGDSolver::Regularize), before the rule sees it.
        g = decayed(a, g, data)
        history = load(a.history + at, lanes)
        second = history
        if two:
            second = load(a.second + at, lanes)
        moved, history, second = step(a, g, history, second, splat(width, rate))
        store(a.new_data + at, data - moved, lanes)
        store(a.new_history + at, history, lanes)
        if two:
            store(a.new_second + at, second, lanes)

    return apply


# A rule's factory (width) -> (args, gradient, history, second, rate) -> (step, history, second).


def _sgd(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, rate: Lanes
    ) -> tuple[Lanes, Lanes, Lanes]:
        moved = rate * g + splat(width, as_float(a.momentum)) * history
        return moved, moved, second

    return step


def _nesterov(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, rate: Lanes
    ) -> tuple[Lanes, Lanes, Lanes]:
        momentum = splat(width, as_float(a.momentum))
        moved = rate * g + momentum * history
        ahead = splat(width, float32(1.0) + as_float(a.momentum))
        return ahead * moved - momentum * history, moved, second

    return step


def _adagrad(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, rate: Lanes
    ) -> tuple[Lanes, Lanes, Lanes]:
        squares = history + g * g
        return rate * (g / (sqrt(squares) + splat(width, as_float(a.delta)))), squares, second

    return step


def _rmsprop(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, rate: Lanes
    ) -> tuple[Lanes, Lanes, Lanes]:
        decay = as_float(a.rms_decay)
        fresh = splat(width, float32(1.0) - decay)
        squares = fresh * (g * g) + splat(width, decay) * history
        return rate * (g / (sqrt(squares) + splat(width, as_float(a.delta)))), squares, second

    return step


def _adadelta(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, rate: Lanes
    ) -> tuple[Lanes, Lanes, Lanes]:
        decay, delta = splat(width, as_float(a.momentum)), splat(width, as_float(a.delta))
        fresh = splat(width, float32(1.0) - as_float(a.momentum))
        squares = fresh * (g * g) + decay * history
        value = g * sqrt((second + delta) / (squares + delta))
        return rate * value, squares, fresh * (value * value) + decay * second

    return step


def _adam(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, rate: Lanes
    ) -> tuple[Lanes, Lanes, Lanes]:
        one = float32(1.0)
        beta1, beta2 = as_float(a.momentum), as_float(a.momentum2)
        first = splat(width, one - beta1) * g + splat(width, beta1) * history
        squares = splat(width, one - beta2) * (g * g) + splat(width, beta2) * second
        value = first / (sqrt(squares) + splat(width, as_float(a.delta)))
        return rate * value, first, squares

    return step


_STEPS = {
    "SGD": _sgd,
    "Nesterov": _nesterov,
    "AdaGrad": _adagrad,
    "RMSProp": _rmsprop,
    "AdaDelta": _adadelta,
    "Adam": _adam,
}
