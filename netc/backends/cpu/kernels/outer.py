"""Sums of outer products: the gradients of weights, summed over the pixels of all images.

A weight's gradient is, for each tap of the window, output channel o and input channel c,

    dW[o, tap, c] = sum over pixels p of dy[p, o] * x[p moved by the tap, c]

One of the two sides gives whole vectors of channels (``lanes``), the other single numbers that are
spread over a vector; which is which the builder decides. A tile is ``tile`` numbers by ``vectors``
vectors of sums, all of which stay in registers while a block of the grid's rows goes by:

    sums[t][v] += spread(numbers[p][t]) * lanes[p][v]

Rows come in blocks so that both sides of a block stay in the second cache while all taps and lanes
are summed over it; between blocks the sums lie in scratch memory. The order of every sum follows
from the shapes alone: pixels of a block in order, then the blocks in order. A unit is one tile of
numbers with all lanes and taps.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernel_args import OuterArgs
from netc.backends.cpu.kernels.simd import (
    F32,
    Vector,
    emit_fma,
    emit_load,
    emit_load_part,
    emit_splat,
    emit_store,
    float_at,
    function,
    i64,
    int_at,
    load,
    record,
    same,
    set_float,
    store,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine

TAP_NUMBERS = 6  # numbers of a tap in the table


def outer(machine: Machine, tile: int, vectors: int) -> Kernel:
    """The kernel for tiles of ``tile`` numbers by ``vectors`` vectors."""
    # Scratch memory: the sums of all taps and groups of lanes, [tap][group][tile number][lane].
    width = machine.width
    lanes = vectors * width
    size = 4 * tile * lanes  # bytes of a tile's sums
    zeros = zero_sums(width, tile * vectors)
    fetch, keep = _fetch(width, tile * vectors), keep_sums(width, tile * vectors)
    over_block, write = sum_block(width, tile, vectors), _write(width, tile, lanes)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(OuterArgs, args)
        parts = (a.count + lanes - 1) // lanes
        for unit in range(begin, end):
            numbers = a.numbers + unit * tile * a.numbers_gap
            # A block of both sides is read from the second cache for each tap and group.
            for row in range(0, a.images * a.rows, a.block):
                for tap in range(a.taps):
                    shift = a.table + 8 * TAP_NUMBERS * tap
                    for index in range(parts):
                        place = scratch + (tap * parts + index) * size
                        # The first block starts from zero, the others from the sums before.
                        sums = zeros()
                        if row > 0:
                            sums = fetch(place)
                        keep(over_block(a, row, shift, sums, numbers, index * lanes), place)
            # All rows are summed: write the tile's sums to the gradient.
            for tap in range(a.taps):
                for index in range(parts):
                    place = scratch + (tap * parts + index) * size
                    write(a, place, unit * tile, tap, index * lanes)

    return kernel


def sum_block(width: int, tile: int, vectors: int) -> Compiled:
    """A Numba function: the sums after the rows of the grid from ``row`` on that are in a block."""
    lanes = vectors * width
    whole, part = (multiply_pixel(width, tile, vectors, p) for p in (False, True))

    @njit(inline="always")
    def over_block(
        a: Record, row: int, shift: int, sums: tuple[Lanes, ...], numbers: int, lane: int
    ) -> tuple[Lanes, ...]:
        # The tap's row of the table: [bytes added to lanes][to numbers][first row][last][first
        # column][last], int64 each: the part of the grid for which the moved pixel lies inside the
        # input.
        first_y, last_y = int_at(shift, 2), int_at(shift, 3)
        first_x, last_x = int_at(shift, 4), int_at(shift, 5)
        left = a.count - lane
        for at in range(row, min(row + a.block, a.images * a.rows)):
            image = at // a.rows
            y = at - image * a.rows
            if first_y <= y and y < last_y:
                p = a.lanes + image * a.lanes_image + y * a.lanes_row + first_x * a.lanes_step
                q = numbers + image * a.numbers_image + y * a.numbers_row
                p += int_at(shift, 0) + 4 * lane
                q += int_at(shift, 1) + first_x * a.numbers_step
                for _ in range(first_x, last_x):
                    if left >= lanes:
                        sums = whole(sums, p, q, a.numbers_gap, left)
                    else:
                        sums = part(sums, p, q, a.numbers_gap, left)
                    p += a.lanes_step
                    q += a.numbers_step
        return sums

    return over_block


def _write(width: int, tile: int, lanes: int) -> Compiled:
    """A Numba function that puts a tile's sums where the gradient lies."""

    @njit(inline="always")
    def write(a: Record, place: int, first: int, tap: int, lane: int) -> None:
        for t in range(tile):
            out = a.output + (first + t) * a.output_number + tap * a.output_tap
            out += lane * a.output_lane
            row = place + 4 * t * lanes
            count = min(lanes, a.count - lane)
            done = 0
            # Lanes that lie side by side in the gradient are stored as vectors.
            if a.output_lane == 4:
                done = count // width * width
                for v in range(0, done, width):
                    store(out + 4 * v, load(width, row + 4 * v))
            for v in range(done, count):
                set_float(out + v * a.output_lane, 0, float_at(row, v))

    return write


def _tuple(width: int, count: int) -> types.Type:
    return types.UniTuple(Vector(width), count)


def zero_sums(width: int, count: int) -> Compiled:
    """A Numba function () -> sums of zero."""
    kind, sums = ir.ArrayType(vector(width), count), _tuple(width, count)
    return function("zeros", 0, lambda: sums, lambda b, t, v: ir.Constant(kind, None))


def _fetch(width: int, count: int) -> Compiled:
    """A Numba function (address) -> sums."""
    kind, sums = ir.ArrayType(vector(width), count), _tuple(width, count)

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        made = ir.Constant(kind, ir.Undefined)
        for i in range(count):
            loaded = emit_load(b, values[0], 4 * width * i, vector(width))
            made = b.insert_value(made, loaded, i)
        return made

    return function("fetch", 1, lambda address: sums, emit)


def keep_sums(width: int, count: int) -> Compiled:
    """A Numba function (sums, address) that stores them."""

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        for i in range(count):
            emit_store(b, b.extract_value(values[0], i), values[1], 4 * width * i)

    return function("keep", 2, lambda *rest: types.none, emit)


def multiply_pixel(width: int, tile: int, vectors: int, part: bool) -> Compiled:
    """A Numba function (sums, lanes, numbers, gap, left) -> sums after one pixel.

    ``left`` lanes are there from the address on; those beyond are 0 where ``part``.
    """

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        sums, lanes, numbers, gap, left = values
        loaded = []
        for v in range(vectors):
            if part:
                address, rest = b.add(lanes, i64(4 * width * v)), b.sub(left, i64(width * v))
                loaded.append(emit_load_part(b, address, width, rest, same(width, 0.0)))
            else:
                loaded.append(emit_load(b, lanes, 4 * width * v, vector(width)))
        address = numbers
        for t in range(tile):
            spread = emit_splat(b, emit_load(b, address, 0, F32), width)
            for v, x in enumerate(loaded):
                at = t * vectors + v
                sums = b.insert_value(sums, emit_fma(b, spread, x, b.extract_value(sums, at)), at)
            address = b.add(address, gap)
        return sums

    return function("multiply", 5, lambda sums, *rest: sums, emit)
