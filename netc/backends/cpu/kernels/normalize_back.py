"""The gradient of what was normalised by its own statistics, vectorised over channels."""

from __future__ import annotations

from numba import njit

from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import (
    load,
    record,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.sum_args import (
    NormalizeBackArgs,
)


def normalize_back(machine: Machine) -> Kernel:
    """(dy - mean(dy) - (x - mean) * slope) * factor; units are groups of pixels."""
    width = machine.width
    whole, part = (_normalize_back(width, p) for p in (False, True))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(NormalizeBackArgs, args)
        main = a.channels // width * width
        for unit in range(begin, end):
            first = unit * a.per_unit
            count = min(a.per_unit, a.pixels - first)
            for c in range(0, main, width):
                whole(a, first, count, 4 * c, width)
            if main < a.channels:
                part(a, first, count, 4 * main, a.channels - main)

    return kernel


def _normalize_back(width: int, part: bool) -> Compiled:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def column(a: Record, first: int, count: int, at: int, lanes: int) -> None:
        mean, given = load(width, a.sums + at), load(width, a.sums + a.row + at)
        slope = load(width, a.sums + 2 * a.row + at)
        factor = load(width, a.sums + 3 * a.row + at)
        for pixel in range(first, first + count):
            # dx = (dy - mean(dy) - (x - mean) * slope) * factor, all four constants of the channel.
            deviation = get(a.input + pixel * a.ld + at, lanes) - mean
            top = get(a.other + pixel * a.other_ld + at, lanes) - given
            put(a.output + pixel * a.output_ld + at, (top - deviation * slope) * factor, lanes)

    return column
