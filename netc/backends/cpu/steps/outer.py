"""Steps of summed outer products: gradients of weights and biases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import OuterArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import Place, View, moved

#: isa -> registers that a tile's sums may take; a few are left for what is multiplied.
_SUM_REGISTERS = {"avx512": 24, "avx2": 12, "neon": 24}
_MAX_NUMBERS = 12
_TAP_NUMBERS = 6  # of a tap in the table
_BLOCK_BYTES = 1 << 18  # bytes of a block's rows on both sides: they stay in the second cache


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the products over a grid of images, rows and columns; distances in floats.

    Args:
        place: of the grid's first pixel, or a constant.
        channels: how many each pixel has.
        image: from an image to the next.
        row: from a row of the grid to the next.
        step: from a column of the grid to the next.
        gap: from a channel to the next; 1 but for numbers that lie apart.
    """

    place: Place | NDArray[np.float32]
    channels: int
    image: int
    row: int
    step: int
    gap: int = 1


@dataclass(frozen=True, slots=True)
class TapShift:
    """A tap of a window: how far it moves x, and for which part of the grid x has that pixel."""

    shift: int
    rows: range
    columns: range


@dataclass(frozen=True, slots=True)
class OuterTarget:
    """Where sums go: distances in floats from a y channel, a tap and an x channel to the next."""

    place: Place
    y: int
    tap: int
    x: int

    def swapped(self) -> OuterTarget:
        """The same target where x and y change their roles."""
        return OuterTarget(self.place, self.x, self.tap, self.y)


@dataclass(frozen=True, slots=True, eq=False)
class OuterProduct:
    """Sums over a grid of the products of each lane with each number.

    Args:
        lanes: the side whose channels are read as vectors; it has the role of the target's x.
        numbers: the side whose channels are spread over vectors; it has the role of y.
        grid: images and rows.
        table: (taps, 6) int64, see :class:`netc.backends.cpu.kernel_args.OuterArgs`.
        target: where sums go.
        block: rows of the grid that are summed over all taps before the next ones.
    """

    lanes: Side
    numbers: Side
    grid: tuple[int, int]
    table: NDArray[np.int64]
    target: OuterTarget
    block: int = 1

    def arguments(self, first: int) -> OuterArgs:
        """The arguments of the kernel that sums for the numbers from ``first`` on."""
        lanes, numbers, target = self.lanes, self.numbers, self.target
        return OuterArgs(
            lanes=lanes.place,
            lanes_image=4 * lanes.image,
            lanes_row=4 * lanes.row,
            lanes_step=4 * lanes.step,
            numbers=_moved(numbers.place, first * numbers.gap),
            numbers_image=4 * numbers.image,
            numbers_row=4 * numbers.row,
            numbers_step=4 * numbers.step,
            numbers_gap=4 * numbers.gap,
            count=lanes.channels,
            images=self.grid[0],
            rows=self.grid[1],
            block=self.block,
            taps=len(self.table),
            table=self.table,
            output=moved(target.place, first * target.y),
            output_number=4 * target.y,
            output_tap=4 * target.tap,
            output_lane=4 * target.x,
        )


def outer_steps(
    name: str,
    x: Side,
    y: Side,
    grid: tuple[int, int],
    taps: Sequence[TapShift],
    target: OuterTarget,
    machine: Machine,
) -> list[Step]:
    """Sums over a grid of the products of each channel of x, moved by a tap, with each of y.

    Args:
        name: the layer's.
        x: what is moved by taps.
        y: what is not.
        grid: images and rows.
        taps: of the window.
        target: where to.
        machine: for which.
    """
    # Either side may give the vectors: few channels of one waste lanes, so take the cheaper.
    by_x, by_y = (_tiles(machine, *c) for c in ((x.channels, y.channels), (y.channels, x.channels)))
    table = np.array([_row(tap) for tap in taps], np.int64).reshape(-1, _TAP_NUMBERS)
    block = _block_rows(grid, taps, x.channels + y.channels)
    product, best = OuterProduct(x, y, grid, table, target, block), by_x
    if by_y.cost < by_x.cost:  # y moves by no tap: what each adds to lanes and numbers is swapped
        table = np.ascontiguousarray(table[:, [1, 0, 2, 3, 4, 5]])
        product, best = OuterProduct(y, x, grid, table, target.swapped(), block), by_y
    width = best.vectors * machine.width
    lane_bytes = 4 * width * math.ceil(product.lanes.channels / width) * len(taps)
    steps = []
    for first, count, tile in best.split(product.numbers.channels):
        kernel = jit.spec("outer", "outer", tile=tile, vectors=best.vectors)
        steps.append(Step(name, kernel, product.arguments(first), count, tile * lane_bytes))
    return steps


