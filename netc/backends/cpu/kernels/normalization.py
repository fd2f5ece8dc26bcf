"""Local response normalisation, vectorised over channels.

Powers of beta 1 and 0.5 are done by a root and a division, 0.75 by an iteration without either, and
others by exp and log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir
from numba import float32, njit, types

from netc.backends.cpu.kernel_args import LrnArgs
from netc.backends.cpu.kernels.functions import (
    emit_any_log,
    emit_exp,
    emit_sqrt,
)
from netc.backends.cpu.kernels.lanes import clipped, loader, over_channels, storer
from netc.backends.cpu.kernels.simd import (
    I32,
    as_float,
    emit_fma,
    float_at,
    fma,
    function,
    load,
    load_part,
    record,
    same,
    set_float,
    splat,
    store,
    store_part,
    to_first,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record, Seen
from netc.backends.cpu.machine import Machine

_QUARTER = 0x4F58CAE5  # 1.25 times the bits of a number close to 1: the first guess's error is 4 %


def power_of(kind: str) -> Compiled:
    """A Numba function (x, base, beta): x * base ** -beta."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        x, base, beta = values
        if kind == "one":
            return b.fdiv(x, base)
        if kind == "half":
            return b.fdiv(x, emit_sqrt(b, base))
        if kind == "three quarters":
            root = _emit_inverse_fourth_root(b, base)
            return b.fmul(b.fmul(x, root), b.fmul(root, root))
        return b.fmul(x, emit_exp(b, b.fneg(b.fmul(beta, emit_any_log(b, base)))))

    return function("power", 3, to_first, emit)


def _emit_inverse_fourth_root(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """X ** -0.25 of normal positive numbers, to 2 units in the last place; of infinity 0.

    The exponent's bits, divided by -4, give a first guess y; with r = 1 - x y^4 the answer is
    y (1 - r) ** -0.25, of which two terms of the series leave the third power of the error.
    """
    n = x.type.count
    bits = ir.VectorType(I32, n)
    quarter = b.lshr(b.bitcast(x, bits), ir.Constant(bits, [2] * n))
    y = b.bitcast(b.sub(ir.Constant(bits, [_QUARTER] * n), quarter), x.type)
    for _ in range(2):
        square = b.fmul(y, y)
        r = emit_fma(b, b.fneg(b.fmul(x, square)), square, same(n, 1.0))
        series = b.fmul(r, emit_fma(b, r, same(n, 0.15625), same(n, 0.25)))
        y = emit_fma(b, y, series, y)
    infinite = b.fcmp_ordered("==", x, same(n, float("inf")))
    return b.select(infinite, same(n, 0.0), y)


def across(machine: Machine, power: str, size: int) -> Kernel:
    """x / (k + alpha / size * the sum of squares of ``size`` channels around) ** beta.

    Units are pixels.
    """
    if (size - 1) // 2 > machine.width:
        return _far(machine.width, power_of(power))
    return _near(machine.width, power_of(power), _window(machine.width, size))


def _near(width: int, power: Compiled, window: Compiled) -> Kernel:
    """The kernel for sizes that reach into the next vector at most: squares stay in registers."""

    @njit(inline="always")
    def read(address: int, count: int) -> Lanes:
        if count >= width:
            return load(width, address)
        return load_part(width, address, count)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LrnArgs, args)
        factor, k = splat(width, as_float(a.factor)), splat(width, as_float(a.k))
        beta, zero = splat(width, as_float(a.beta)), splat(width, float32(0.0))
        for unit in range(begin, end):
            source = a.input + unit * a.ld
            target = a.output + unit * a.output_ld
            # Three vectors of squares slide over a pixel's channels; the window reads all three.
            #
            #   before | middle | after        sums of ``size`` lanes around each lane of ``middle``
            before = zero
            x = read(source, a.channels)
            for c in range(0, a.channels, width):
                coming = zero
                if c + width < a.channels:
                    coming = read(source + 4 * (c + width), a.channels - c - width)
                total = window(before, x * x, coming * coming)
                y = power(x, fma(total, factor, k), beta)
                store_part(target + 4 * c, y, a.channels - c)
                before = x * x
                x = coming

    return kernel


def _window(width: int, size: int) -> Compiled:
    """A Numba function (before, middle, after): sums of ``size`` neighbouring lanes."""
    reach = (size - 1) // 2

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        before, middle, after = values
        total = middle
        for distance in range(1, reach + 1):
            # Lanes to the left come from ``before``, those to the right from ``after``.
            total = b.fadd(total, _shifted(b, before, middle, width - distance))
            total = b.fadd(total, _shifted(b, middle, after, distance))
        return total

    return function("window", 3, to_first, emit)


def _shifted(b: ir.IRBuilder, low: ir.Value, high: ir.Value, start: int) -> ir.Value:
    """One vector cut out of ``low`` followed by ``high``, from lane ``start`` on."""
    lanes = ir.VectorType(I32, low.type.count)
    order = ir.Constant(lanes, [start + i for i in range(low.type.count)])
    return b.shuffle_vector(low, high, order)


def _far(width: int, power: Compiled) -> Kernel:
    """The kernel for any size: scratch memory holds a pixel's squares with zeros at both ends."""
    whole = _far_vector(width, False, power)
    part = _far_vector(width, True, power)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LrnArgs, args)
        before = (a.size - 1) // 2
        main = a.channels // width * width
        # Scratch: [before: zeros][channels: squares][zeros]; a window never leaves it.
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


def _far_vector(width: int, part: bool, power: Compiled) -> Compiled:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def vector(a: Record, source: int, squares: int, target: int, lanes: int) -> None:
        # ``size`` overlapping loads of squares are summed; there is no other state.
        total = load(width, squares)
        for i in range(1, a.size):
            total = total + load(width, squares + 4 * i)
        base = fma(total, splat(width, as_float(a.factor)), splat(width, as_float(a.k)))
        put(target, power(get(source, lanes), base, splat(width, as_float(a.beta))), lanes)

    return vector


def within(machine: Machine, power: str) -> Kernel:
    """x / (1 + alpha * the mean of squares of size x size pixels around) ** beta.

    The mean counts padding as far as Caffe's average pooling does. Units are rows.
    """
    divide = over_channels(machine.width, _within_vector(power_of(power)))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LrnArgs, args)
        pad = (a.size - 1) // 2
        for unit in range(begin, end):
            image, row = unit // a.height, unit % a.height
            y0, y1, rows = clipped(row - pad, a.size, a.height, pad)
            base = a.input + image * a.height * a.width * a.ld
            for x in range(a.width):
                x0, x1, columns = clipped(x - pad, a.size, a.width, pad)
                divide(a, (base, y0, y1, x0, x1, rows * columns, unit * a.width + x))

    return kernel


def _within_vector(power: Compiled) -> Callable[[int, bool], Compiled]:
    def made(width: int, part: bool) -> Compiled:
        get, put = loader(width, part), storer(width, part)

        @njit(inline="always")
        def vector(a: Record, where: Seen, c: int, lanes: int) -> None:
            base, y0, y1, x0, x1, count, pixel = where
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

    return made
