"""Convolution of each channel by itself, of int8 codes, by instructions that sum four products.

The codes of a window's column, of at most four rows, are a word for each channel, and so are its
weights. Sums are whole numbers, finished as those of other int8 products are. Rows and columns
outside the input have its zero. Units, and how a row is cut, are as in
:mod:`netc.backends.cpu.kernels.depthwise`.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import float32, njit, types

from netc.backends.cpu.kernels.depthwise import BLOCK, unclipped, window_rows
from netc.backends.cpu.kernels.depthwise_codes import saver
from netc.backends.cpu.kernels.reduced import emit_load_small, emit_products, ints
from netc.backends.cpu.kernels.simd import (
    I8,
    Vector,
    emit_load,
    emit_mask,
    function,
    i64,
    record,
    splat,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import ZERO_CODES
from netc.backends.cpu.window_args import DEPTHWISE_BLOCK

ROWS = 4
"""Of a window, at most: a word has so many codes."""


def depthwise(
    machine: Machine,
    rows: int,
    columns: int,
    stride: int,
    dilation: int,
    activation: str,
    residual: bool,
    formats: tuple[str, str, str],
) -> Kernel:
    """The kernel for windows of ``rows`` by ``columns`` taps.

    ``stride`` and ``dilation`` are those in a row; ``formats`` are :class:`Formats`, the first
    "int8".
    """
    width = machine.width
    save = [saver(width, part, activation, residual, formats, False) for part in (False, True)]
    whole, part = (_single(machine, rows, p, save[p]) for p in (False, True))
    block = _block(machine, (rows, columns), stride, dilation, save[False])

    @njit(inline="always")
    def row(a: Record, base: int, y0: int, y1: int, out: int) -> None:
        main = a.channels // width * width
        left, right = unclipped(a, columns, stride, dilation)
        for x in range(left, right, BLOCK):
            place = base + (x * stride - a.pad_x) * a.ld
            for c in range(0, main, width):
                block(a, place + c, y0, y1, out + x * a.out_step, c)
        for x in range(a.out_width):
            if (x < left) | (x >= right):
                for c in range(0, main, width):
                    whole(a, base, x, y0, y1, out + x * a.out_step, c, width)
            if main < a.channels:
                part(a, base, x, y0, y1, out + x * a.out_step, main, a.channels - main)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(DEPTHWISE_BLOCK, args)
        for unit in range(begin, end):
            base, y0, y1, out = window_rows(a, unit)
            row(a, base, y0, y1, out)

    return kernel


def _single(machine: Machine, rows: int, part: bool, save: Compiled) -> Compiled:
    """A function that does one output's vector, its window clipped at the sides."""
    width, add = machine.width, _column(machine, rows, part)

    @njit(inline="always")
    def single(
        a: Record, base: int, x: int, y0: int, y1: int, index: int, c: int, lanes: int
    ) -> None:
        # Sums are int32 in the bits of float32 lanes; 0 has the same bits in both.
        total = splat(width, float32(0.0))
        zeros, line = a.bias + 4 * (3 * width + ZERO_CODES), a.dilation_y * a.width * a.ld
        for j in range(a.kernel_x):
            u = x * a.stride_x - a.pad_x + j * a.dilation_x
            inside = (0 <= u) & (u < a.width)
            # A column beside the input has no row inside: all its codes are the zero.
            first, last = (y0, y1) if inside else (0, 0)
            source, weights = base + u * a.ld + c, a.weights + j * a.tap + 4 * c
            total = add(total, source, line, zeros, first, last, weights, lanes)
        save(a, total, index, c)

    return single


