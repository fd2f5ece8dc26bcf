"""Items of a batch whose selector is not 0: Filter."""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.kernel_args import FilterArgs
from netc.backends.cpu.kernels.lanes import loader, over_channels, storer
from netc.backends.cpu.kernels.simd import float_at, record, set_int, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine


def chosen(machine: Machine) -> Kernel:
    """Copy items that are chosen, in order, and write zeros behind them. One unit."""
    copy = over_channels(machine.width, _copied)
    clear = over_channels(machine.width, _cleared)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(FilterArgs, args)
        found = 0
        for item in range(a.items):
            if float_at(a.selector + item * a.selector_ld, 0) != float32(0.0):
                for pixel in range(a.pixels):
                    source = a.input + (item * a.pixels + pixel) * a.ld
                    copy(a, (source, a.output + (found * a.pixels + pixel) * a.output_ld))
                found += 1
        for pixel in range(found * a.pixels, a.items * a.pixels):
            clear(a, (a.output + pixel * a.output_ld, 0))
        set_int(a.status, 0, found)

    return kernel


def _copied(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def copy(a: Record, where: tuple[int, int], c: int, lanes: int) -> None:
        source, target = where
        store(target + 4 * c, load(source + 4 * c, lanes), lanes)

    return copy


def _cleared(width: int, part: bool) -> Compiled:
    store = storer(width, part)

    @njit(inline="always")
    def clear(a: Record, where: tuple[int, int], c: int, lanes: int) -> None:
        store(where[0] + 4 * c, splat(width, float32(0.0)), lanes)

    return clear
