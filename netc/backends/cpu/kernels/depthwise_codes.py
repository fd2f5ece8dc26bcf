"""Convolution of each channel by itself, of int8 codes, vectorised over channels.

Codes become float32, less their zero: then sums of products are those of whole numbers below
2**24, exact in any order, on machines with instructions for int8 and without. They are finished as
those of other int8 products are. Units, and how a row is cut, are as in
:mod:`netc.backends.cpu.kernels.depthwise`.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import float32, njit, types

from netc.backends.cpu.kernels.depthwise import BLOCK, unclipped, window_rows
from netc.backends.cpu.kernels.epilogue import EpilogueEmitter, Formats
from netc.backends.cpu.kernels.reduced import BYTES, emit_load_small, ints
from netc.backends.cpu.kernels.simd import (
    I8,
    Vector,
    as_float,
    emit_fma,
    emit_load,
    emit_mask,
    emit_splat,
    float_at,
    function,
    i64,
    record,
    splat,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import INPUT_ZERO, constants_of
from netc.backends.cpu.window_args import DEPTHWISE_BLOCK


def depthwise(
    machine: Machine,
    columns: int,
    stride: int,
    dilation: int,
    activation: str,
    residual: bool,
    formats: tuple[str, str, str],
) -> Kernel:
    """The kernel for windows of ``columns`` taps a row, ``stride`` and ``dilation`` in a row.

    ``formats`` are :class:`Formats`, the first "int8".
    """
    width = machine.width
    whole = _single(width, False, activation, residual, formats)
    part = _single(width, True, activation, residual, formats)
    block = _block(width, columns, stride, dilation, activation, residual, formats)

    @njit(inline="always")
    def row(a: Record, base: int, y0: int, y1: int, out: int, zero: float) -> None:
        main = a.channels // width * width
        left, right = unclipped(a, columns, stride, dilation)
        for x in range(left, right, BLOCK):
            place = base + (x * stride - a.pad_x) * a.ld
            for c in range(0, main, width):
                block(a, place + c, y0, y1, out + x * a.out_step, c, zero)
        for x in range(a.out_width):
            if (x < left) | (x >= right):
                for c in range(0, main, width):
                    whole(a, base, x, y0, y1, out + x * a.out_step, c, width, zero)
            if main < a.channels:
                rest = a.channels - main
                part(a, base, x, y0, y1, out + x * a.out_step, main, rest, zero)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(DEPTHWISE_BLOCK, args)
        zero = float_at(a.bias, 3 * width + INPUT_ZERO)
        for unit in range(begin, end):
            base, y0, y1, out = window_rows(a, unit)
            row(a, base, y0, y1, out, zero)

    return kernel


def _single(
    width: int, part: bool, activation: str, residual: bool, formats: tuple[str, str, str]
) -> Compiled:
    """A function that does one output's vector, its window clipped at the sides."""
    add, save = _tap(width, part), saver(width, part, activation, residual, formats)

    @njit(inline="always")
    def single(
        a: Record, base: int, x: int, y0: int, y1: int, index: int, c: int, lanes: int, zero: float
    ) -> None:
        total = splat(width, float32(0.0))
        for i in range(y0, y1):
            source = base + i * a.dilation_y * a.width * a.ld + c
            for j in range(a.kernel_x):
                u = x * a.stride_x - a.pad_x + j * a.dilation_x
                if (0 <= u) & (u < a.width):
                    weights = a.weights + (i * a.kernel_x + j) * a.tap + 4 * c
                    total = add(total, source + u * a.ld, weights, zero, lanes)
        save(a, total, index, c)

    return single


