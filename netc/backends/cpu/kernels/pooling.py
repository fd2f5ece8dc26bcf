"""Pooling, vectorised over channels. Units of work are rows of output pixels.

Sizes come as plain numbers: the builder has applied Caffe's rounding and clipping rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import float32, njit

from netc.backends.cpu.kernels.functions import greater, maximum, select
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import record, splat
from netc.backends.cpu.layouts import PoolArgs
from netc.backends.cpu.machine import Machine

_LOWEST = float32(-3.4028234663852886e38)  # Caffe starts its search for the largest at -FLT_MAX


def max_pool(machine: Machine, mask: bool) -> Callable[[int, int, int, int], None]:
    """Maximum; with ``mask`` also the index (row * width + column) of the first one, or -1."""
    reduce = _mask_reducer if mask else _max_reducer
    return _pool(machine.width, reduce(machine.width, False), reduce(machine.width, True))


def average_pool(machine: Machine) -> Callable[[int, int, int, int], None]:
    """Mean; the divisor counts the window as far as it lies in the padded input."""
    return _pool(
        machine.width, _mean_reducer(machine.width, False), _mean_reducer(machine.width, True)
    )


def _pool(width: int, whole: Any, part: Any) -> Callable[[int, int, int, int], None]:
    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PoolArgs, args)
        main = a.channels // width * width
        for unit in range(begin, end):
            image, row = unit // a.out_height, unit % a.out_height
            top = row * a.stride_y - a.pad_y
            y0, y1 = max(top, 0), min(top + a.kernel_y, a.height)
            rows = min(top + a.kernel_y, a.height + a.pad_y) - top
            base = a.input + image * a.height * a.width * a.ld
            for column in range(a.out_width):
                left = column * a.stride_x - a.pad_x
                x0, x1 = max(left, 0), min(left + a.kernel_x, a.width)
                count = rows * (min(left + a.kernel_x, a.width + a.pad_x) - left)
                pixel = unit * a.out_width + column
                for c in range(0, main, width):
                    whole(a, base + 4 * c, y0, y1, x0, x1, count, pixel, c, width)
                if main < a.channels:
                    left_over = a.channels - main
                    part(a, base + 4 * main, y0, y1, x0, x1, count, pixel, main, left_over)

    return kernel


def _max_reducer(width: int, part: bool) -> Any:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(
        a: Any,
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


def _mask_reducer(width: int, part: bool) -> Any:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(
        a: Any,
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
                index = y * a.width + x
                value = load(base + index * a.ld, lanes)
                higher = greater(value, best)
                where = select(higher, splat(width, float32(index)), where)
                best = select(higher, value, best)
        store(a.output + pixel * a.output_ld + 4 * c, best, lanes)
        store(a.mask + pixel * a.mask_ld + 4 * c, where, lanes)

    return reduce


def _mean_reducer(width: int, part: bool) -> Any:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(
        a: Any,
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
