"""Pooling, vectorised over channels. Units of work are rows of output pixels.

Sizes come as plain numbers: the builder has applied Caffe's rounding and clipping rules.
"""

from __future__ import annotations

from functools import partial

from numba import float32, njit

from netc.backends.cpu.kernels.functions import greater, maximum, select, size_to_power, sqrt
from netc.backends.cpu.kernels.lanes import clipped, loader, over_channels, storer
from netc.backends.cpu.kernels.reduced import larger_codes
from netc.backends.cpu.kernels.simd import record, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record, Seen
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.window_args import POOL_BLOCK

_LOWEST = float32(-3.4028234663852886e38)  # Caffe starts its search for the largest at -FLT_MAX


# A maximum or a sum depends on the one before it: with one vector of channels the processor waits
# for each result, with four it always has another one to work on.
_VECTORS_AT_ONCE = 4  # vectors of channels done at a time, so that no sum waits for itself


def max_pool(machine: Machine, mask: bool) -> Kernel:
    """Maximum; with ``mask`` also the index (row * width + column) of the first one, or -1."""
    return _pool(machine.width, _mask_reducer if mask else partial(_best_reducer, maximum, _LOWEST))


def average_pool(machine: Machine) -> Kernel:
    """Mean; the divisor counts the window as far as it lies in the padded input."""
    return _pool(machine.width, _mean_reducer)


def norm_pool(machine: Machine, power: float) -> Kernel:
    """The p-norm of a window: nothing is added outside of the input."""
    return _pool(machine.width, partial(_norm_reducer, power))


def max_codes(machine: Machine) -> Kernel:
    """Maximum of bytes without a sign, four in the place of a channel."""
    return _pool(machine.width, partial(_best_reducer, larger_codes, 0.0))


def _pool(width: int, reducer: Compiled) -> Kernel:
    reduce = over_channels(width, reducer, _VECTORS_AT_ONCE)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(POOL_BLOCK, args)
        for unit in range(begin, end):
            image, row = unit // a.out_height, unit % a.out_height
            y0, y1, rows = clipped(row * a.stride_y - a.pad_y, a.kernel_y, a.height, a.pad_y)
            base = a.input + image * a.height * a.width * a.ld
            for column in range(a.out_width):
                left = column * a.stride_x - a.pad_x
                x0, x1, columns = clipped(left, a.kernel_x, a.width, a.pad_x)
                pixel = unit * a.out_width + column
                reduce(a, (base, y0, y1, x0, x1, rows * columns, pixel))

    return kernel


def _best_reducer(larger: Compiled, start: float, width: int, part: bool) -> Compiled:
    """The largest element of a window by ``larger``, and ``start`` where it has none."""
    load, store = loader(width, part), storer(width, part)
    lowest = float32(start)

    @njit(inline="always")
    def reduce(a: Record, where: Seen, c: int, lanes: int) -> None:
        base, y0, y1, x0, x1, _, pixel = where
        base += 4 * c
        best = splat(width, lowest)
        for y in range(y0, y1):
            for x in range(x0, x1):
                best = larger(load(base + (y * a.width + x) * a.ld, lanes), best)
        store(a.output + pixel * a.output_ld + 4 * c, best, lanes)

    return reduce


def _mask_reducer(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(a: Record, where: Seen, c: int, lanes: int) -> None:
        base, y0, y1, x0, x1, _, pixel = where
        base += 4 * c
        best = splat(width, _LOWEST)
        index_of = splat(width, float32(-1.0))
        for y in range(y0, y1):
            for x in range(x0, x1):
                # The index in the plane, as Caffe's mask has it; exact in float32 below 2 ** 24.
                index = y * a.width + x
                value = load(base + index * a.ld, lanes)
                # Strictly greater: of equal elements the first one counts, as in Caffe.
                higher = greater(value, best)
                index_of = select(higher, splat(width, float32(index)), index_of)
                best = select(higher, value, best)
        store(a.output + pixel * a.output_ld + 4 * c, best, lanes)
        store(a.mask + pixel * a.mask_ld + 4 * c, index_of, lanes)

    return reduce


def _mean_reducer(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(a: Record, where: Seen, c: int, lanes: int) -> None:
        base, y0, y1, x0, x1, count, pixel = where
        base += 4 * c
        total = splat(width, float32(0.0))
        for y in range(y0, y1):
            for x in range(x0, x1):
                total = total + load(base + (y * a.width + x) * a.ld, lanes)
        mean = total / splat(width, float32(count))
        store(a.output + pixel * a.output_ld + 4 * c, mean, lanes)

    return reduce


def _norm_reducer(power: float, width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)
    euclidean = power == 2.0
    p, root = float32(power), float32(1.0) / float32(power)

    @njit(inline="always")
    def reduce(a: Record, where: Seen, c: int, lanes: int) -> None:
        base, y0, y1, x0, x1, _, pixel = where
        base += 4 * c
        total = splat(width, float32(0.0))
        for y in range(y0, y1):
            for x in range(x0, x1):
                value = load(base + (y * a.width + x) * a.ld, lanes)
                if euclidean:
                    total = total + value * value
                else:
                    total = total + size_to_power(value, splat(width, p))
        if euclidean:
            total = sqrt(total)
        else:
            total = size_to_power(total, splat(width, root))
        store(a.output + pixel * a.output_ld + 4 * c, total, lanes)

    return reduce


def three_columns(machine: Machine, average: bool, stride: int) -> Kernel:
    """Maximum or mean of windows of 3 columns, 1 or 2 apart.

    Each column of a window is reduced once and kept for the next windows that see it.
    """

    def row(width: int, part: bool) -> Compiled:
        return _row(width, part, average, stride)

    reduce = over_channels(machine.width, row, _VECTORS_AT_ONCE)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(POOL_BLOCK, args)
        for unit in range(begin, end):
            image, row = unit // a.out_height, unit % a.out_height
            y0, y1, rows = clipped(row * a.stride_y - a.pad_y, a.kernel_y, a.height, a.pad_y)
            # ``base`` is the first row that is read, so that columns walk down from there.
            base = a.input + (image * a.height + y0) * a.width * a.ld
            reduce(a, (base, a.output + unit * a.out_width * a.output_ld, y1 - y0, rows))

    return kernel


def _row(width: int, part: bool, average: bool, stride: int) -> Compiled:
    """A function that makes a row of outputs for some channels."""
    column, mean, store = _column(width, part, average), _mean(width), storer(width, part)
    join = _plus if average else maximum

    @njit(inline="always")
    def reduce(a: Record, where: tuple[int, int, int, int], c: int, lanes: int) -> None:
        base, target, seen, rows = where
        base, target, left = base + 4 * c, target + 4 * c, -a.pad_x
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
