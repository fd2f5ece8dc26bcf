"""Softmax: exp(x - largest) / sum of these, over the innermost axis or over another one."""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.kernel_args import SoftmaxArgs
from netc.backends.cpu.kernels.functions import emit_max, exp, maximum
from netc.backends.cpu.kernels.lanes import folded, loader, storer
from netc.backends.cpu.kernels.simd import (
    load_rest,
    record,
    splat,
    store_part,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine

_LOWEST = float32(float("-inf"))


def rows(machine: Machine) -> Kernel:
    """Over the floats of each row; units are rows."""
    width = machine.width
    largest, total = folded(emit_max), folded(lambda b, x, y: b.fadd(x, y))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(SoftmaxArgs, args)
        lowest = splat(width, _LOWEST)
        for unit in range(begin, end):
            source = a.input + unit * a.ld
            target = a.output + unit * a.output_ld
            # Pass 1: the greatest element, taken off all so that no exponential overflows.
            best = lowest
            for c in range(0, a.count, width):
                best = maximum(load_rest(source + 4 * c, a.count - c, lowest), best)
            # Pass 2: exponentials into the output, and their sum.
            top = splat(width, largest(best))
            sums = splat(width, float32(0.0))
            for c in range(0, a.count, width):
                e = exp(load_rest(source + 4 * c, a.count - c, lowest) - top)
                store_part(target + 4 * c, e, a.count - c)
                sums = sums + e
            # Pass 3: divide them.
            whole = splat(width, total(sums))
            for c in range(0, a.count, width):
                e = load_rest(target + 4 * c, a.count - c, lowest)
                store_part(target + 4 * c, e / whole, a.count - c)

    return kernel


def columns(machine: Machine) -> Kernel:
    """Over ``count`` rows of ``inner`` floats, for each column; units are such groups of rows."""
    width = machine.width
    whole, part = _columns(width, False), _columns(width, True)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(SoftmaxArgs, args)
        main = a.inner // width * width
        for unit in range(begin, end):
            source = a.input + unit * a.count * a.ld
            target = a.output + unit * a.count * a.output_ld
            for c in range(0, main, width):
                whole(a, source + 4 * c, target + 4 * c, width)
            if main < a.inner:
                part(a, source + 4 * main, target + 4 * main, a.inner - main)

    return kernel


def _columns(width: int, part: bool) -> Compiled:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def vector(a: Record, source: int, target: int, lanes: int) -> None:
        # The same three passes, down the rows of a vector of columns.
        best = get(source, lanes)
        for i in range(1, a.count):
            best = maximum(get(source + i * a.ld, lanes), best)
        sums = splat(width, float32(0.0))
        for i in range(a.count):
            e = exp(get(source + i * a.ld, lanes) - best)
            put(target + i * a.output_ld, e, lanes)
            sums = sums + e
        for i in range(a.count):
            put(target + i * a.output_ld, get(target + i * a.output_ld, lanes) / sums, lanes)

    return vector
