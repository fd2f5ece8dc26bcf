"""Means and deviations over pixels, and lengths of pixels, vectorised over channels."""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.kernel_args import LengthArgs, MomentArgs
from netc.backends.cpu.kernels.functions import sqrt
from netc.backends.cpu.kernels.lanes import emit_fold, loader, storer
from netc.backends.cpu.kernels.simd import (
    as_float,
    fma,
    function,
    load,
    load_rest,
    record,
    splat,
    store_part,
    to_float32,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine

_RUN = 128  # pixels summed up by themselves, so that a long sum loses little


def moments(machine: Machine, kind: str) -> Kernel:
    """Mean and deviation of each channel; units are vectors of channels of a group of pixels.

    ``kind`` says what the deviation is, with the variance v and the mean square s: "inside"
    sqrt(v + eps), "outside" sqrt(v) + eps, "difference" sqrt(s - mean * mean + eps), which loses
    what SegNet's layer loses, and "none" leaves it alone.
    """
    width = machine.width
    whole, part = _moments(width, False, kind), _moments(width, True, kind)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(MomentArgs, args)
        vectors = (a.channels + width - 1) // width
        for unit in range(begin, end):
            group, c = unit // vectors, unit % vectors * width
            source = a.input + group * a.pixels * a.ld + 4 * c
            target = 4 * (group * a.channels + c)
            if c + width <= a.channels:
                whole(a, source, target, width)
            else:
                part(a, source, target, a.channels - c)

    return kernel


def _moments(width: int, part: bool, kind: str) -> Compiled:
    get, put = loader(width, part), storer(width, part)
    total, squares = _total(get, width, False), _total(get, width, True)

    @njit(inline="always")
    def vector(a: Record, source: int, target: int, lanes: int) -> None:
        # The mean first, then the sum of squares that the kind asks for.
        count, zero = splat(width, float32(a.pixels)), splat(width, float32(0.0))
        mean = total(a, source, zero, lanes) / count
        put(a.mean + target, mean, lanes)
        if kind == "none":
            return
        eps = splat(width, as_float(a.eps))
        if kind == "difference":
            result = sqrt(squares(a, source, zero, lanes) / count - mean * mean + eps)
        elif kind == "inside":
            result = sqrt(squares(a, source, mean, lanes) / count + eps)
        else:
            result = sqrt(squares(a, source, mean, lanes) / count) + eps
        put(a.deviation + target, result, lanes)

    return vector


def _total(get: Compiled, width: int, square: bool) -> Compiled:
    """A function: the sum over the pixels of what is beyond ``middle``, or of its square."""

    @njit(inline="always")
    def add(a: Record, source: int, middle: Lanes, lanes: int) -> Lanes:
        total = splat(width, float32(0.0))
        # A long sum in runs: the rounding error grows with a run's length, not with all of it.
        for start in range(0, a.pixels, _RUN):
            run = splat(width, float32(0.0))
            for pixel in range(start, min(start + _RUN, a.pixels)):
                x = get(source + pixel * a.ld, lanes)
                if square:
                    x = x - middle
                    run = fma(x, x, run)
                else:
                    run = run + x
            total = total + run
        return total

    return add


def lengths(machine: Machine) -> Kernel:
    """x / sqrt(the sum of the pixel's squares + eps) * the channel's factor; units are pixels."""
    width = machine.width
    fold = function(
        "fold", 1, to_float32, lambda b, t, v: emit_fold(b, v[0], lambda x, y: b.fadd(x, y))
    )

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LengthArgs, args)
        zero = splat(width, float32(0.0))
        for unit in range(begin, end):
            source = a.input + unit * a.ld
            target = a.output + unit * a.output_ld
            # Pass 1: the pixel's sum of squares; pass 2 divides its channels.
            squares = zero
            for c in range(0, a.channels, width):
                x = load_rest(source + 4 * c, a.channels - c, zero)
                squares = fma(x, x, squares)
            length = sqrt(splat(width, fold(squares)) + splat(width, as_float(a.eps)))
            for c in range(0, a.channels, width):
                x = load_rest(source + 4 * c, a.channels - c, zero)
                y = x / length * load(width, a.factors + 4 * c)
                store_part(target + 4 * c, y, a.channels - c)

    return kernel
