"""Updates of parameters: netc.ops.update_rules in vectors, one load and one store for each array.

Units are runs of elements. What follows from the iteration alone (Adam's correction) is worked out
anew by each unit, in the order of the definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from numba import float32, float64, njit

from netc.backends.cpu.kernels.functions import absolute, greater, maximum, select, sqrt
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import as_float, float_at, record, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.training_args import UpdateArgs

_MIN_GRADIENT = float32(1e-7)  # what AdaMax's largest gradient is never below, as the forks have it


def update(
    machine: Machine, rule: str, histories: int, decay: str, reached: bool, summands: int
) -> Kernel:
    """The kernel of a rule, a key of ``_STEPS``.

    ``histories`` is how many arrays the rule keeps. ``decay`` is "L2", "L1" or "none"; behind
    "decoupled " it is part of the step and not of the gradient (AdamW). ``reached``: there is a
    gradient, the mean of ``summands`` arrays if those are more than one.
    """
    width = machine.width
    number = summands if reached else 0
    whole, part = (_apply(width, rule, histories, decay, number, p) for p in (False, True))
    corrected = _CORRECTIONS.get(rule, _uncorrected)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(UpdateArgs, args)
        # The rate and its correction once for all units of the call.
        plain = float_at(a.rate, 0) * as_float(a.lr_mult)
        rate = plain * corrected(a)
        for unit in range(begin, end):
            first = unit * a.per_unit
            last = min(first + a.per_unit, a.count)
            main = first + (last - first) // width * width
            for at in range(first, main, width):
                whole(a, 4 * at, rate, plain, width)
            if main < last:
                part(a, 4 * main, rate, plain, last - main)

    return kernel


@njit(inline="always")
def _uncorrected(a: Record) -> float:
    return float32(1.0)


@njit(inline="always")
def _correction(a: Record) -> float:
    """The correction of Adam's means, which begin at 0: in double up to the result, as there."""
    # sqrt(1 - beta2^t) / (1 - beta1^t), t from 1 (Kingma and Ba 2015).
    steps = int(float_at(a.iteration, 0)) + 1
    first = _faded(as_float(a.momentum), steps)
    second = _faded(as_float(a.momentum2), steps)
    one = float64(1.0)
    return float32(math.sqrt(one - second) / (one - first))


@njit(inline="always")
def _first_correction(a: Record) -> float:
    """The correction of AdaMax's mean, which begins at 0 as well."""
    one = float64(1.0)
    steps = int(float_at(a.iteration, 0)) + 1
    return float32(one / (one - _faded(as_float(a.momentum), steps)))


@njit(inline="always")
def _faded(beta: float, steps: int) -> float:
    """Beta to the power of ``steps``, in double."""
    result, square = float64(1.0), float64(beta)
    # By squaring: as many multiplications as the step's number has bits.
    while steps > 0:
        if steps % 2:
            result = result * square
        square = square * square
        steps = steps // 2
    return result


def _decayed(width: int, decay: str) -> Compiled:
    """A function (args, vector, data) -> the vector and the weight decay."""

    @njit(inline="always")
    def decayed(a: Record, g: Lanes, data: Lanes) -> Lanes:
        if decay == "L2":
            return g + splat(width, as_float(a.decay)) * data
        if decay == "L1":
            # The sign of w times the decay; nothing where w is 0.
            zero = splat(width, float32(0.0))
            amount = splat(width, as_float(a.decay))
            sign = select(greater(data, zero), amount, zero)
            return g + select(greater(zero, data), zero - amount, sign)
        return g

    return decayed


def _mean(width: int, summands: int, part: bool) -> Compiled:
    """A function (args, byte, lanes) -> elements of the mean of some arrays, or of the only one."""
    load = loader(width, part)

    @njit(inline="always")
    def mean(a: Record, at: int, lanes: int) -> Lanes:
        g = load(a.gradient + at, lanes)
        # In the order of the ranks, and divided by their number, as they average messages.
        for rank in range(1, summands):
            g = g + load(a.gradient + rank * a.distance + at, lanes)
        if summands > 1:
            g = g * splat(width, as_float(a.mean))
        return g

    return mean


def _apply(
    width: int, rule: str, histories: int, decay: str, summands: int, part: bool
) -> Compiled:
    load, store = loader(width, part), storer(width, part)
    decoupled, kind = decay.startswith("decoupled "), decay.split()[-1]
    decayed, step = _decayed(width, kind), _STEPS[rule](width)
    mean = _mean(width, summands, part)

    @njit(inline="always")
    def gradient_of(a: Record, at: int, data: Lanes, lanes: int) -> Lanes:
        # Caffe's order: clip, average over iter_size, decay, rule.
        g = splat(width, float32(0.0))
        if summands:
            g = mean(a, at, lanes) * splat(width, float_at(a.clip, 0))
            g = g * splat(width, as_float(a.share))
        # Weight decay is part of the gradient (SGDSolver::Regularize), before the rule sees it.
        if not decoupled:
            g = decayed(a, g, data)
        return g

    @njit(inline="always")
    def apply(a: Record, at: int, rate: float, plain: float, lanes: int) -> None:
        data = load(a.data + at, lanes)
        g = gradient_of(a, at, data, lanes)
        first = load(a.history + at, lanes)
        second, third = first, first
        if histories > 1:
            second = load(a.second + at, lanes)
        if histories > 2:
            third = load(a.third + at, lanes)
        # The rule, on a vector: how far the parameter moves, and what is remembered of it.
        moved, first, second, third = step(a, g, first, second, third, splat(width, rate))
        if decoupled:
            zero = splat(width, float32(0.0))
            moved = moved + splat(width, plain) * decayed(a, zero, data)
        store(a.new_data + at, data - moved, lanes)
        store(a.new_history + at, first, lanes)
        if histories > 1:
            store(a.new_second + at, second, lanes)
        if histories > 2:
            store(a.new_third + at, third, lanes)

    return apply