def _column(machine: Machine, rows: int, part: bool) -> Compiled:
    """A Numba function (sums, source, line, zeros, first row, end, weights, lanes) -> sums."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        total, source, line, zeros, first, last, weights, lanes = values
        mask = emit_mask(b, machine.width, lanes) if part else None
        places = _emit_rows(b, rows, source, line, zeros, first, last)
        x = _emit_words(b, machine.width, [place for place, _ in places], mask)
        w = emit_load(b, weights, 0, vector(machine.width))
        return emit_products(b, machine, "int8", x, w, total)

    return function("column", 8, lambda total, *rest: total, emit)


def _emit_rows(
    b: ir.IRBuilder,
    rows: int,
    source: ir.Value,
    line: ir.Value,
    zeros: ir.Value,
    first: ir.Value,
    last: ir.Value,
) -> list[tuple[ir.Value, ir.Value]]:
    """For each row of a window where its codes are, and whether it lies inside the input."""
    found = []
    for i in range(rows):
        inside = b.and_(b.icmp_signed("<=", first, i64(i)), b.icmp_signed("<", i64(i), last))
        place = b.add(source, b.mul(line, i64(i)))
        # Rows above and below the input read as many zeros as a vector has lanes instead.
        found.append((b.select(inside, place, zeros), inside))
    return found


def _emit_words(
    b: ir.IRBuilder, width: int, places: Sequence[ir.Value], mask: ir.Value | None = None
) -> ir.Value:
    """The codes at these places, one of each in the word of a channel, the first lowest."""
    # A lane's word:   bits 31..24  23..16  15..8  7..0
    #                  row 3   row 2   row 1  row 0     of one channel and column
    made: ir.Value | None = None
    for i, place in enumerate(places):
        codes = b.zext(emit_load_small(b, place, ints(width, kind=I8), mask), ints(width))
        moved = b.shl(codes, ints(width, 8 * i)) if i else codes
        made = moved if made is None else b.or_(made, moved)
    return b.bitcast(made, vector(width))


def _block(
    machine: Machine, kernel: tuple[int, int], stride: int, dilation: int, save: Compiled
) -> Compiled:
    """A function that does the same vector of ``BLOCK`` neighbouring outputs."""
    width, sweep = machine.width, _sweep(machine, kernel, stride, dilation)

    @njit(inline="always")
    def block(a: Record, place: int, y0: int, y1: int, index: int, c: int) -> None:
        start = splat(width, float32(0.0))
        zeros, line = a.bias + 4 * (3 * width + ZERO_CODES), a.dilation_y * a.width * a.ld
        weights = a.weights + 4 * c
        sums = sweep((start, start, start, start), place, a.ld, line, zeros, y0, y1, weights, a.tap)
        save(a, sums[0], index, c)
        save(a, sums[1], index + a.out_step, c)
        save(a, sums[2], index + 2 * a.out_step, c)
        save(a, sums[3], index + 3 * a.out_step, c)

    return block


def _sweep(machine: Machine, kernel: tuple[int, int], stride: int, dilation: int) -> Compiled:
    """A Numba function (sums, source, ld, line, zeros, first row, end, weights, tap) -> sums."""
    width, (rows, columns) = machine.width, kernel

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        packed, source, ld, line, zeros, first, last, weights, tap = values
        lines = [
            (place, b.select(inside, ld, i64(0)))
            for place, inside in _emit_rows(b, rows, source, line, zeros, first, last)
        ]
        # Each distinct column under the block's windows is put together once.
        positions = {i * stride + j * dilation for i in range(BLOCK) for j in range(columns)}
        words = {
            u: _emit_words(b, width, [b.add(place, b.mul(step, i64(u))) for place, step in lines])
            for u in sorted(positions)
        }
        for j in range(columns):
            w = emit_load(b, b.add(weights, b.mul(tap, i64(j))), 0, vector(width))
            for i in range(BLOCK):
                x, total = words[i * stride + j * dilation], b.extract_value(packed, i)
                total = emit_products(b, machine, "int8", x, w, total)
                packed = b.insert_value(packed, total, i)
        return packed

    sums = types.UniTuple(Vector(width), BLOCK)
    return function("sweep", 9, lambda *rest: sums, emit)
