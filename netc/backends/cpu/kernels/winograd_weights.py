"""Gradients of the weights of convolutions with stride 1 by Winograd's algorithm.

A filter of r x s taps sees, for a tile of m x n outputs, a tile of (m + r - 1) x (n + s - 1)
inputs, and its gradient is the filtering F(r x s, m x n) of that tile by the outputs' gradients:

    dW = AT (the sum over tiles of (G dy GT) * (BT x B)) A

Both sides' planes are made first, [plane][tile][channel]; x's are those of the forward pass. Then,
plane by plane, outer products of channels are summed over all tiles as in
:mod:`netc.backends.cpu.kernels.outer`, and a tile of sums is transformed once at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernel_args import OuterArgs
from netc.backends.cpu.kernels.outer import TAP_NUMBERS, keep_sums, sum_block, zero_sums
from netc.backends.cpu.kernels.simd import (
    emit_load,
    emit_store,
    float_at,
    function,
    i64,
    load,
    record,
    set_float,
    store_part,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Pair, Record
from netc.backends.cpu.kernels.winograd import TileTransform, tile_planes
from netc.backends.cpu.kernels.winograd_transform import emit_transform
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import WinogradArgs
from netc.backends.shared.cook_toom import Filtering


def transform(machine: Machine, outputs: Pair, taps: Pair) -> Kernel:
    """Make all planes of the outputs' gradient; units are tiles of ``outputs``."""
    # The gradient of the outputs is the filter here: what are taps and outputs is exchanged.
    turned = Filtering(taps, outputs)
    matrices = turned.matrices[0].filter, turned.matrices[1].filter
    tiles = tile_planes(machine.width, TileTransform(outputs, outputs, turned.sides, matrices))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(WinogradArgs, args)
        for tile in range(begin, end):
            tiles(a, tile, a.planes + tile * a.tile_bytes, scratch)

    return kernel


def outer(machine: Machine, outputs: Pair, taps: Pair, tile: int, vectors: int) -> Kernel:
    """Sums of outer products of planes, transformed to taps; see OuterArgs.

    ``table`` has a row for each plane. A unit is a tile of numbers with all lanes.
    """
    width = machine.width
    lanes, size = vectors * width, 4 * tile * vectors * width
    planes, count_of_taps = Filtering(taps, outputs).planes, taps[0] * taps[1]
    zeros, keep = zero_sums(width, tile * vectors), keep_sums(width, tile * vectors)
    over_block, back = sum_block(width, tile, vectors), _back(width, Filtering(taps, outputs))
    write = _write(width, count_of_taps)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(OuterArgs, args)
        # Scratch: [taps of a vector of lanes: tap][lane] [sums: plane][number of the tile][lane].
        sums_of_planes = scratch + 4 * width * count_of_taps
        for unit in range(begin, end):
            numbers = a.numbers + unit * tile * a.numbers_gap
            for lane in range(0, a.count, lanes):
                # Stage 2: for each plane the outer products of a tile of numbers, over all tiles.
                for plane in range(planes):
                    shift = a.table + 8 * TAP_NUMBERS * plane
                    sums = over_block(a, 0, shift, zeros(), numbers, lane)
                    keep(sums, sums_of_planes + plane * size)
                # Stage 3: each number's sums of all planes, back to taps: AT m A.
                for t in range(tile):
                    out = a.output + (unit * tile + t) * a.output_number
                    for v in range(0, min(lanes, a.count - lane), width):
                        back(sums_of_planes + 4 * (t * lanes + v), size, scratch)
                        place = out + (lane + v) * a.output_lane
                        write(a, place, scratch, a.count - lane - v)

    return kernel


def _write(width: int, taps: int) -> Compiled:
    """A function that stores the taps of a vector of lanes, of which ``left`` are there."""

    @njit(inline="always")
    def write(a: Record, out: int, made: int, left: int) -> None:
        # Lanes side by side in the gradient are stored as vectors, else one by one.
        if a.output_lane == 4:
            for tap in range(taps):
                value = load(width, made + 4 * width * tap)
                store_part(out + tap * a.output_tap, value, left)
        else:
            for lane in range(min(left, width)):
                for tap in range(taps):
                    place = out + lane * a.output_lane + tap * a.output_tap
                    set_float(place, 0, float_at(made, width * tap + lane))

    return write


def _back(width: int, filtering: Filtering) -> Compiled:
    """A function (first plane's sums, bytes between planes, target): taps, a vector each."""
    high, wide = filtering.sides
    vertical, horizontal = (m.output for m in filtering.matrices)

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        source, between, target = values

        def plane(index: int) -> ir.Value:
            return emit_load(b, b.add(source, b.mul(between, i64(index))), 0, vector(width))

        sums = [[plane(i * wide + j) for j in range(wide)] for i in range(high)]
        made = emit_transform(b, vertical, horizontal, sums)
        for tap, value in enumerate(value for row in made for value in row):
            emit_store(b, value, target, 4 * width * tap)

    return function("back", 3, lambda *rest: types.none, emit)