def _tap(width: int, part: bool) -> Compiled:
    """A Numba function (sum, codes, weights, zero, lanes) -> sum."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        total, source, weights, zero, lanes = values
        mask = emit_mask(b, width, lanes) if part else None
        pixel = _emit_pixel(b, width, source, emit_splat(b, zero, width), mask)
        return emit_fma(b, pixel, emit_load(b, weights, 0, vector(width)), total)

    return function("tap", 5, lambda total, *rest: total, emit)


def _emit_pixel(
    b: ir.IRBuilder, width: int, source: ir.Value, zero: ir.Value, mask: ir.Value | None = None
) -> ir.Value:
    """Codes less their zero, as float32 lanes."""
    codes = emit_load_small(b, source, ints(width, kind=I8), mask)
    return b.fsub(b.sitofp(b.zext(codes, ints(width)), vector(width)), zero)


def _block(
    width: int,
    columns: int,
    stride: int,
    dilation: int,
    activation: str,
    residual: bool,
    formats: tuple[str, str, str],
) -> Compiled:
    """A function that does the same vector of ``BLOCK`` neighbouring outputs."""
    sweep = _sweep(width, columns, stride, dilation)
    save = saver(width, False, activation, residual, formats)

    @njit(inline="always")
    def block(a: Record, place: int, y0: int, y1: int, index: int, c: int, zero: float) -> None:
        start = splat(width, float32(0.0))
        sums = (start, start, start, start)
        for i in range(y0, y1):
            source = place + i * a.dilation_y * a.width * a.ld
            weights = a.weights + i * columns * a.tap + 4 * c
            sums = sweep(sums, source, a.ld, weights, a.tap, zero)
        save(a, sums[0], index, c)
        save(a, sums[1], index + a.out_step, c)
        save(a, sums[2], index + 2 * a.out_step, c)
        save(a, sums[3], index + 3 * a.out_step, c)

    return block


def _sweep(width: int, columns: int, stride: int, dilation: int) -> Compiled:
    """A Numba function (sums, source, ld, weights, tap, zero) -> sums, over a row of the window."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        packed, source, ld, weights, tap, zero = values
        zeros = emit_splat(b, zero, width)
        # Each distinct pixel under the block's windows is loaded once.
        positions = {i * stride + j * dilation for i in range(BLOCK) for j in range(columns)}
        pixels = {
            u: _emit_pixel(b, width, b.add(source, b.mul(ld, i64(u))), zeros)
            for u in sorted(positions)
        }
        for j in range(columns):
            w = emit_load(b, b.add(weights, b.mul(tap, i64(j))), 0, vector(width))
            for i in range(BLOCK):
                total = b.extract_value(packed, i)
                total = emit_fma(b, pixels[i * stride + j * dilation], w, total)
                packed = b.insert_value(packed, total, i)
        return packed

    sums = types.UniTuple(Vector(width), BLOCK)
    return function("sweep", 6, lambda *rest: sums, emit)


def saver(
    width: int,
    part: bool,
    activation: str,
    residual: bool,
    formats: tuple[str, str, str],
    floats: bool = True,
) -> Compiled:
    """A function (args, sums, index, first channel) that finishes and stores an output's vector.

    Sums are float32 that are whole, or with ``floats`` False the bits of int32.
    """
    own = Formats(*formats)
    added, stored = BYTES[own.added], BYTES[own.stored]
    constants = constants_of(width)

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        sums, index, first, second, *fields = values
        panel = dict(zip(_FIELDS, fields, strict=True))
        epilogue = EpilogueEmitter(
            b, width, activation, residual, panel, first, second, part, width, own
        )
        if floats:
            sums = b.bitcast(b.fptosi(sums, ints(width)), vector(width))
        epilogue.finish(sums, epilogue.bias(i64(0)), index, i64(0))

    finish = function("finish", 4 + len(_FIELDS), lambda *rest: types.none, emit)

    @njit(inline="always")
    def save(a: Record, sums: Lanes, index: int, c: int) -> None:
        # A vector of channels is a panel by itself, with its constants.
        bias = a.bias + c // width * (4 * constants)
        finish(
            sums, index, as_float(a.first), as_float(a.second), bias, a.slopes + 4 * c,
            a.output + stored * c, a.output_ld, a.channels - c, a.residual + added * c,
            a.residual_ld,
        )  # fmt: skip

    return save


_FIELDS = ("bias", "slopes", "output", "output_ld", "channels", "residual", "residual_ld")
