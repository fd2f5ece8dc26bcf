"""Convolutions with stride 1 by Winograd's algorithm F(m x n, r x s).

Tiles of (m + r - 1) x (n + s - 1) inputs are transformed, vectorised over channels, to as many
planes [plane][tile][channel]; each plane is multiplied with its own transformed weights
[panel][plane][channel][lane] by the micro-kernel; sums [plane][tile][lane] are transformed back to
m x n outputs. A unit is a block of tiles whose planes stay in the second cache (fused), or,
where the weights are much larger than the inputs, a panel for a block of tiles whose planes another
step has made (split).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernels import tile as micro
from netc.backends.cpu.kernels.epilogue import EpilogueEmitter, panel_fields, pixel_index
from netc.backends.cpu.kernels.simd import (
    I64,
    as_float,
    emit_load,
    emit_load_part,
    emit_store,
    function,
    i64,
    pointer,
    record,
    same,
    set_int,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Pair, Record
from netc.backends.cpu.kernels.winograd_transform import emit_transform
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import PanelArgs, WinogradArgs
from netc.backends.shared.cook_toom import Filtering, Rows

# Input channels that one call of the micro-kernel takes; the rest is done one by one.
UNROLL = 4
_PREFETCH_LINES = 4  # of the next plane's weights, asked for while UNROLL channels are done
_HEADER_BYTES = 8 * len(WinogradArgs._fields)
_PANEL_BYTES = 8 * len(PanelArgs._fields)


# The arrays between the stages; P = (m + r - 1)(n + s - 1) planes of a tile:
#
#   planes   [plane 0: tile 0 channels | tile 1 channels | ...] [plane 1: ...] ... P planes
#   weights  [panel][plane][channel][lane]        transformed when they are packed
#   results  [plane 0: tile 0 lanes | tile 1 lanes | ...] [plane 1: ...] ...   of one panel
#
# For each plane it is a plain product, (tiles x channels) * (channels x lanes), with nothing
# shared between planes: they are multiplied one after the other.
def transform(machine: Machine, outputs: Pair, taps: Pair) -> Kernel:
    """Make all planes of the input; units are tiles."""
    tiles = _transform(machine.width, Filtering(outputs, taps))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(WinogradArgs, args)
        for tile in range(begin, end):
            tiles(a, tile, a.planes + tile * a.tile_bytes, scratch)

    return kernel


def fused(
    machine: Machine, outputs: Pair, taps: Pair, tile: Pair, activation: str, residual: bool
) -> Kernel:
    """The kernel of all three stages; units are blocks of tiles."""
    filtering, own = Filtering(outputs, taps), micro.RegisterTile(*tile, machine.width)
    planes_of_tile, tiles = filtering.planes, _transform(machine.width, filtering)
    panel = _panel(own, filtering, activation, residual)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(WinogradArgs, args)
        planes = scratch + a.planes_offset
        for unit in range(begin, end):
            first = unit * a.block
            count = min(a.block, a.tiles - first)
            # Stage 1: transform the block's inputs into planes in this thread's scratch memory.
            for t in range(count):
                tiles(a, first + t, planes + t * a.tile_bytes, scratch)
            _rows(planes, a.tile_bytes, count, a.block, scratch + 8 * planes_of_tile)
            # Stages 2 and 3, panel by panel: multiply the planes and transform back.
            for k in range(a.panels):
                panel(a, args + _HEADER_BYTES + k * _PANEL_BYTES, first, count, scratch)

    return kernel


def split(
    machine: Machine, outputs: Pair, taps: Pair, tile: Pair, activation: str, residual: bool
) -> Kernel:
    """Products and outputs from planes made before; units are panels by blocks of tiles."""
    filtering, own = Filtering(outputs, taps), micro.RegisterTile(*tile, machine.width)
    planes_of_tile, panel = filtering.planes, _panel(own, filtering, activation, residual)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(WinogradArgs, args)
        # Consecutive units take the same panel's weights over the blocks of tiles.
        blocks = (a.tiles + a.block - 1) // a.block
        for unit in range(begin, end):
            first = unit % blocks * a.block
            count = min(a.block, a.tiles - first)
            planes = a.planes + first * a.tile_bytes
            _rows(planes, a.tile_bytes, count, a.block, scratch + 8 * planes_of_tile)
            panel(a, args + _HEADER_BYTES + unit // blocks * _PANEL_BYTES, first, count, scratch)

    return kernel


@njit(inline="always")
def _rows(planes: int, size: int, count: int, block: int, addresses: int) -> None:
    """Write the address of each tile's row in the first plane, the last one's again beyond it."""
    for t in range(block):
        # Register tiles are whole: rows beyond the block's last tile repeat it.
        set_int(addresses, t, planes + min(t, count - 1) * size)


class TileTransform(NamedTuple):
    """Tiles of ``window`` pixels, ``steps`` from each to the next, to ``sides`` planes."""

    steps: Pair
    window: Pair
    sides: Pair
    matrices: tuple[Rows, Rows]


def _transform(width: int, filtering: Filtering) -> Compiled:
    """The transform of inputs; see ``tile_planes``."""
    sides = filtering.sides
    matrices = filtering.matrices[0].input, filtering.matrices[1].input
    return tile_planes(width, TileTransform(filtering.outputs, sides, sides, matrices))


def tile_planes(width: int, change: TileTransform) -> Compiled:
    """A function (args, tile, its place in the first plane, scratch) that makes a tile's planes."""
    (down, across), (high, wide) = change.steps, change.window
    whole, part = _forward(width, change, False), _forward(width, change, True)

    @njit(inline="always")
    def tiles(a: Record, tile: int, target: int, pixels: int) -> None:
        image = tile // (a.tiles_y * a.tiles_x)
        top = tile // a.tiles_x % a.tiles_y * down - a.pad_y
        left = tile % a.tiles_x * across - a.pad_x
        base = a.input + image * a.height * a.width * a.ld
        # Addresses of the input pixels under the tile; padding reads a row of zeros.
        for i in range(high):
            for j in range(wide):
                y, x = top + i, left + j
                inside = (0 <= y) & (y < a.height) & (0 <= x) & (x < a.width)
                place = base + (y * a.width + x) * a.ld
                set_int(pixels, i * wide + j, place if inside else a.zeros)
        # Then the transform of all channels, a vector at a time.
        main = a.channels // width * width
        for c in range(0, main, width):
            whole(pixels, 4 * c, width, target + 4 * c, a.plane_bytes)
        if main < a.channels:
            part(pixels, 4 * main, a.channels - main, target + 4 * main, a.plane_bytes)

    return tiles


