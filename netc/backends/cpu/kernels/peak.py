"""Multiply-adds on registers alone: the most that a core can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir
from numba import float32, types

from netc.backends.cpu.kernels import tile as micro
from netc.backends.cpu.kernels.simd import emit_fma, emit_store, function, int_at, splat
from netc.backends.cpu.machine import Machine


def peak(machine: Machine, rows: int, columns: int) -> Callable[[int, int, int, int], None]:
    """Arguments: unused, and how often a unit of work repeats 4 sweeps over all registers."""
    tile = micro.RegisterTile(rows, columns, machine.width)
    width = machine.width
    zeros = micro.zeros(tile)

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        sums, x, y = values
        for _ in range(4):
            for i in range(rows * columns):
                s = b.extract_value(sums, i)
                sums = b.insert_value(sums, emit_fma(b, x, y, s), i)
        return sums

    def emit_save(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> None:
        for i in range(rows * columns):
            emit_store(b, b.extract_value(values[0], i), values[1], 4 * width * i)

    sweep = function("sweep", 3, lambda sums, *rest: sums, emit)
    save = function("save", 2, lambda *rest: types.none, emit_save)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        sums = zeros()
        x = splat(width, float32(1.0000001))
        for _ in range((end - begin) * int_at(args, 1)):
            sums = sweep(sums, x, x)
        save(sums, scratch)

    return kernel
