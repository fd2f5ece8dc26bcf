"""The gradient of local response normalisation across channels (lrn_layer.cpp).

With s = k + factor * the sum of squares of the channels around,

    dx = dy s^-beta - 2 factor beta x * the sum of dy y / s over the channels around

A unit is a pixel. Its squares and then its shares dy y / s lie in scratch memory with zeros on
either side, so that a window's sum is one of shifted loads.
"""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.gradient_args import LrnBackArgs
from netc.backends.cpu.kernels.normalization import power_of
from netc.backends.cpu.kernels.simd import (
    as_float,
    fma,
    load,
    load_part,
    record,
    splat,
    store,
    store_part,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes
from netc.backends.cpu.machine import Machine


def across(machine: Machine, power: str, read_y: bool) -> Kernel:
    """The kernel; a row of scratch memory is ``row`` bytes and begins with ``margin`` zeros.

    y is x s^-beta unless it is read, since a later layer in place has left something else there.
    """
    width = machine.width
    raised, window = power_of(power), _window(width)

    @njit(inline="always")
    def read(address: int, count: int) -> Lanes:
        if count >= width:
            return load(width, address)
        return load_part(width, address, count)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LrnBackArgs, args)
        factor, k = splat(width, as_float(a.factor)), splat(width, as_float(a.k))
        beta, twice = splat(width, as_float(a.beta)), splat(width, as_float(a.twice))
        zero = splat(width, float32(0.0))
        # Scratch: three rows of a pixel's channels, each with zeros around, so that windows need
        # no check at the first and the last channels:
        #
        #   [margin 0][squares   ][margin 0]
        #   [margin 0][shares    ][margin 0]   dy * y / s
        #   [margin 0][direct    ][margin 0]   dy * s^-beta
        for at in range(0, 3 * a.row, 4 * width):
            store(scratch + at, zero)
        squares = scratch + a.margin
        shares, direct = squares + a.row, squares + 2 * a.row
        for unit in range(begin, end):
            x, y = a.input + unit * a.ld, a.result + unit * a.result_ld
            top, out = a.top + unit * a.top_ld, a.output + unit * a.output_ld
            # Pass 1: squares of the pixel's channels.
            for c in range(0, a.channels, width):
                value = read(x + 4 * c, a.channels - c)
                store(squares + 4 * c, value * value)
            for c in range(0, a.channels, width):
                # Pass 2: s = k + factor * (sum of squares around), and from it both terms.
                base = fma(window(squares + 4 * c, a.reach), factor, k)
                dy = read(top + 4 * c, a.channels - c)
                scaled = raised(dy, base, beta)
                store(direct + 4 * c, scaled)
                if read_y:
                    store(shares + 4 * c, dy * read(y + 4 * c, a.channels - c) / base)
                else:
                    store(shares + 4 * c, scaled * read(x + 4 * c, a.channels - c) / base)
            for c in range(0, a.channels, width):
                # Pass 3: dx = dy * s^-beta - 2 * factor * beta * x * (sum of the shares around).
                around = window(shares + 4 * c, a.reach)
                value = read(x + 4 * c, a.channels - c)
                made = fma(twice * value, around, load(width, direct + 4 * c))
                store_part(out + 4 * c, made, a.channels - c)

    return kernel


def _window(width: int) -> Compiled:
    """A function (address, reach): the sum of the vectors up to ``reach`` floats to either side."""

    @njit(inline="always")
    def window(address: int, reach: int) -> Lanes:
        total = load(width, address)
        for distance in range(1, reach + 1):
            total = total + load(width, address - 4 * distance)
            total = total + load(width, address + 4 * distance)
        return total

    return window
