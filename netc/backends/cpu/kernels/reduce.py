"""Elements of float32 rounded to fewer bits: what reduced products read."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernel_args import ReduceArgs
from netc.backends.cpu.kernels.reduced import (
    BYTES,
    emit_bfloat16,
    emit_codes,
    emit_store_small,
)
from netc.backends.cpu.kernels.simd import (
    as_float,
    emit_load,
    emit_load_part,
    emit_mask,
    emit_splat,
    function,
    record,
    same,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine


def reduce(machine: Machine, number: str) -> Kernel:
    """Round pixels to a kind of number; units are groups of pixels.

    What is left of a pixel's last word holds the rounded 0.
    """
    width, size = machine.width, BYTES[number]
    per_word = 4 // size
    whole, part = _round(width, number, False), _round(width, number, True)

    @njit(inline="always")
    def row(a: Record, pixel: int, inverse: float, zero: float) -> None:
        source, target = a.input + pixel * a.ld, a.output + pixel * a.output_ld
        # A pixel's channels in words: 2 of bfloat16 or 4 codes; the last word is filled up.
        main = a.channels // width * width
        for c in range(0, main, width):
            whole(source + 4 * c, target + size * c, inverse, zero, 0, 0)
        if main < a.channels:
            left = a.channels - main
            # Products read whole words: the lanes over hold what rounding makes of 0.
            stored = (left + per_word - 1) // per_word * per_word
            part(source + 4 * main, target + size * main, inverse, zero, left, stored)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ReduceArgs, args)
        inverse, zero = as_float(a.inverse), as_float(a.zero)
        for pixel in range(begin * a.pixels_per_unit, min(end * a.pixels_per_unit, a.pixels)):
            row(a, pixel, inverse, zero)

    return kernel


def _round(width: int, number: str, partial: bool) -> Compiled:
    """A Numba function (source, target, inverse, zero, loaded, stored): one vector."""

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        source, target, inverse, zero, loaded, stored = values
        if partial:
            x = emit_load_part(b, source, width, loaded, same(width, 0.0))
        else:
            x = emit_load(b, source, 0, vector(width))
        if number == "bf16":
            made = emit_bfloat16(b, x)
        else:
            made = emit_codes(b, x, emit_splat(b, inverse, width), emit_splat(b, zero, width))
        emit_store_small(b, made, target, emit_mask(b, width, stored) if partial else None)

    return function("round", 6, lambda *rest: types.none, emit)
