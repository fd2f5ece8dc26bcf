"""SoftmaxWithLoss and its gradient, over rows of scores with a label each.

    loss = - sum over rows of weight[label] * log(max(softmax(row)[label], FLT_MIN))
    gradient of a row = (softmax(row) - 1 at the label) * weight[label] * top / divisor

Units are runs of rows whose length follows from the shapes alone, and each run's sum is a float
of its own, so that the order of the sum is the same at any number of threads. A label that is left
out has no part in either; one that is no class is counted and left out, and whoever adds up the
runs complains.
"""

from __future__ import annotations

from numba import float32, float64, njit

from netc.backends.cpu.kernels.functions import emit_max, exp, log, maximum
from netc.backends.cpu.kernels.lanes import first_lane, folded
from netc.backends.cpu.kernels.pair_loss import counted
from netc.backends.cpu.kernels.simd import (
    as_float,
    float_at,
    load_rest,
    record,
    set_float,
    splat,
    store_part,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.loss_args import PARTIAL_SUMS, LabelArgs, SoftmaxLossArgs
from netc.backends.cpu.machine import Machine

_LOWEST = float32(float("-inf"))
_FLT_MIN = float32(1.1754943508222875e-38)
_MIN_INT, _BEYOND_INT = float32(-2147483648.0), float32(2147483648.0)
_NO_LABEL = -(1 << 40)  # of a number that is no int32
_PARTIALS = len(PARTIAL_SUMS)


@njit(inline="always")
def label_of(value: float) -> int:
    """A label's integer, cut off as a C++ cast does; never one of a class if it is no int32."""
    if value >= _MIN_INT and value < _BEYOND_INT:
        return int(value)
    return _NO_LABEL


@njit(inline="always")
def weight_of(a: Record, label: int) -> float:
    """The weight of a class; 1 where there are none."""
    if a.weights == 0:
        return float32(1.0)
    return float_at(a.weights, label)


def kept(machine: Machine) -> Kernel:
    """How many labels count, of each run."""

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LabelArgs, args)
        for unit in range(begin, end):
            number = 0
            for row in range(unit * a.per_unit, min((unit + 1) * a.per_unit, a.rows)):
                if label_of(float_at(a.labels + row * a.label_step, 0)) != a.ignored:
                    number += 1
            set_float(a.output, unit, float32(number))

    return kernel


def loss(machine: Machine, probabilities: bool) -> Kernel:
    """Each run's losses summed up, its labels that count and those that are wrong.

    ``probabilities``: they are written too, of all rows.
    """
    row_loss = _row_loss(machine.width, probabilities)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(SoftmaxLossArgs, args)
        for unit in range(begin, end):
            losses, valid, wrong = float64(0.0), 0, 0
            for row in range(unit * a.per_unit, min((unit + 1) * a.per_unit, a.rows)):
                label = label_of(float_at(a.labels + row * a.label_step, 0))
                counts, known = label != a.ignored, label >= 0 and label < a.classes
                if probabilities or (counts and known):
                    losses = losses - float64(row_loss(a, row, label, counts and known))
                valid += counts
                wrong += counts and not known
            set_float(a.partial, _PARTIALS * unit, float32(losses))
            set_float(a.partial, _PARTIALS * unit + 1, float32(valid))
            set_float(a.partial, _PARTIALS * unit + 2, float32(wrong))

    return kernel


def _row_loss(width: int, probabilities: bool) -> Compiled:
    """A function (args, row, label, whether it counts) -> weight * log of the label's chance, or 0.

    It writes the row's probabilities where they are wanted.
    """
    # exp(score - greatest): none overflows, and the greatest's is 1.
    exponentials, divide = _exponentials(width, probabilities), _divide(width)

    @njit(inline="always")
    def logarithm(score: float, top: float, total: float) -> float:
        # Caffe takes log(max(probability, FLT_MIN)): a chance of 0 costs 87, not infinity.
        chance = first_lane(exp(splat(width, score) - splat(width, top))) / total
        if chance != chance:  # no number; the polynomial of the logarithm would make one of it
            return chance
        return first_lane(log(maximum(splat(width, chance), splat(width, _FLT_MIN))))

    @njit(inline="always")
    def row_loss(a: Record, row: int, label: int, counts: bool) -> float:
        source, target = a.input + row * a.ld, a.output + row * a.output_ld
        score, value = float32(0.0), float32(0.0)
        if counts:  # read before probabilities may overwrite it
            score = float_at(source, label)
        top, total = exponentials(a, source, target)
        if counts:
            value = logarithm(score, top, total) * weight_of(a, label)
        if probabilities:
            divide(target, a.classes, total)
        return value

    return row_loss


