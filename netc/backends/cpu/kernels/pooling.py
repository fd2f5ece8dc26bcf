"""Pooling, vectorised over channels. Units of work are rows of output pixels.

Sizes come as plain numbers: the builder has applied Caffe's rounding and clipping rules.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import float32, njit

from netc.backends.cpu.kernel_args import PoolArgs
from netc.backends.cpu.kernels.functions import greater, maximum, select
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import record, splat
from netc.backends.cpu.kernels.values import Compiled, Lanes, Record
from netc.backends.cpu.machine import Machine

_LOWEST = float32(-3.4028234663852886e38)  # Caffe starts its search for the largest at -FLT_MAX


# A maximum or a sum depends on the one before it: with one vector of channels the processor waits
# for each result, with four it always has another one to work on.
_VECTORS_AT_ONCE = 4  # vectors of channels done at a time, so that no sum waits for itself


def max_pool(machine: Machine, mask: bool) -> Callable[[int, int, int, int], None]:
    """Maximum; with ``mask`` also the index (row * width + column) of the first one, or -1."""
    return _pool(machine.width, _mask_reducer if mask else _max_reducer)


def average_pool(machine: Machine) -> Callable[[int, int, int, int], None]:
    """Mean; the divisor counts the window as far as it lies in the padded input."""
    return _pool(machine.width, _mean_reducer)


def _pool(width: int, reducer: Compiled) -> Callable[[int, int, int, int], None]:
    wide = _VECTORS_AT_ONCE * width
    several, whole, part = reducer(wide, False), reducer(width, False), reducer(width, True)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PoolArgs, args)
        main, most = a.channels // width * width, a.channels // wide * wide
        for unit in range(begin, end):
            image, row = unit // a.out_height, unit % a.out_height
            top = row * a.stride_y - a.pad_y
            # The window as far as it lies in the input: what is read.
            y0, y1 = max(top, 0), min(top + a.kernel_y, a.height)
            # The window as far as it lies in the padded input: Caffe's divisor of averages.
            rows = min(top + a.kernel_y, a.height + a.pad_y) - top
            base = a.input + image * a.height * a.width * a.ld
            for column in range(a.out_width):
                left = column * a.stride_x - a.pad_x
                x0, x1 = max(left, 0), min(left + a.kernel_x, a.width)
                count = rows * (min(left + a.kernel_x, a.width + a.pad_x) - left)
                pixel = unit * a.out_width + column
                # Channels by four vectors, then by one, then the lanes that are left.
                for c in range(0, most, wide):
                    several(a, base + 4 * c, y0, y1, x0, x1, count, pixel, c, wide)
                for c in range(most, main, width):
                    whole(a, base + 4 * c, y0, y1, x0, x1, count, pixel, c, width)
                if main < a.channels:
                    left_over = a.channels - main
                    part(a, base + 4 * main, y0, y1, x0, x1, count, pixel, main, left_over)

    return kernel


def _max_reducer(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(
        a: Record,
        base: int,
        y0: int,
        y1: int,
        x0: int,
        x1: int,
        count: int,
        pixel: int,
        c: int,
        lanes: int,
    ) -> None:
        best = splat(width, _LOWEST)
        for y in range(y0, y1):
            for x in range(x0, x1):
                best = maximum(load(base + (y * a.width + x) * a.ld, lanes), best)
        store(a.output + pixel * a.output_ld + 4 * c, best, lanes)

    return reduce


def _mask_reducer(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(
        a: Record,
        base: int,
        y0: int,
        y1: int,
        x0: int,
        x1: int,
        count: int,
        pixel: int,
        c: int,
        lanes: int,
    ) -> None:
        best = splat(width, _LOWEST)
        where = splat(width, float32(-1.0))
        for y in range(y0, y1):
            for x in range(x0, x1):
                # The index in the plane, as Caffe's mask has it; exact in float32 below 2 ** 24.
                index = y * a.width + x
                value = load(base + index * a.ld, lanes)
                # Strictly greater: of equal elements the first one counts, as in Caffe.
                higher = greater(value, best)
                where = select(higher, splat(width, float32(index)), where)
                best = select(higher, value, best)
        store(a.output + pixel * a.output_ld + 4 * c, best, lanes)
        store(a.mask + pixel * a.mask_ld + 4 * c, where, lanes)

    return reduce


def _mean_reducer(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(
        a: Record,
        base: int,
        y0: int,
        y1: int,
        x0: int,
        x1: int,
        count: int,
        pixel: int,
        c: int,
        lanes: int,
    ) -> None:
        total = splat(width, float32(0.0))
        for y in range(y0, y1):
            for x in range(x0, x1):
                total = total + load(base + (y * a.width + x) * a.ld, lanes)
        mean = total / splat(width, float32(count))
        store(a.output + pixel * a.output_ld + 4 * c, mean, lanes)

    return reduce


def three_columns(
    machine: Machine, average: bool, stride: int
) -> Callable[[int, int, int, int], None]:
    """Maximum or mean of windows of 3 columns, 1 or 2 apart.

    Each column of a window is reduced once and kept for the next windows that see it.
    """
    width, wide = machine.width, _VECTORS_AT_ONCE * machine.width
    several, whole = _row(wide, False, average, stride), _row(width, False, average, stride)
    part = _row(width, True, average, stride)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PoolArgs, args)
        main, most = a.channels // width * width, a.channels // wide * wide
        for unit in range(begin, end):
            image, row = unit // a.out_height, unit % a.out_height
            top = row * a.stride_y - a.pad_y
            y0, y1 = max(top, 0), min(top + a.kernel_y, a.height)
            rows = min(top + a.kernel_y, a.height + a.pad_y) - top
            # ``base`` is the first row that is read, so that columns walk down from there.
            base = a.input + (image * a.height + y0) * a.width * a.ld
            target = a.output + unit * a.out_width * a.output_ld
            for c in range(0, most, wide):
                several(a, base + 4 * c, target + 4 * c, y1 - y0, rows, wide)
            for c in range(most, main, width):
                whole(a, base + 4 * c, target + 4 * c, y1 - y0, rows, width)
            if main < a.channels:
                left_over = a.channels - main
                part(a, base + 4 * main, target + 4 * main, y1 - y0, rows, left_over)

    return kernel


def _row(width: int, part: bool, average: bool, stride: int) -> Compiled:
    """A function that makes a row of outputs for some channels."""
    column, mean, store = _column(width, part, average), _mean(width), storer(width, part)
    join = _plus if average else maximum

    @njit(inline="always")
    def reduce(a: Record, base: int, target: int, seen: int, rows: int, lanes: int) -> None:
        left = -a.pad_x
        # A window is three columns; each is reduced once:
        #
        #   stride 1:  c0 c1 c2      stride 2:  c0 c1 c2
        #                 c1 c2 c3                    c2 c3 c4
        first = column(a, base, left, seen, lanes)
        second = first
        if stride == 1:
            second = column(a, base, left + 1, seen, lanes)
        for _ in range(a.out_width):
            if stride == 2:
                second = column(a, base, left + 1, seen, lanes)
            third = column(a, base, left + 2, seen, lanes)
            result = join(join(first, second), third)
            if average:
                result = mean(result, rows * (min(left + 3, a.width + a.pad_x) - left))
            store(target, result, lanes)
            target += a.output_ld
            left += stride
            first = second if stride == 1 else third
            second = third

    return reduce


@njit(inline="always")
def _plus(x: Lanes, y: Lanes) -> Lanes:
    return x + y


def _column(width: int, part: bool, average: bool) -> Compiled:
    """A function: what the ``seen`` rows from ``base`` on hold in a column; nothing outside."""
    load = loader(width, part)
    start = float32(0.0) if average else _LOWEST
    join = _plus if average else maximum

    @njit(inline="always")
    def reduce(a: Record, base: int, x: int, seen: int, lanes: int) -> Lanes:
        total = splat(width, start)
        if (0 <= x) & (x < a.width):
            place = base + x * a.ld
            for _ in range(seen):
                total = join(load(place, lanes), total)
                place += a.width * a.ld
        return total

    return reduce


def _mean(width: int) -> Compiled:
    @njit(inline="always")
    def divide(total: Lanes, count: int) -> Lanes:
        return total * splat(width, float32(1.0) / float32(count))

    return divide
