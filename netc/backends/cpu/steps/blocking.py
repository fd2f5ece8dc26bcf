"""How convolutions are cut into register tiles and units of work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from netc.backends.cpu.machine import Machine

#: isa -> (pixels, vectors of channels, share of the peak that the tile reaches on long sums),
#: the best first. The shares come from benchmarks/kernels.py.
TILES: dict[str, tuple[tuple[int, int, float], ...]] = {
    "avx512": (
        (6, 4, 0.90),
        (5, 4, 0.88),
        (4, 4, 0.86),
        (8, 3, 0.88),
        (7, 3, 0.88),
        (12, 2, 0.82),
        (8, 2, 0.84),
        (8, 1, 0.68),
    ),
    "avx2": (
        (6, 2, 1.00),
        (5, 2, 0.98),
        (4, 3, 1.00),
        (4, 2, 0.87),
        (12, 1, 0.90),
        (7, 1, 0.80),
    ),
    "neon": ((6, 4, 1.0), (8, 2, 0.95), (4, 4, 0.9), (12, 1, 0.9), (8, 1, 0.8)),
    "plain": ((6, 2, 1.0), (4, 2, 0.9), (8, 1, 0.8)),
}
_OVERHEAD_CHANNELS = 6.0  # work outside of the sums, in channels' worth of multiply-adds per tile
_L1_TILES = 12  # tiles whose sums fit into the first cache beside a block of weights
_L2_TILES = 40  # tiles whose sums fit into the second cache beside that
_UNIT_MULTIPLY_ADDS = 400_000  # multiply-adds in a unit of work, about: 4 to 8 microseconds


@dataclass(frozen=True, slots=True)
class Blocking:
    """How a convolution is cut.

    Args:
        rows: pixels of a register tile.
        columns: vectors of output channels of a register tile; they make a panel.
        tiles: tiles in a unit of work.
        panels: panels in a unit of work.
        panel_major: units that share panels follow each other, else those that share pixels.
        block: terms of the sums that all tiles of a unit take before the next ones; 0: all.
    """

    rows: int
    columns: int
    tiles: int
    panels: int
    panel_major: bool
    block: int = 0


def choose_blocking(
    pixels: int, outputs: Sequence[int], depth: int, target: Machine, source: int = 0
) -> Blocking:
    """A cut whose tile wastes little and whose units find their weights in the second cache.

    Panels come first where all weights do not fit there, and where they are larger than an input
    that does: then each panel is fetched while the one before it is used. A panel that by itself
    takes much of the second cache runs in blocks over many tiles.

    Args:
        pixels: of the output, of all images.
        outputs: channels of each part; each starts a new panel.
        depth: terms of each sum, channels * taps.
        target: the machine.
        source: bytes of the input.
    """
    # A cut has two levels: the register tile, and the unit of tiles x panels that a thread takes.
    #
    #                 panel 0   panel 1   panel 2          (columns * width output channels each)
    #   tile 0           .         .         .          panel_major: units go down a column
    #   tile 1           .         .         .          first, else along a row
    rows, columns = choose_tile(pixels, outputs, depth, target)
    lanes, half = columns * target.width, target.l2 // 2
    tiles = math.ceil(pixels / rows)
    panel, few = 4 * depth * lanes, tiles <= _L1_TILES
    # Long sums: the panel would fall out of the second cache between tiles. Cut K into blocks:
    # a third of the first cache where the sums of few tiles lie there too, else all of it.
    if panel > (target.l2 // 8 if few else target.l2 * 3 // 8):
        together = math.ceil(tiles / math.ceil(tiles / _L2_TILES))
        block = max(16, target.l1 // (3 if few else 1) // (4 * lanes))
        return Blocking(rows, columns, together, 1, True, block)
    # Short sums: whole panels. One of them at a time, if all weights do not fit into half of the
    # second cache, or are more than the input that does fit.
    panels = sum(math.ceil(o / lanes) for o in outputs)
    weights = panel * panels
    panel_major = panels > 1 and (weights > half or half >= source < weights)
    together = 1 if panel_major else panels
    # Units are long enough to be worth handing out, and short enough to even out among threads.
    unit = max(1, _UNIT_MULTIPLY_ADDS // (rows * lanes * depth * together))
    return Blocking(rows, columns, min(unit, tiles), together, panel_major)


def choose_tile(
    pixels: int, outputs: Sequence[int], depth: int, target: Machine
) -> tuple[int, int]:
    """Rows and columns of the register tile that takes least time; see choose_blocking."""
    rows, columns, _ = min(
        TILES[target.isa], key=lambda tile: _cost(tile, pixels, outputs, depth, target.width)
    )
    return rows, columns


def tile_cost(pixels: int, outputs: Sequence[int], depth: int, target: Machine) -> float:
    """Vector multiply-adds of the best tile, its idle lanes, rows and overheads included."""
    return min(_cost(t, pixels, outputs, depth, target.width) for t in TILES[target.isa])


def _cost(
    tile: tuple[int, int, float], pixels: int, outputs: Sequence[int], depth: int, width: int
) -> float:
    rows, columns, share = tile
    panels = sum(math.ceil(o / (columns * width)) for o in outputs)
    # Idle rows and lanes cost as much as busy ones, hence the two ceilings.
    per_tile = rows * columns * (depth / share + _OVERHEAD_CHANNELS)
    return math.ceil(pixels / rows) * panels * per_tile