def _forward(width: int, change: TileTransform, part: bool) -> Compiled:
    """A Numba function (pixels' addresses, offset, lanes, target, bytes between planes)."""
    high, wide = change.window
    vertical, horizontal = change.matrices

    def read(
        b: ir.IRBuilder, pixels: ir.Value, i: int, offset: ir.Value, lanes: ir.Value
    ) -> ir.Value:
        address = b.add(b.load(pointer(b, pixels, 8 * i, I64)), offset)
        if part:
            return emit_load_part(b, address, width, lanes, same(width, 0.0))
        return emit_load(b, address, 0, vector(width))

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        pixels, offset, lanes, target, plane = values
        tile = [
            [read(b, pixels, i * wide + j, offset, lanes) for j in range(wide)] for i in range(high)
        ]
        # BT d B: plane (i, j) of the tile, each at the same place of its own plane.
        for i, row in enumerate(emit_transform(b, vertical, horizontal, tile)):
            for j, value in enumerate(row):
                emit_store(b, value, b.add(target, b.mul(plane, i64(i * change.sides[1] + j))))

    return function("forward", 5, lambda *rest: types.none, emit)


def _panel(
    tile: micro.RegisterTile, filtering: Filtering, activation: str, residual: bool
) -> Compiled:
    """A function (args, panel's address, first tile, count, scratch) for one panel of a block."""
    planes = filtering.planes
    down, across = filtering.outputs
    rows, width, lanes = tile.rows, tile.width, tile.channels
    lane_bytes = 4 * lanes
    zeros, spill = micro.zeros(tile), micro.spill(tile)
    multiply, multiply_one = micro.multiply(tile, UNROLL, _PREFETCH_LINES), micro.multiply(tile, 1)
    back = _back(tile, filtering, activation, residual)

    @njit(inline="always")
    def products(a: Record, weights: int, count: int, addresses: int, results: int) -> None:
        # Stage 2: for each plane a product of (count x channels) by (channels x lanes).
        main = a.channels // UNROLL * UNROLL
        plane_weights, blocks = a.channels * lane_bytes, (count + rows - 1) // rows
        stride = min(64 * _PREFETCH_LINES, (UNROLL * lane_bytes + blocks - 1) // blocks)
        for plane in range(planes):
            start = weights + plane * plane_weights
            # The register tile's rows are Winograd tiles here, not pixels.
            for row in range(0, count, rows):
                sums = zeros()
                # The next plane's weights are prefetched in parts, one with each register tile.
                w, ahead = start, start + plane_weights + row // rows * (plane_weights // blocks)
                for c in range(0, main, UNROLL):
                    offset = plane * a.plane_bytes + 4 * c
                    sums = multiply(sums, addresses + 8 * row, offset, w, ahead)
                    w += UNROLL * lane_bytes
                    ahead += stride
                for c in range(main, a.channels):
                    offset = plane * a.plane_bytes + 4 * c
                    sums = multiply_one(sums, addresses + 8 * row, offset, w, w)
                    w += lane_bytes
                spill(sums, results + plane * a.result_bytes + row * lane_bytes)

    @njit(inline="always")
    def panel_of(a: Record, place: int, first: int, count: int, scratch: int) -> None:
        panel = record(PanelArgs, place)
        results = scratch + a.results_offset
        products(a, panel.weights, count, scratch + 8 * planes, results)
        low, high = as_float(a.first), as_float(a.second)
        # Stage 3: each tile's P sums back to m x n outputs, a vector of channels at a time.
        for t in range(count):
            _place_outputs(a, first + t, down, across, scratch)
            for lane in range(0, min(panel.channels, lanes), width):
                source = results + t * lane_bytes + 4 * lane
                back(source, a.result_bytes, scratch, panel, lane, low, high)

    return panel_of


@njit(inline="always")
def _place_outputs(a: Record, tile: int, down: int, across: int, indices: int) -> None:
    """Write the pixel index of each of a tile's outputs, -1 for those outside."""
    image = tile // (a.tiles_y * a.tiles_x)
    top, left = tile // a.tiles_x % a.tiles_y * down, tile % a.tiles_x * across
    for i in range(down):
        for j in range(across):
            y, x = top + i, left + j
            # Tiles at the lower and right edge may reach beyond the output.
            index = (image * a.out_height + y) * a.out_width + x
            inside = (y < a.out_height) & (x < a.out_width)
            set_int(indices, i * across + j, index if inside else -1)


def _back(
    tile: micro.RegisterTile, filtering: Filtering, activation: str, residual: bool
) -> Compiled:
    """A Numba function that makes a tile's outputs of one vector of channels.

    Its arguments: address of its sums in the first plane, bytes between planes, address of the
    outputs' indices, panel, first lane, first and second parameter of the activation.
    """
    high, wide = filtering.sides
    vertical, horizontal = (m.output for m in filtering.matrices)

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        source, plane, indices, panel, lane, first, second = values
        sums = [[_sum(b, source, plane, i * wide + j) for j in range(wide)] for i in range(high)]
        # AT m A, then the epilogue on each output as in a plain product.
        made = emit_transform(b, vertical, horizontal, sums)
        fields = panel_fields(b, arguments[3], panel)
        end = b.add(lane, i64(tile.width))
        with b.if_else(b.icmp_signed(">=", fields["channels"], end), likely=True) as branches:
            for branch, partial in zip(branches, (False, True), strict=True):
                with branch:
                    epilogue = EpilogueEmitter(
                        b, tile.width, activation, residual, fields, first, second, partial
                    )
                    _finish_tile(epilogue, made, indices, lane)

    def _sum(b: ir.IRBuilder, source: ir.Value, plane: ir.Value, k: int) -> ir.Value:
        return emit_load(b, b.add(source, b.mul(plane, i64(k))), 0, vector(tile.width))

    return function("back", 7, lambda *rest: types.none, emit)


def _finish_tile(
    epilogue: EpilogueEmitter, made: list[list[ir.Value]], indices: ir.Value, lane: ir.Value
) -> None:
    b, bias = epilogue.b, epilogue.bias(lane)
    for i, row in enumerate(made):
        for j, value in enumerate(row):
            index = pixel_index(b, indices, i * len(row) + j)
            with b.if_then(b.icmp_signed(">=", index, i64(0)), likely=True):
                epilogue.finish(value, bias, index, lane)
