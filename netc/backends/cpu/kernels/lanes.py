"""Loads and stores of whole vectors or of the lanes left at the end; folding of lanes."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import njit

from netc.backends.cpu.kernels.simd import I32, load, load_part, store, store_masked
from netc.backends.cpu.kernels.values import Compiled, Lanes


def loader(width: int, part: bool) -> Compiled:
    """A function (address, lanes) -> vector; lanes beyond ``lanes`` are 0 where ``part``."""
    if part:

        @njit(inline="always")
        def load_some(address: int, lanes: int) -> Lanes:
            return load_part(width, address, lanes)

        return load_some

    @njit(inline="always")
    def load_all(address: int, lanes: int) -> Lanes:
        return load(width, address)

    return load_all


def storer(width: int, part: bool) -> Compiled:
    """A function (address, vector, lanes) that stores; only ``lanes`` of them where ``part``."""
    if part:

        @njit(inline="always")
        def store_some(address: int, value: Lanes, lanes: int) -> None:
            store_masked(address, value, lanes)

        return store_some

    @njit(inline="always")
    def store_all(address: int, value: Lanes, lanes: int) -> None:
        store(address, value)

    return store_all


def emit_fold(
    b: ir.IRBuilder, x: ir.Value, combine: Callable[[ir.Value, ir.Value], ir.Value]
) -> ir.Value:
    """A vector's lanes combined to one float, halves with halves."""
    while x.type.count > 1:
        # Halves are combined until one lane is left: log2(width) steps, in the same order always.
        half = x.type.count // 2
        x = combine(_part(b, x, 0, half), _part(b, x, half, half))
    return b.extract_element(x, ir.Constant(I32, 0))


def _part(b: ir.IRBuilder, x: ir.Value, start: int, count: int) -> ir.Value:
    order = ir.Constant(ir.VectorType(I32, count), list(range(start, start + count)))
    return b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), order)
