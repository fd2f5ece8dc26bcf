"""Local response normalisation, vectorised over channels.

Powers of beta 1, 0.75 and 0.5 are done by roots and divisions, others by exp and log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import float32, njit

from netc.backends.cpu.kernels.functions import (
    emit_exp,
    emit_log,
    emit_sqrt,
)
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import (
    _first,
    as_float,
    float_at,
    fma,
    function,
    load,
    record,
    set_float,
    splat,
    store,
)
from netc.backends.cpu.layouts import LrnArgs
from netc.backends.cpu.machine import Machine


def _power(kind: str) -> Any:
    """A Numba function (x, base, beta): x * base ** -beta."""

    def emit(b: ir.IRBuilder, arguments: Any, values: Any) -> Any:
        x, base, beta = values
        if kind == "one":
            return b.fdiv(x, base)
        if kind == "half":
            return b.fdiv(x, emit_sqrt(b, base))
        if kind == "three quarters":
            root = emit_sqrt(b, base)
            return b.fdiv(x, b.fmul(root, emit_sqrt(b, root)))
        return b.fmul(x, emit_exp(b, b.fneg(b.fmul(beta, emit_log(b, base)))))

    return function("power", 3, _first, emit)


def across(machine: Machine, power: str) -> Callable[[int, int, int, int], None]:
    """x / (k + alpha / size * the sum of squares of ``size`` channels around) ** beta.

    Units are pixels. The scratch memory holds a pixel's squares with zeros at both ends.
    """
    width = machine.width
    whole = _across_vector(width, False, _power(power))
    part = _across_vector(width, True, _power(power))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LrnArgs, args)
        before = (a.size - 1) // 2
        main = a.channels // width * width
        for i in range(before + a.channels + a.size + width):
            set_float(scratch, i, float32(0.0))
        squares = scratch + 4 * before
        for unit in range(begin, end):
            source = a.input + unit * a.ld
            for c in range(0, main, width):
                x = load(width, source + 4 * c)
                store(squares + 4 * c, x * x)
            for c in range(main, a.channels):
                set_float(squares, c, float_at(source, c) * float_at(source, c))
            target = a.output + unit * a.output_ld
            for c in range(0, main, width):
                whole(a, source + 4 * c, scratch + 4 * c, target + 4 * c, width)
            if main < a.channels:
                rest = a.channels - main
                part(a, source + 4 * main, scratch + 4 * main, target + 4 * main, rest)

    return kernel


def _across_vector(width: int, part: bool, power: Any) -> Any:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def vector(a: Any, source: int, squares: int, target: int, lanes: int) -> None:
        total = load(width, squares)
        for i in range(1, a.size):
            total = total + load(width, squares + 4 * i)
        base = fma(total, splat(width, as_float(a.factor)), splat(width, as_float(a.k)))
        put(target, power(get(source, lanes), base, splat(width, as_float(a.beta))), lanes)

    return vector


def within(machine: Machine, power: str) -> Callable[[int, int, int, int], None]:
    """x / (1 + alpha * the mean of squares of size x size pixels around) ** beta.

    The mean counts padding as far as Caffe's average pooling does. Units are rows.
    """
    width = machine.width
    whole = _within_vector(width, False, _power(power))
    part = _within_vector(width, True, _power(power))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LrnArgs, args)
        pad = (a.size - 1) // 2
        main = a.channels // width * width
        for unit in range(begin, end):
            image, row = unit // a.height, unit % a.height
            y0, y1 = max(row - pad, 0), min(row - pad + a.size, a.height)
            rows = min(row - pad + a.size, a.height + pad) - (row - pad)
            base = a.input + image * a.height * a.width * a.ld
            for x in range(a.width):
                x0, x1 = max(x - pad, 0), min(x - pad + a.size, a.width)
                count = rows * (min(x - pad + a.size, a.width + pad) - (x - pad))
                pixel = unit * a.width + x
                for c in range(0, main, width):
                    whole(a, base, y0, y1, x0, x1, count, pixel, c, width)
                if main < a.channels:
                    part(a, base, y0, y1, x0, x1, count, pixel, main, a.channels - main)

    return kernel


def _within_vector(width: int, part: bool, power: Any) -> Any:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def vector(
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
                value = get(base + (y * a.width + x) * a.ld + 4 * c, lanes)
                total = fma(value, value, total)
        mean = total / splat(width, float32(count))
        divisor = fma(mean, splat(width, as_float(a.factor)), splat(width, as_float(a.k)))
        value = get(a.input + pixel * a.ld + 4 * c, lanes)
        put(
            a.output + pixel * a.output_ld + 4 * c,
            power(value, divisor, splat(width, as_float(a.beta))),
            lanes,
        )

    return vector
