"""The most that a core can do: multiply-adds on registers alone, and reading memory in order."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import float32, types

from netc.backends.cpu.kernels import tile as micro
from netc.backends.cpu.kernels.simd import (
    emit_fma,
    emit_store,
    function,
    int_at,
    load,
    splat,
    store,
)
from netc.backends.cpu.kernels.values import Kernel
from netc.backends.cpu.machine import Machine


def peak(machine: Machine, rows: int, columns: int) -> Kernel:
    """Arguments: unused, and how often a unit of work repeats 4 sweeps over all registers."""
    tile = micro.RegisterTile(rows, columns, machine.width)
    width = machine.width
    zeros = micro.zeros(tile)

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        sums, x, y = values
        for _ in range(4):
            # Independent sums, one a register: as many in flight as the units need to stay busy.
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


READ_BYTES = 1 << 15  # of a unit


def read(machine: Machine) -> Kernel:
    """Arguments: an address, and how many units of memory from there on are added up.

    Four sums, so that none waits for the one before it; they go to scratch memory, or LLVM would
    leave the reading out.
    """
    width = machine.width

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        none = splat(width, float32(0.0))
        a, b, c, d = none, none, none, none
        for unit in range(begin, end):
            first = int_at(args, 0) + unit * READ_BYTES
            # Four vectors of 4 * width bytes each step.
            for at in range(first, first + READ_BYTES, 16 * width):
                a = a + load(width, at)
                b = b + load(width, at + 4 * width)
                c = c + load(width, at + 8 * width)
                d = d + load(width, at + 12 * width)
        store(scratch, (a + b) + (c + d))

    return kernel