# A rule's factory (width) -> (args, gradient, histories, rate) -> (step, new histories). Those that
# a rule does not keep go in and out as they are.

Vectors = tuple[Lanes, Lanes, Lanes, Lanes]


def _sgd(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, third: Lanes, rate: Lanes
    ) -> Vectors:
        # v = rate * g + momentum * v; w -= v
        moved = rate * g + splat(width, as_float(a.momentum)) * history
        return moved, moved, second, third

    return step


def _nesterov(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, third: Lanes, rate: Lanes
    ) -> Vectors:
        momentum = splat(width, as_float(a.momentum))
        moved = rate * g + momentum * history
        # w -= (1 + momentum) * v - momentum * v_before
        ahead = splat(width, float32(1.0) + as_float(a.momentum))
        return ahead * moved - momentum * history, moved, second, third

    return step


def _adagrad(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, third: Lanes, rate: Lanes
    ) -> Vectors:
        # h += g^2; w -= rate * g / (sqrt(h) + delta)
        squares = history + g * g
        moved = rate * (g / (sqrt(squares) + splat(width, as_float(a.delta))))
        return moved, squares, second, third

    return step


def _rmsprop(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, third: Lanes, rate: Lanes
    ) -> Vectors:
        decay = as_float(a.rms_decay)
        fresh = splat(width, float32(1.0) - decay)
        # h = (1 - d) * g^2 + d * h; w -= rate * g / (sqrt(h) + delta)
        squares = fresh * (g * g) + splat(width, decay) * history
        moved = rate * (g / (sqrt(squares) + splat(width, as_float(a.delta))))
        return moved, squares, second, third

    return step


def _adadelta(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, third: Lanes, rate: Lanes
    ) -> Vectors:
        decay, delta = splat(width, as_float(a.momentum)), splat(width, as_float(a.delta))
        fresh = splat(width, float32(1.0) - as_float(a.momentum))
        # The step is g * RMS(steps before) / RMS(gradients), both running (Zeiler 2012).
        squares = fresh * (g * g) + decay * history
        value = g * sqrt((second + delta) / (squares + delta))
        steps = fresh * (value * value) + decay * second
        return rate * value, squares, steps, third

    return step


def _adam(largest: str) -> Callable[[int], Compiled]:
    """Adam, and what becomes of its second mean.

    "none" is Adam; "kept" is AMSGrad, whose root is of the largest so far, a third history; with
    "followed" the next mean begins with the largest (`amsgrad` of jolibrain's Caffe).
    """

    def factory(width: int) -> Compiled:
        @njit(inline="always")
        def step(
            a: Record, g: Lanes, history: Lanes, second: Lanes, third: Lanes, rate: Lanes
        ) -> Vectors:
            one = float32(1.0)
            beta1, beta2 = as_float(a.momentum), as_float(a.momentum2)
            # Running means of g and of g^2; the rate has the correction of both already.
            first = splat(width, one - beta1) * g + splat(width, beta1) * history
            squares = splat(width, one - beta2) * (g * g) + splat(width, beta2) * second
            if largest == "followed":
                squares = maximum(second, squares)
            root = squares
            if largest == "kept":
                third = maximum(third, squares)
                root = third
            value = first / (sqrt(root) + splat(width, as_float(a.delta)))
            return rate * value, first, squares, third

        return step

    return factory


def _adamax(width: int) -> Compiled:
    @njit(inline="always")
    def step(
        a: Record, g: Lanes, history: Lanes, second: Lanes, third: Lanes, rate: Lanes
    ) -> Vectors:
        one = float32(1.0)
        beta1, beta2 = as_float(a.momentum), as_float(a.momentum2)
        first = splat(width, one - beta1) * g + splat(width, beta1) * history
        faded = splat(width, beta2) * second + splat(width, _MIN_GRADIENT)
        largest = maximum(faded, absolute(g))
        return rate * (first / largest), first, largest, third

    return step


_STEPS = {
    "SGD": _sgd,
    "Nesterov": _nesterov,
    "AdaGrad": _adagrad,
    "RMSProp": _rmsprop,
    "AdaDelta": _adadelta,
    "Adam": _adam("none"),
    "Adam with the largest followed": _adam("followed"),
    "AMSGrad": _adam("kept"),
    "AdaMax": _adamax,
}
_CORRECTIONS = {
    "Adam": _correction,
    "Adam with the largest followed": _correction,
    "AMSGrad": _correction,
    "AdaMax": _first_correction,
}
