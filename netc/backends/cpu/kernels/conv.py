"""Convolution as a matrix product whose left side is never formed.

For each tile of output pixels the addresses of the input pixels under each tap are worked out
once; taps outside the input point at zeros. Then each panel of output channels runs the
micro-kernel over taps and channels. Weights are packed [panel][tap][channel][lane].

While a panel's tiles run, the next panel's weights are fetched into the second cache, a part with
each tile, since they come from far away the first time.

A unit of work is ``tiles_per_unit`` tiles by ``panels_per_unit`` panels. Each output is computed
whole by one unit, so results do not depend on how units are shared among threads.
"""

from __future__ import annotations

from numba import njit

from netc.backends.cpu.kernels import tile as micro
from netc.backends.cpu.kernels.epilogue import FLOAT32, Formats
from netc.backends.cpu.kernels.simd import as_float, int_at, record, set_int
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Pair, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import ConvArgs, PanelArgs

# Input channels that one call of the micro-kernel takes; the rest of a pixel is done one by one.
UNROLL = 4
_PREFETCH_LINES = 2  # asked for while UNROLL channels are done
_HEADER_BYTES = 8 * len(ConvArgs._fields)
_PANEL_BYTES = 8 * len(PanelArgs._fields)


# Memory of a unit, and the order in which packed weights are read:
#
#   scratch   [indices: rows int64][addresses: taps x rows int64]
#   weights   panel p, tap t, channel c:  [p][t][c][lane]   lane = columns * width output channels
#               +-- p ------------------------------------------+
#               | t=0: c=0 lanes | c=1 lanes | ... | t=1: c=0 ...|   one long stream for each tile
#               +-----------------------------------------------+
@njit(inline="always")
def _locate(a: Record, first: int, rows: int, indices: int, pointers: int) -> None:
    """Write the output index of each pixel of a tile and its input addresses for each tap."""
    image = a.out_height * a.out_width
    # Divide once for the first pixel; the others follow by counting.
    n = first // image
    y = (first - n * image) // a.out_width
    x = first - n * image - y * a.out_width
    for i in range(rows):
        set_int(indices, i, n * a.out_image + y * a.out_row + x * a.out_step)
        top, left = y * a.stride_y, x * a.stride_x
        base = a.input + ((n * a.height + top) * a.width + left) * a.ld
        # If the window's bounding box lies inside the input, no tap needs a check of its own.
        across = (left + a.min_x >= 0) & (left + a.max_x < a.width)
        if (top + a.min_y >= 0) & (top + a.max_y < a.height) & across:
            for t in range(a.taps):
                set_int(pointers, t * rows + i, base + int_at(a.distances, t))
        else:
            _locate_border(a, top, left, base, rows, pointers + 8 * i)
        # Rows beyond the last pixel repeat it: their sums are computed, and never stored.
        if first + i + 1 < a.pixels:
            x += 1
            if x == a.out_width:
                x, y = 0, y + 1
                if y == a.out_height:
                    y, n = 0, n + 1


@njit(inline="always")
def _locate_border(a: Record, top: int, left: int, base: int, rows: int, pointers: int) -> None:
    """Write a pixel's input addresses; those outside the input are the zeros'."""
    for t in range(a.taps):
        v, u = top + int_at(a.offsets, 2 * t), left + int_at(a.offsets, 2 * t + 1)
        inside = (0 <= v) & (v < a.height) & (0 <= u) & (u < a.width)
        # A tap outside the input reads a row of zeros, so that the micro-kernel needs no branch.
        place = base + int_at(a.distances, t)
        set_int(pointers, t * rows, place if inside else a.zeros)


@njit(inline="always")
def _locate_pointwise(a: Record, first: int, rows: int, indices: int, pointers: int) -> None:
    for i in range(rows):
        # One tap: the row of the matrix is the pixel itself.
        pixel = min(first + i, a.pixels - 1)
        set_int(indices, i, pixel)
        set_int(pointers, i, a.input + pixel * a.ld)


@njit(inline="always")
def _cut(a: Record, unit: int, tile_units: int, panel_units: int) -> tuple[int, int]:
    """Which panels and which tiles a unit is about.

    What consecutive units share they find in the second cache: a panel's weights, or a tile's
    inputs.
    """
    if a.panel_major:
        return unit // tile_units, unit % tile_units
    return unit % panel_units, unit // panel_units


