"""Norms of gradients: for clipping by the norm of all (sgd_solver.cpp:86-107), and for local rates.

Units are runs of elements whose length is fixed, and each gives one sum, so that the order of every
sum is the same at any number of threads. Within a run blocks of vectors are added up in float32,
the blocks and the runs in float64.
"""

from __future__ import annotations

from numba import float32, float64, njit

from netc.backends.cpu.kernels.functions import sqrt
from netc.backends.cpu.kernels.lanes import first_lane, folded, loader
from netc.backends.cpu.kernels.simd import as_float, float_at, fma, record, set_float, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.training_args import LocalRateArgs, NormArgs, SquaresArgs

_BLOCK_VECTORS = 8  # vectors whose squares are added up in float32


def squares(machine: Machine) -> Kernel:
    """The sum of squares of each run."""
    width = machine.width
    whole, part = _square(width, False), _square(width, True)
    total = folded(lambda b, x, y: b.fadd(x, y))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(SquaresArgs, args)
        clip, share = splat(width, float_at(a.clip, 0)), splat(width, as_float(a.share))
        for unit in range(begin, end):
            first, last = unit * a.per_unit, min((unit + 1) * a.per_unit, a.number)
            # Blocks in float32, their sums in float64: exact enough for any number of elements, and
            # in an order that the shapes alone fix.
            found = float64(0.0)
            for start in range(first, last, _BLOCK_VECTORS * width):
                stop = min(start + _BLOCK_VECTORS * width, last)
                main = start + (stop - start) // width * width
                sums = splat(width, float32(0.0))
                for at in range(start, main, width):
                    sums = whole(a.input + 4 * at, clip, share, sums, width)
                if main < stop:
                    sums = part(a.input + 4 * main, clip, share, sums, stop - main)
                found = found + float64(total(sums))
            set_float(a.output, unit, float32(found))

    return kernel


def _square(width: int, part: bool) -> Compiled:
    load = loader(width, part)

    @njit(inline="always")
    def square(place: int, clip: Lanes, share: Lanes, sums: Lanes, lanes: int) -> Lanes:
        x = load(place, lanes) * clip * share
        return fma(x, x, sums)

    return square


def _norm_of(width: int) -> Compiled:
    @njit(inline="always")
    def norm_of(place: int, runs: int) -> float:
        # Runs' sums in their order, whoever computed them.
        total = float64(0.0)
        for run in range(runs):
            total = total + float64(float_at(place, run))
        return first_lane(sqrt(splat(width, float32(total))))

    return norm_of


def clip(machine: Machine) -> Kernel:
    """The norm of all, and what scales the gradients to stay below a limit; one unit."""
    norm_of = _norm_of(machine.width)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(NormArgs, args)
        norm, limit, factor = norm_of(a.squares, a.runs), as_float(a.limit), float32(1.0)
        if norm > limit:
            factor = limit / norm
        set_float(a.norm, 0, norm)
        set_float(a.scale, 0, factor)

    return kernel


def local_rate(machine: Machine) -> Kernel:
    """A parameter's own rate: netc.ops.update_rules.local_rate; one unit."""
    norm_of = _norm_of(machine.width)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LocalRateArgs, args)
        w, g = norm_of(a.squares, a.runs), norm_of(a.squares + 4 * a.runs, a.runs)
        rate, own = float_at(a.rate, 0), float32(1.0)
        # LARS (You et al. 2017): ratio * |w| / (|g| + decay * |w|); 1 where either norm is 0.
        if w > float32(0.0) and g > float32(0.0):
            own = as_float(a.ratio) * w / (g + as_float(a.decay) * w)
        if a.clip:
            found = min(rate, own)
        else:
            found = rate * own
        set_float(a.output, 0, found)

    return kernel