def slope(machine: Machine) -> Kernel:
    """The gradient by the scores; where labels are left out, the rows' number may divide it."""
    width = machine.width
    exponentials, scaled = _exponentials(width, True), _scaled(width)

    @njit(inline="always")
    def factor_of(a: Record) -> float:
        divisor = as_float(a.divisor)
        if a.counts > 0:
            divisor = counted(a.kept, a.counts)
        return float_at(a.top, 0) / divisor

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(SoftmaxLossArgs, args)
        zero, factor = splat(width, float32(0.0)), factor_of(a)
        for unit in range(begin, end):
            for row in range(unit * a.per_unit, min((unit + 1) * a.per_unit, a.rows)):
                source, target = a.input + row * a.ld, a.output + row * a.output_ld
                label = label_of(float_at(a.labels + row * a.label_step, 0))
                known = label >= 0 and label < a.classes
                # A row that does not count gives nothing.
                if not known or label == a.ignored:
                    for c in range(0, a.classes, width):
                        store_part(target + 4 * c, zero, a.classes - c)
                else:
                    weight = weight_of(a, label)
                    _, total = exponentials(a, source, target)
                    # dx = (probability, less 1 of the label) * weight * factor; the label's element
                    # is worked out first, since the sweep overwrites it.
                    own = float_at(target, label) / total - float32(1.0)
                    scaled(target, a.classes, total, weight, factor)
                    set_float(target, label, own * weight * factor)

    return kernel


def _exponentials(width: int, written: bool) -> Compiled:
    """A function (args, source, target) -> a row's greatest score, the sum of exp(score - it).

    The exponentials are written where ``written``; source and target may be one.
    """
    largest, total = folded(emit_max), folded(lambda b, x, y: b.fadd(x, y))

    @njit(inline="always")
    def row(a: Record, source: int, target: int) -> tuple[float, float]:
        lowest = splat(width, _LOWEST)
        # Pass 1: the greatest score; pass 2: exponentials, and their sum.
        best = lowest
        for c in range(0, a.classes, width):
            best = maximum(load_rest(source + 4 * c, a.classes - c, lowest), best)
        greatest = largest(best)
        top, sums = splat(width, greatest), splat(width, float32(0.0))
        for c in range(0, a.classes, width):
            e = exp(load_rest(source + 4 * c, a.classes - c, lowest) - top)
            if written:
                store_part(target + 4 * c, e, a.classes - c)
            sums = sums + e
        return greatest, total(sums)

    return row


def _divide(width: int) -> Compiled:
    @njit(inline="always")
    def row(target: int, classes: int, total: float) -> None:
        whole, zero = splat(width, total), splat(width, float32(0.0))
        for c in range(0, classes, width):
            e = load_rest(target + 4 * c, classes - c, zero)
            store_part(target + 4 * c, e / whole, classes - c)

    return row


def _scaled(width: int) -> Compiled:
    """A function that makes probabilities of exponentials, times two factors one by one."""

    @njit(inline="always")
    def row(target: int, classes: int, total: float, weight: float, factor: float) -> None:
        whole, zero = splat(width, total), splat(width, float32(0.0))
        first, second = splat(width, weight), splat(width, factor)
        for c in range(0, classes, width):
            e = load_rest(target + 4 * c, classes - c, zero)
            store_part(target + 4 * c, e / whole * first * second, classes - c)

    return row
