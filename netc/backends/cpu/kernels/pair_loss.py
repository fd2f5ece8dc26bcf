"""EuclideanLoss and SigmoidCrossEntropyLoss with their gradients, over pairs of elements.

    "euclidean"   loss: (a - b)^2            gradient by a: a - b       (divided by 2 N, and by N)
    "sigmoid"     loss: softplus(a) - a b    gradient by a: sigmoid(a) - b

Units are runs of pairs whose length follows from the shapes alone. Within one, blocks of vectors
are added up in float32 and the blocks in float64, in their order at any number of threads.
"""

from __future__ import annotations

from numba import float32, float64, njit

from netc.backends.cpu.kernels.functions import equal, select, sigmoid, softplus, truncated
from netc.backends.cpu.kernels.lanes import folded, keep_lanes, loader, storer
from netc.backends.cpu.kernels.simd import as_float, float_at, record, set_float, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.loss_args import PairLossArgs, TotalArgs
from netc.backends.cpu.machine import Machine

_BLOCK_VECTORS = 32  # vectors that are added up in float32


def loss(machine: Machine, kind: str, ignoring: bool) -> Kernel:
    """Each run's losses summed up, and how many counted."""
    width = machine.width
    whole, part = (_terms(width, kind, ignoring, p) for p in (False, True))
    total = folded(lambda b, x, y: b.fadd(x, y))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PairLossArgs, args)
        zero = splat(width, float32(0.0))
        for unit in range(begin, end):
            first, last = unit * a.per_unit, min((unit + 1) * a.per_unit, a.number)
            # A run in blocks: vectors add up in float32, blocks in float64.
            losses, counted = float64(0.0), float64(0.0)
            for start in range(first, last, _BLOCK_VECTORS * width):
                stop = min(start + _BLOCK_VECTORS * width, last)
                main = start + (stop - start) // width * width
                sums, numbers = zero, zero
                for at in range(start, main, width):
                    value, number = whole(a, 4 * at, width)
                    sums, numbers = sums + value, numbers + number
                if main < stop:
                    value, number = part(a, 4 * main, stop - main)
                    sums, numbers = sums + value, numbers + number
                losses = losses + float64(total(sums))
                counted = counted + float64(total(numbers))
            set_float(a.partial, 2 * unit, float32(losses))
            set_float(a.partial, 2 * unit + 1, float32(counted))

    return kernel


def _terms(width: int, kind: str, ignoring: bool, part: bool) -> Compiled:
    """A function (args, bytes, lanes) -> losses and 1 for each that counts, 0 in other lanes."""
    load = loader(width, part)

    @njit(inline="always")
    def terms(a: Record, at: int, lanes: int) -> tuple[Lanes, Lanes]:
        zero, one = splat(width, float32(0.0)), splat(width, float32(1.0))
        x, y = load(a.first + at, lanes), load(a.second + at, lanes)
        if kind == "euclidean":
            difference = x - y
            return difference * difference, zero
        # Sigmoid cross entropy of the score x: log(1 + e^x) - x * y, which overflows for no x.
        value, number = softplus(x) - x * y, one
        if ignoring:
            left_out = equal(truncated(y), splat(width, float32(a.ignored)))
            value, number = select(left_out, zero, value), select(left_out, zero, number)
        # Lanes beyond the end were read as 0, and softplus(0) is not 0.
        if part:
            value, number = keep_lanes(value, lanes), keep_lanes(number, lanes)
        return value, number

    return terms


def slope(machine: Machine, kind: str, ignoring: bool) -> Kernel:
    """The gradient by an array, times the loss's weight over the divisor."""
    width = machine.width
    whole, part = (_slopes(width, kind, ignoring, p) for p in (False, True))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PairLossArgs, args)
        # Normalised by how many labels count: the runs of another step have left the numbers.
        divisor = as_float(a.divisor)
        if a.counts > 0:
            divisor = counted(a.kept, a.counts)
        factor = splat(width, as_float(a.factor) * (float_at(a.top, 0) / divisor))
        for unit in range(begin, end):
            first, last = unit * a.per_unit, min((unit + 1) * a.per_unit, a.number)
            main = first + (last - first) // width * width
            for at in range(first, main, width):
                whole(a, 4 * at, factor, width)
            if main < last:
                part(a, 4 * main, factor, last - main)

    return kernel


def _slopes(width: int, kind: str, ignoring: bool, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def slopes(a: Record, at: int, factor: Lanes, lanes: int) -> None:
        zero = splat(width, float32(0.0))
        x, y = load(a.first + at, lanes), load(a.second + at, lanes)
        if kind == "euclidean":
            value = x - y
        else:
            value = sigmoid(x) - y
        if ignoring:
            left_out = equal(truncated(y), splat(width, float32(a.ignored)))
            value = select(left_out, zero, value)
        store(a.output + at, value * factor, lanes)

    return slopes


@njit(inline="always")
def counted(place: int, counts: int) -> float:
    """The sum of whole numbers that runs have left, at least 1."""
    number = float64(0.0)
    for i in range(counts):
        number = number + float64(float_at(place, i))
    return float32(max(number, float64(1.0)))


def total(machine: Machine) -> Kernel:
    """The runs' losses added up in their order, and divided; one unit."""

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(TotalArgs, args)
        losses, number = float64(0.0), float64(0.0)
        for run in range(a.runs):
            losses = losses + float64(float_at(a.partial, run * a.step))
            number = number + float64(float_at(a.partial, run * a.step + 1))
        divisor = float64(as_float(a.divisor))
        if divisor == 0.0:
            divisor = max(number, float64(1.0))
        set_float(a.output, 0, float32(losses / divisor))

    return kernel