def locator(pointwise: bool) -> Compiled:
    """The function (args, first, rows, indices, pointers) that finds a tile's pixels."""
    return _locate_pointwise if pointwise else _locate


def convolve(
    machine: Machine,
    tile: Pair,
    activation: str,
    residual: bool,
    pointwise: bool,
    formats: tuple[str, str, str] = FLOAT32,
) -> Kernel:
    """The kernel for register tiles of (pixels, vectors of output channels).

    ``pointwise``: one tap, stride 1, no padding, output pixels in the order of input pixels.
    ``formats`` are :class:`Formats`; with fewer bits than float32 a channel is a word of several.
    """
    rows, own = tile[0], micro.RegisterTile(*tile, machine.width)
    finish = micro.finish(own, activation, residual, Formats(*formats))
    locate, sums_of = locator(pointwise), _sums(own, formats[0], machine)
    lane_bytes = 4 * own.channels

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ConvArgs, args)
        first, second = as_float(a.first), as_float(a.second)
        # Units form a grid of (tiles / tiles_per_unit) x (panels / panels_per_unit).
        tiles = (a.pixels + rows - 1) // rows
        tile_units = (tiles + a.tiles_per_unit - 1) // a.tiles_per_unit
        panel_units = (a.panels + a.panels_per_unit - 1) // a.panels_per_unit
        indices, pointers = scratch, scratch + 8 * rows
        panel_bytes = a.taps * a.channels * lane_bytes
        # The next panel is fetched in as many parts as there are tiles, this many bytes with
        # each call.
        stride = min(64 * _PREFETCH_LINES, (UNROLL * lane_bytes + tiles - 1) // tiles)
        for unit in range(begin, end):
            p, q = _cut(a, unit, tile_units, panel_units)
            last_panel = min((p + 1) * a.panels_per_unit, a.panels)
            last_tile = min((q + 1) * a.tiles_per_unit, tiles)
            for t in range(q * a.tiles_per_unit, last_tile):
                # Addresses are found once for a tile and serve all of the unit's panels.
                locate(a, t * rows, rows, indices, pointers)
                for k in range(p * a.panels_per_unit, last_panel):
                    panel = record(PanelArgs, args + _HEADER_BYTES + k * _PANEL_BYTES)
                    # Prefetch this tile's part of the next panel's weights, or the panel itself.
                    ahead = panel.weights
                    if a.panel_major:
                        ahead += panel_bytes + t * (panel_bytes // tiles)
                    sums = sums_of(a, panel, pointers, ahead, stride)
                    # Epilogue and the only store of this tile.
                    finish(sums, a.pixels - t * rows, indices, panel, first, second)

    return kernel


def _sums(tile: micro.RegisterTile, number: str, machine: Machine) -> Compiled:
    """A function: a tile's sums over K = taps * channels, all of them in registers.

    Its arguments: args, panel; the address of the rows' input addresses, [tap][row]; the address
    that is prefetched meanwhile, and by how many bytes it moves with each call.
    """
    zeros = micro.zeros(tile)
    multiply = micro.multiply(tile, UNROLL, _PREFETCH_LINES, number=number, machine=machine)
    multiply_one = micro.multiply(tile, 1, number=number, machine=machine)
    row_bytes, lane_bytes = 8 * tile.rows, 4 * tile.channels

    @njit(inline="always")
    def sums_of(
        a: Record, panel: Record, pointers: int, ahead: int, stride: int
    ) -> tuple[Lanes, ...]:
        sums: tuple[Lanes, ...] = zeros()
        weights, main = panel.weights, a.channels // UNROLL * UNROLL
        for tap in range(a.taps):
            row = pointers + tap * row_bytes
            for c in range(0, main, UNROLL):
                sums = multiply(sums, row, panel.input_offset + 4 * c, weights, ahead)
                weights += UNROLL * lane_bytes
                ahead += stride
            # The channels left over, fewer than UNROLL, one by one.
            for c in range(main, a.channels):
                sums = multiply_one(sums, row, panel.input_offset + 4 * c, weights, weights)
                weights += lane_bytes
        return sums

    return sums_of
