"""Matrices turned around in registers, square by square; a change of layout is one of these.

A square of ``width`` by ``width`` floats is loaded row by row, turned by exchanging blocks of 1, 2
and more lanes between pairs of vectors (J. O. Eklundh, "A fast computer method for matrix
transposing", 1972), and stored. Units of work are blocks of squares.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernel_args import TransposeArgs
from netc.backends.cpu.kernels.simd import (
    I32,
    emit_load,
    emit_load_part,
    emit_mask,
    emit_store,
    emit_store_masked,
    function,
    i64,
    record,
    same,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine


def transpose(machine: Machine) -> Kernel:
    """Turn matrices around; a unit is ``block_rows`` by ``block_columns`` of one matrix."""
    width = machine.width
    whole, part = square(width, False), square(width, True)

    @njit(inline="always")
    def turn(
        a: Record, source: int, target: int, row: int, column: int, rows: int, columns: int
    ) -> None:
        x = source + row * a.input_row + 4 * column
        y = target + column * a.output_row + 4 * row
        # Squares at the edge use masked loads and stores.
        if (rows >= width) & (columns >= width):
            whole(x, a.input_row, y, a.output_row, width, width)
        else:
            part(x, a.input_row, y, a.output_row, rows, columns)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(TransposeArgs, args)
        down = (a.rows + a.block_rows - 1) // a.block_rows
        across = (a.columns + a.block_columns - 1) // a.block_columns
        for unit in range(begin, end):
            image, block = unit // (down * across), unit % (down * across)
            source = a.input + image * a.input_image
            target = a.output + image * a.output_image
            top, left = block // across * a.block_rows, block % across * a.block_columns
            bottom = min(top + a.block_rows, a.rows)
            right = min(left + a.block_columns, a.columns)
            if a.block_rows < a.block_columns:  # along the longer side, where memory runs on
                for row in range(top, bottom, width):
                    for column in range(left, right, width):
                        turn(a, source, target, row, column, bottom - row, right - column)
            else:
                for column in range(left, right, width):
                    for row in range(top, bottom, width):
                        turn(a, source, target, row, column, bottom - row, right - column)

    return kernel


def square(width: int, part: bool) -> Compiled:
    """A function (source, its row in bytes, target, its row, rows, columns) -> nothing."""

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        source, source_row, target, target_row, rows, columns = values
        vectors = []
        for i in range(width):
            # A row beyond the edge reads row 0, which is there, and is not stored.
            address = b.add(source, b.mul(source_row, _within(b, i, rows) if part else i64(i)))
            vectors.append(_load(b, address, width, columns if part else None))
        for j, x in enumerate(emit_turned(b, vectors)):
            address = b.add(target, b.mul(target_row, i64(j)))
            if not part:
                emit_store(b, x, address)
                continue
            there = b.icmp_signed("<", i64(j), columns)
            # A column beyond the edge has an empty mask.
            mask = emit_mask(b, width, b.select(there, rows, i64(0)))
            emit_store_masked(b, x, address, mask)

    return function("square", 6, lambda *rest: types.none, emit)


def _within(b: ir.IRBuilder, index: int, count: ir.Value) -> ir.Value:
    """The index, or 0 where it is beyond the count."""
    return b.select(b.icmp_signed("<", i64(index), count), i64(index), i64(0))


def _load(b: ir.IRBuilder, address: ir.Value, width: int, count: ir.Value) -> ir.Value:
    if count is None:
        return emit_load(b, address, 0, vector(width))
    return emit_load_part(b, address, width, count, same(width, 0.0))


def emit_turned(b: ir.IRBuilder, vectors: list[ir.Value]) -> list[ir.Value]:
    """The transpose of a square of vectors, as many as they have lanes."""
    width, turned = len(vectors), list(vectors)
    size = 1
    while size < width:
        # Stage log2(size): lanes whose bit ``size`` differs from their row's change places.
        #
        #   rows i and i + size, size = 1:   a b c d      a e c g
        #                                    e f g h  ->  b f d h
        low = [lane if lane & size == 0 else width + lane - size for lane in range(width)]
        high = [lane + size if lane & size == 0 else width + lane for lane in range(width)]
        for i in range(width):
            if i & size == 0:
                x, y = turned[i], turned[i + size]
                turned[i], turned[i + size] = _pick(b, x, y, low), _pick(b, x, y, high)
        size *= 2
    return turned


def _pick(b: ir.IRBuilder, x: ir.Value, y: ir.Value, order: list[int]) -> ir.Value:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(order)), order))
