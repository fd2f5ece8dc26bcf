"""Convolution as a matrix product whose sums are long: weights are read in blocks that stay.

A panel's weights that outgrow the first cache come from the second again for every tile of pixels,
and from beyond it where they outgrow that too. Here the sums of all of a unit's tiles wait in
scratch memory while a block of the panel's weights, a quarter of the first cache, runs over all of
them; meanwhile the next block is fetched. Each sum takes its terms in the same order as in
:mod:`netc.backends.cpu.kernels.conv`, so results are the same to the last bit.
"""

from __future__ import annotations

from numba import njit

from netc.backends.cpu.kernels import tile as micro
from netc.backends.cpu.kernels.conv import locator
from netc.backends.cpu.kernels.epilogue import FLOAT32, Formats
from netc.backends.cpu.kernels.simd import as_float, record
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Pair, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import ConvArgs, PanelArgs

# Input channels that one call of the micro-kernel takes; the rest of a run is done one by one.
UNROLL = 4
_PREFETCH_LINES = 2  # asked for while UNROLL channels are done
_HEADER_BYTES = 8 * len(ConvArgs._fields)
_PANEL_BYTES = 8 * len(PanelArgs._fields)


# Scratch memory of a unit of ``count`` tiles:
#
#   [sums of tile 0][sums of tile 1]...  rows * columns vectors each
#   [tile 0: rows indices, taps x rows addresses][tile 1: ...]...   int64
#
# and the order of the work, K = taps * channels cut into blocks:
#
#              tile 0   tile 1   tile 2 ...
#   K block 0    1        2        3         the block of weights stays in the first cache
#   K block 1    4        5        6         sums are reloaded and spilled around each cell
def convolve(
    machine: Machine,
    tile: Pair,
    activation: str,
    residual: bool,
    pointwise: bool,
    formats: tuple[str, str, str] = FLOAT32,
) -> Kernel:
    """The kernel of :func:`netc.backends.cpu.kernels.conv.convolve`; units are panel-major.

    Scratch memory holds every tile's sums, then every tile's indices and addresses.
    """
    rows, own = tile[0], micro.RegisterTile(*tile, machine.width)
    zeros, spill, reload = micro.zeros(own), micro.spill(own), micro.reload(own)
    finish = micro.finish(own, activation, residual, Formats(*formats))
    locate, block = locator(pointwise), _block(own, formats[0], machine)
    lane_bytes, sum_bytes = 4 * own.channels, 4 * rows * own.channels

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ConvArgs, args)
        first, second = as_float(a.first), as_float(a.second)
        tiles = (a.pixels + rows - 1) // rows
        tile_units = (tiles + a.tiles_per_unit - 1) // a.tiles_per_unit
        places, place_bytes = scratch + a.tiles_per_unit * sum_bytes, 8 * rows * (a.taps + 1)
        depth = a.taps * a.channels
        for unit in range(begin, end):
            panel = record(PanelArgs, args + _HEADER_BYTES + unit // tile_units * _PANEL_BYTES)
            start = unit % tile_units * a.tiles_per_unit
            count = min(a.tiles_per_unit, tiles - start)
            # Stage 1: find the pixels of all tiles and clear their sums.
            for t in range(count):
                place = places + t * place_bytes
                locate(a, (start + t) * rows, rows, place, place + 8 * rows)
                spill(zeros(), scratch + t * sum_bytes)
            # Stage 2: block by block of the panel's weights, over all tiles.
            for k in range(0, depth, a.block):
                size = min(a.block, depth - k)
                weights = panel.weights + k * lane_bytes
                # Each tile prefetches its part of the next block, ``step`` bytes with every call.
                part = size * lane_bytes // count
                step = min(64 * _PREFETCH_LINES, (UNROLL * lane_bytes + count - 1) // count)
                for t in range(count):
                    ahead = weights + size * lane_bytes + t * part
                    pointers = places + t * place_bytes + 8 * rows
                    sums = reload(scratch + t * sum_bytes)
                    source = panel.input_offset
                    sums = block(sums, a, pointers, source, weights, k, size, ahead, step)
                    spill(sums, scratch + t * sum_bytes)
            # Stage 3: the epilogue of each tile.
            for t in range(count):
                sums = reload(scratch + t * sum_bytes)
                place = places + t * place_bytes
                finish(sums, a.pixels - (start + t) * rows, place, panel, first, second)

    return kernel


def _block(tile: micro.RegisterTile, number: str, machine: Machine) -> Compiled:
    """A function that adds ``size`` terms, from the ``k``-th on, to a tile's sums."""
    multiply, multiply_one = (
        micro.multiply(tile, UNROLL, _PREFETCH_LINES, True, number, machine),
        micro.multiply(tile, 1, number=number, machine=machine),
    )
    row_bytes, lane_bytes = 8 * tile.rows, 4 * tile.channels

    @njit(inline="always")
    def block(
        sums: tuple[Lanes, ...],
        a: Record,
        pointers: int,
        source: int,
        weights: int,
        k: int,
        size: int,
        ahead: int,
        step: int,
    ) -> tuple[Lanes, ...]:
        end = k + size
        while k < end:
            # A block may begin and end within a tap: [k, end) is cut where the tap, and the row of
            # addresses with it, changes.
            tap = k // a.channels
            c = k - tap * a.channels
            stop = min(a.channels, c + end - k)
            k += stop - c
            row = pointers + tap * row_bytes
            main = c + (stop - c) // UNROLL * UNROLL
            for i in range(c, main, UNROLL):
                sums = multiply(sums, row, source + 4 * i, weights, ahead)
                weights += UNROLL * lane_bytes
                ahead += step
            for i in range(main, stop):
                sums = multiply_one(sums, row, source + 4 * i, weights, weights)
                weights += lane_bytes
        return sums

    return block
