"""Sums over all pixels for each channel: of values, of products, of moments.

Pixels come in runs whose length follows from the shapes alone. The first kernel works out the sums
of each run, the second one adds up the runs in their order; so the order of every sum is the same
at any number of threads, and a value is read once however many sums are taken of it. Between them
the sums lie in the step's workspace: for each run a row of channels for each quantity.

Moments of a run are taken about its first pixel, and moved to the mean of all by

    sum (x - mean)^2       = sum over runs of   M + n (m - mean)^2
    sum dy (x - mean)      = sum over runs of   C + S (m - mean)

with n, m, M of a run's pixels, mean and sum of squares about it, S of dy and C of dy (x - m): Chan,
Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import float32, njit

from netc.backends.cpu.kernels.functions import maximum, minimum, sqrt
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import (
    as_float,
    float_at,
    fma,
    int_at,
    load,
    record,
    set_float,
    splat,
    store,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.sum_args import (
    RUN_SUMS,
    JoinArgs,
    RunSumArgs,
    TapSumArgs,
)

_RUNS_PER_GROUP = 32  # runs that are added up by themselves, so that a long sum loses little


# The workspace between the two kernels, R rows for each run as RUN_SUMS names them; a row is
# ``a.row`` bytes, one float a channel, padded to whole vectors:
#
#   run 0: [X: channels][M: channels][S: channels][C: channels]
#   run 1: [X: channels][M: ...
def runs(machine: Machine, kind: str) -> Kernel:
    """The sums of each run of pixels; units are runs.

    ``kind``: "sum" of x, "product" of x and dy, "negative": of those x that are not above 0 and dy,
    "moments" of x, or "both" x's and those with dy.
    """
    width = machine.width
    whole, part = (_RUNS[kind](width, p) for p in (False, True))
    quantities = len(RUN_SUMS[kind])

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(RunSumArgs, args)
        main = a.channels // width * width
        for unit in range(begin, end):
            first = unit * a.per_unit
            count = min(a.per_unit, a.pixels - first)
            x, y = a.input + first * a.ld, a.other + first * a.other_ld
            target = a.output + unit * quantities * a.row
            for c in range(0, main, width):
                whole(a, x + 4 * c, y + 4 * c, count, target + 4 * c, width)
            if main < a.channels:
                rest = a.channels - main
                part(a, x + 4 * main, y + 4 * main, count, target + 4 * main, rest)

    return kernel


def _sum_of(width: int, part: bool) -> Compiled:
    get = loader(width, part)

    @njit(inline="always")
    def run(a: Record, x: int, y: int, count: int, target: int, lanes: int) -> None:
        # Two sums that do not depend on each other: half the latency of an addition.
        even = splat(width, float32(0.0))
        odd = even
        for i in range(count // 2):
            even = even + get(x + 2 * i * a.ld, lanes)
            odd = odd + get(x + (2 * i + 1) * a.ld, lanes)
        if count % 2:
            even = even + get(x + (count - 1) * a.ld, lanes)
        store(target, even + odd)

    return run


def _product_of(negative: bool) -> Callable[[int, bool], Compiled]:
    def factory(width: int, part: bool) -> Compiled:
        load_lanes = loader(width, part)

        @njit(inline="always")
        def get(place: int, lanes: int) -> Lanes:
            value = load_lanes(place, lanes)
            if negative:
                value = minimum(splat(width, float32(0.0)), value)
            return value

        @njit(inline="always")
        def run(a: Record, x: int, y: int, count: int, target: int, lanes: int) -> None:
            even = splat(width, float32(0.0))
            odd = even
            for i in range(count // 2):
                at, after = 2 * i, 2 * i + 1
                even = fma(get(x + at * a.ld, lanes), load_lanes(y + at * a.other_ld, lanes), even)
                top = load_lanes(y + after * a.other_ld, lanes)
                odd = fma(get(x + after * a.ld, lanes), top, odd)
            if count % 2:
                at = count - 1
                even = fma(get(x + at * a.ld, lanes), load_lanes(y + at * a.other_ld, lanes), even)
            store(target, even + odd)

        return run

    return factory


def _moments_of(both: bool) -> Compiled:
    def factory(width: int, part: bool) -> Compiled:
        get = loader(width, part)

        @njit(inline="always")
        def run(a: Record, x: int, y: int, count: int, target: int, lanes: int) -> None:
            zero, number = splat(width, float32(0.0)), splat(width, float32(count))
            # Differences from the run's first pixel keep squares small where the mean is large.
            first = get(x, lanes)
            total, squares, given, along = zero, zero, zero, zero
            for i in range(count):
                deviation = get(x + i * a.ld, lanes) - first
                total = total + deviation
                squares = fma(deviation, deviation, squares)
                if both:
                    top = get(y + i * a.other_ld, lanes)
                    given = given + top
                    along = fma(top, deviation, along)
            # From moments about the first pixel to moments about the run's own mean.
            middle = total / number
            store(target, fma(number, first, total))
            store(target + a.row, maximum(squares - total * middle, zero))
            if both:
                store(target + 2 * a.row, given)
                store(target + 3 * a.row, along - given * middle)

        return run

    return factory


_RUNS: dict[str, Callable[[int, bool], Compiled]] = {
    "sum": _sum_of,
    "product": _product_of(False),
    "negative": _product_of(True),
    "moments": _moments_of(False),
    "both": _moments_of(True),
}


def join(machine: Machine, kind: str, scaled: bool = False) -> Kernel:
    """What is made of the sums of all runs; units are vectors of channels.

    ``kind`` "moments": mean and deviation. "running": the averages that a layer keeps. "slope": the
    sum of dy y, with y = (x - mean) / deviation. "back": what :func:`normalize_back` takes, with a
    factor of dy where ``scaled``.
    """
    width = machine.width
    whole, part = (_join(width, kind, scaled, p) for p in (False, True))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(JoinArgs, args)
        for unit in range(begin, end):
            c = unit * width
            if c + width <= a.channels:
                whole(a, 4 * c, width)
            else:
                part(a, 4 * c, a.channels - c)

    return kernel


def _join(width: int, kind: str, scaled: bool, part: bool) -> Compiled:
    both = kind in ("slope", "back")
    quantities = len(RUN_SUMS["both" if both else "moments"])
    plain, moved = _added(width, quantities, 0), _added(width, quantities, 1)
    crossed = _added(width, quantities, 2)
    finish = _JOINS[kind](width, part, scaled)

    @njit(inline="always")
    def joined(a: Record, at: int, lanes: int) -> None:
        zero, number = splat(width, float32(0.0)), splat(width, float32(a.pixels))
        # The mean of all first, since the other sums are moved to it.
        mean = plain(a, a.sums + at, zero) / number
        variance = moved(a, a.sums + a.row + at, mean) / number
        given, along = zero, zero
        if both:
            # dy: its plain sum, and the one of dy (x - mean).
            given = plain(a, a.sums + 2 * a.row + at, zero)
            along = crossed(a, a.sums + 3 * a.row + at, mean)
        finish(a, at, mean, variance, given, along, lanes)

    return joined


def _added(width: int, quantities: int, kind: int) -> Compiled:
    """A function (args, the quantity's place in the first run, mean) -> its sum over the runs.

    ``kind`` 0 takes it as it is; 1 moves a sum of squares and 2 one of products to the mean of all.
    """

    @njit(inline="always")
    def added(a: Record, place: int, mean: Lanes) -> Lanes:
        zero, each = splat(width, float32(0.0)), quantities * a.row
        total = zero
        # Runs are added in groups and then the groups, in an order that shapes alone decide.
        for start in range(0, a.runs, _RUNS_PER_GROUP):
            some = zero
            for run in range(start, min(start + _RUNS_PER_GROUP, a.runs)):
                at = place + run * each
                term = load(width, at)
                if kind > 0:
                    # Pixels of this run; the last one may be shorter.
                    number = splat(width, float32(min(a.per_unit, a.pixels - run * a.per_unit)))
                    # The run's mean: its row X is one row before M (kind 1), three before C (2).
                    deviation = load(width, at - (2 * kind - 1) * a.row) / number - mean
                    if kind == 1:
                        term = fma(number * deviation, deviation, term)
                    else:
                        term = fma(load(width, at - a.row), deviation, term)
                some = some + term
            total = total + some
        return total

    return added


# A finish's factory (width, part, scaled) -> (args, bytes, mean, variance, sum of dy, sum of
# dy (x - mean), lanes), which writes what is wanted.


def _finish_moments(width: int, part: bool, scaled: bool) -> Compiled:
    put = storer(width, part)

    @njit(inline="always")
    def finish(
        a: Record, at: int, mean: Lanes, variance: Lanes, given: Lanes, along: Lanes, lanes: int
    ) -> None:
        put(a.output + at, mean, lanes)
        put(a.output2 + at, sqrt(variance + splat(width, as_float(a.eps))), lanes)

    return finish


def _finish_running(width: int, part: bool, scaled: bool) -> Compiled:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def finish(
        a: Record, at: int, mean: Lanes, variance: Lanes, given: Lanes, along: Lanes, lanes: int
    ) -> None:
        keep = splat(width, as_float(a.keep))
        seen = variance + splat(width, as_float(a.eps))
        mean = splat(width, as_float(a.share)) * mean
        seen = splat(width, as_float(a.share2)) * seen
        put(a.output + at, fma(keep, get(a.first + at, lanes), mean), lanes)
        put(a.output2 + at, fma(keep, get(a.second + at, lanes), seen), lanes)

    return finish


def _finish_slope(width: int, part: bool, scaled: bool) -> Compiled:
    put = storer(width, part)

    @njit(inline="always")
    def finish(
        a: Record, at: int, mean: Lanes, variance: Lanes, given: Lanes, along: Lanes, lanes: int
    ) -> None:
        put(a.output + at, along / sqrt(variance + splat(width, as_float(a.eps))), lanes)

    return finish


def _finish_back(width: int, part: bool, scaled: bool) -> Compiled:
    get = loader(width, part)

    @njit(inline="always")
    def finish(
        a: Record, at: int, mean: Lanes, variance: Lanes, given: Lanes, along: Lanes, lanes: int
    ) -> None:
        one, number = splat(width, float32(1.0)), splat(width, float32(a.pixels))
        variance = variance + splat(width, as_float(a.eps))
        factor = one / sqrt(variance)
        if scaled:
            factor = factor * get(a.first + at, lanes)
        store(a.output + at, mean)
        store(a.output + a.row + at, given / number)
        store(a.output + 2 * a.row + at, along / (number * variance))
        store(a.output + 3 * a.row + at, factor)

    return finish


_JOINS: dict[str, Callable[[int, bool, bool], Compiled]] = {
    "moments": _finish_moments,
    "running": _finish_running,
    "slope": _finish_slope,
    "back": _finish_back,
}


def tap_products(machine: Machine) -> Kernel:
    """A depthwise convolution's sums of dy * x for each tap; units are runs of the grid's rows."""
    width = machine.width
    whole, part = (_tap_product(width, p) for p in (False, True))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(TapSumArgs, args)
        main = a.channels // width * width
        for unit in range(begin, end):
            first = unit * a.per_unit
            last = min(first + a.per_unit, a.images * a.rows)
            for tap in range(a.taps):
                table, target = a.table + 40 * tap, a.output + (unit * a.taps + tap) * a.row
                for c in range(0, main, width):
                    whole(a, first, last, table, target + 4 * c, 4 * c, width)
                if main < a.channels:
                    rest = a.channels - main
                    part(a, first, last, table, target + 4 * main, 4 * main, rest)

    return kernel


def _tap_product(width: int, part: bool) -> Compiled:
    get = loader(width, part)

    @njit(inline="always")
    def over_rows(
        a: Record, first: int, last: int, table: int, target: int, at: int, lanes: int
    ) -> None:
        shift, first_x, last_x = int_at(table, 0), int_at(table, 3), int_at(table, 4)
        total = splat(width, float32(0.0))
        for row in range(first, last):
            image = row // a.rows
            y = row - image * a.rows
            if int_at(table, 1) <= y and y < int_at(table, 2):
                p = a.input + image * a.input_image + y * a.input_row + shift + at
                q = a.other + row * a.other_row + at
                for x in range(first_x, last_x):
                    seen = get(p + x * a.input_step, lanes)
                    total = fma(seen, get(q + x * a.other_step, lanes), total)
        store(target, total)

    return over_rows


def add_runs(machine: Machine) -> Kernel:
    """Plain sums of all runs, of one or more rows each; units are vectors of channels of a row."""
    width = machine.width

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(JoinArgs, args)
        vectors = (a.channels + width - 1) // width
        zero = splat(width, float32(0.0))
        for unit in range(begin, end):
            group, c = unit // vectors, unit % vectors * width
            place, total = a.sums + group * a.row + 4 * c, zero
            for start in range(0, a.runs, _RUNS_PER_GROUP):
                some = zero
                for run in range(start, min(start + _RUNS_PER_GROUP, a.runs)):
                    some = some + load(width, place + run * a.per_unit)
                total = total + some
            store(scratch, total)
            target = a.output + group * a.first + c * a.second
            for i in range(min(width, a.channels - c)):
                set_float(target + i * a.second, 0, float_at(scratch, i))

    return kernel
