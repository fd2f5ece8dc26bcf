"""Loads and stores of whole vectors or of the lanes left at the end; folding of lanes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import njit

from netc.backends.cpu.kernels.simd import (
    I32,
    emit_mask,
    function,
    load,
    load_part,
    same,
    store,
    store_masked,
    to_float32,
)
from netc.backends.cpu.kernels.values import Compiled, Lanes, Record, ScalarFunction, VectorFunction


def loader(width: int, part: bool) -> VectorFunction:
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


def over_channels(
    width: int, vector: Callable[[int, bool], Compiled], at_once: int = 1
) -> Compiled:
    """A function (record, where) that has something done for all channels of a pixel, in order.

    Args:
        width: floats of a register.
        vector: (width, part) -> a function (record, where, first channel, lanes); ``where`` is the
            tuple that the caller gives.
        at_once: vectors that are done at a time, as long as there are so many.
    """
    wide = at_once * width
    several, whole, part = vector(wide, False), vector(width, False), vector(width, True)

    @njit(inline="always")
    def one_at_a_time(a: Record, where: tuple[Any, ...]) -> None:
        main = a.channels // width * width
        for c in range(0, main, width):
            whole(a, where, c, width)
        if main < a.channels:
            part(a, where, main, a.channels - main)

    @njit(inline="always")
    def several_at_a_time(a: Record, where: tuple[Any, ...]) -> None:
        # Channels by several vectors, then by one, then the lanes that are left.
        main, blocks = a.channels // width * width, a.channels // wide * wide
        for c in range(0, blocks, wide):
            several(a, where, c, wide)
        for c in range(blocks, main, width):
            whole(a, where, c, width)
        if main < a.channels:
            part(a, where, main, a.channels - main)

    return one_at_a_time if at_once == 1 else several_at_a_time


@njit(inline="always")
def clipped(start: int, kernel: int, size: int, pad: int) -> tuple[int, int, int]:
    """A window from ``start`` on along an axis: its first and end in the input, and its count.

    The count is of its elements in the padded input, by which Caffe divides averages
    (pooling_layer.cpp).
    """
    return max(start, 0), min(start + kernel, size), min(start + kernel, size + pad) - start


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


def folded(combine: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]) -> Compiled:
    """A function (vector) -> its lanes combined to one float, in the order of ``emit_fold``."""

    def emit(b: ir.IRBuilder, types: Any, values: Any) -> ir.Value:
        return emit_fold(b, values[0], partial(combine, b))

    return function("folded", 1, to_float32, emit)


def _emit_keep(b: ir.IRBuilder, types: Any, values: Any) -> ir.Value:
    lanes = values[0].type.count
    return b.select(emit_mask(b, lanes, values[1]), values[0], same(lanes, 0.0))


#: The first lanes of a vector, 0 in the others: (vector, lanes) -> vector.
keep_lanes: VectorFunction = function("keep_lanes", 2, lambda x, lanes: x, _emit_keep)

#: The first lane of a vector: (vector) -> float.
first_lane: ScalarFunction = function(
    "first_lane", 1, to_float32, lambda b, t, v: b.extract_element(v[0], ir.Constant(I32, 0))
)