def _block_rows(grid: tuple[int, int], taps: Sequence[TapShift], channels: int) -> int:
    """Rows of the grid whose elements on both sides stay in the second cache for all taps."""
    row_bytes = 4 * channels * max((len(tap.columns) for tap in taps), default=1)
    return max(1, min(grid[0] * grid[1], _BLOCK_BYTES // max(1, row_bytes)))


def _moved(place: Place | NDArray[np.float32], elements: int) -> Place | NDArray[np.float32]:
    return place[elements:] if isinstance(place, np.ndarray) else moved(place, elements)


def _row(tap: TapShift) -> tuple[int, ...]:
    """A tap's row of the table: bytes added to lanes and to numbers, then the grid's part."""
    rows, columns = tap.rows, tap.columns
    return 4 * tap.shift, 0, rows.start, rows.stop, columns.start, columns.stop


@dataclass(frozen=True, slots=True)
class _Tiling:
    """Numbers by vectors of a tile, and what all of it costs, in loads or products a pixel."""

    tile: int
    vectors: int
    cost: float

    def split(self, numbers: int) -> list[tuple[int, int, int]]:
        """(first number, count of tiles, numbers of a tile): see ``tiles_of``."""
        return tiles_of(numbers, self.tile)


def tiles_of(numbers: int, tile: int) -> list[tuple[int, int, int]]:
    """(first number, count of tiles, numbers of a tile) of each step that sums for them.

    The numbers that are left at the end get a smaller tile, and a step of their own.
    """
    whole, rest = divmod(numbers, tile)
    return [(0, whole, tile)] * (whole > 0) + [(whole * tile, 1, rest)] * (rest > 0)


def _tiles(machine: Machine, lanes: int, numbers: int) -> _Tiling:
    """The tiling that costs least: full lanes, few tiles, and as many sums as there are registers.

    A pixel of a tile takes as many cycles as it has products, and not fewer than it has loads.
    """
    sums = max_sums(machine)

    def cost(tile: int, vectors: int) -> float:
        return max(tile * vectors, tile + vectors) + 1.0

    def total(tile: int, vectors: int) -> float:
        # Whole tiles, and a smaller one for the numbers that are left.
        rest = numbers % tile
        each = numbers // tile * cost(tile, vectors) + (cost(rest, vectors) if rest else 0)
        return math.ceil(lanes / (vectors * machine.width)) * each

    # Ties go to the larger tile: fewer sweeps over the lanes.
    choices = [
        (total(tile, vectors), -tile, vectors)
        for vectors in range(1, 5)
        for tile in range(1, min(numbers, _MAX_NUMBERS, sums // vectors) + 1)
    ]
    lowest, tile, vectors = min(choices)
    return _Tiling(-tile, vectors, lowest)


def max_sums(machine: Machine) -> int:
    """Vectors of sums that stay in registers."""
    return _SUM_REGISTERS.get(machine.isa, 8)


def side_of(view: View, stride: tuple[int, int] = (1, 1)) -> Side:
    """A stored value over a grid that takes every ``stride``-th row and column of it."""
    row = view.w * view.ld
    return Side(view.place, view.c, view.h * row, stride[0] * row, stride[1] * view.ld)


def window_taps(x: View, grid: tuple[int, int], geometry: Geometry) -> list[TapShift]:
    """The taps of a window over x, row by row; ``grid`` is the output's height and width."""
    found = []
    for ky in range(geometry.kernel[0]):
        for kx in range(geometry.kernel[1]):
            up = ky * geometry.dilation[0] - geometry.pad[0]
            left = kx * geometry.dilation[1] - geometry.pad[1]
            rows = _seen(x.h, grid[0], geometry.stride[0], up)
            columns = _seen(x.w, grid[1], geometry.stride[1], left)
            found.append(TapShift((up * x.w + left) * x.ld, rows, columns))
    return found


def joined_rows(
    x: View, grid: tuple[int, int], geometry: Geometry, target: OuterTarget
) -> tuple[Side, list[TapShift], OuterTarget] | None:
    """The rows of a window over one channel as its numbers; None where they are no run of memory.

    A single channel would make tiles of one number. A window's row is as many, side by side.
    """
    columns = geometry.kernel[1]
    inside = geometry.pad[1] == 0 and geometry.dilation[1] == 1 and columns <= x.w
    if x.c != 1 or x.ld != 1 or not inside:
        return None
    side = replace(side_of(x, geometry.stride), channels=columns)
    rows = replace(geometry, kernel=(geometry.kernel[0], 1))
    distances = OuterTarget(target.place, target.y, columns * target.tap, target.tap)
    return side, window_taps(x, grid, rows), distances


def _seen(size: int, grid: int, stride: int, shift: int) -> range:
    """The places of the grid whose element, moved by ``shift``, is one of ``size``."""
    # stride * place + shift must lie in 0 .. size - 1.
    first = max(0, -(shift // stride))
    last = min(grid, (size - 1 - shift) // stride + 1)
    return range(first, max(first, last))
