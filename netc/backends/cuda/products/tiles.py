"""How the blocks of a product share its work, and a guess at what that costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from netc.backends.cuda.device import Facts
from netc.backends.cuda.libraries.operation import Plan

SHARED = 48 * 1024  # bytes of shared memory that every device gives a block
MOST_PARTS = 65535  # blocks that a grid can have along its second axis


class Tile(NamedTuple):
    """A block makes ``m`` pixels by ``n`` channels, each of its warps ``wm`` by ``wn``.

    It takes ``k`` bytes of each sum's factors at a time: 64 or 128.
    """

    m: int
    n: int
    wm: int
    wn: int
    k: int = 64

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * (self.m // self.wm) * (self.n // self.wn)

    @property
    def stages(self) -> int:
        """Tiles of K that are in shared memory at once."""
        row = self.k + 16  # bytes from one row to the next, so that lanes meet no bank twice
        return max(2, min(4, (SHARED - 256) // ((self.m + self.n) * row)))

    @property
    def results(self) -> int:
        """Results a thread keeps."""
        return self.m * self.n // self.threads


class Way(NamedTuple):
    """How a product is computed: a tile, and how many blocks share each sum.

    With ``winograd`` it is by Winograd's algorithm, in tiles of so many outputs squared; tile and
    splits are then those of the product in the middle. With ``plan`` a library computes it, or that
    product in the middle. With ``rows`` each weight is read once, by a warp for all rows, without
    tiles.
    """

    tile: Tile
    splits: int = 1
    winograd: int = 0
    plan: Plan | None = None
    rows: bool = False


PLAIN = (
    Tile(128, 128, 32, 64),
    Tile(128, 64, 32, 32),
    Tile(64, 128, 32, 32),
    Tile(64, 64, 32, 32),
    Tile(64, 64, 16, 32, 128),
    Tile(128, 32, 32, 16),
    Tile(32, 64, 16, 32, 128),
    Tile(64, 32, 32, 16, 128),
    Tile(32, 32, 16, 16, 128),
    Tile(32, 32, 16, 32, 128),
    Tile(16, 64, 16, 16, 128),
)
MATRIX = (
    Tile(128, 128, 32, 64),
    Tile(128, 64, 32, 32),
    Tile(64, 128, 32, 32),
    Tile(64, 64, 32, 32),
    Tile(64, 64, 32, 32, 128),
    Tile(128, 32, 32, 16),
    Tile(32, 64, 16, 32, 128),
    Tile(64, 32, 16, 16, 128),
    Tile(32, 32, 16, 16, 128),
)
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class Size(NamedTuple):
    """A product: pixels x outputs, each a sum over ``length``; ``parts`` of them side by side.

    ``outputs`` has the channels of each branch; ``item`` is bytes of an element.
    """

    pixels: int
    outputs: tuple[int, ...]
    length: int
    parts: int = 1
    item: int = 4


def n_tiles(size: Size, tile: Tile) -> int:
    """Tiles of channels; none holds channels of two branches."""
    return sum(math.ceil(n / tile.n) for n in size.outputs)


def block_count(size: Size, tile: Tile) -> int:
    """Blocks, without splits."""
    return math.ceil(size.pixels / tile.m) * n_tiles(size, tile) * size.parts


def steps_of(size: Size, tile: Tile) -> int:
    """Tiles along K."""
    return math.ceil(size.length * size.item / tile.k)


def ways(size: Size, facts: Facts, matrix: bool) -> Iterator[Way]:
    """Ways worth trying."""
    for tile in MATRIX if matrix else PLAIN:
        steps = steps_of(size, tile)
        blocks = block_count(size, tile)
        for splits in SPLITS:
            crowded = splits > 1 and blocks * splits > 8 * facts.processors
            if splits <= max(1, steps // 4) and not crowded:
                yield Way(tile, splits)


# Cycles, of figures that hold roughly for every device since Volta.
_LANES = 128  # multiply-adds a processor starts in a cycle
_ROUND_TRIP = 500  # from asking for a tile to having it
_START = 2000  # a block's first loads and last stores
_JOIN = 1500  # of blocks that share a sum
_CACHE = 30  # bytes that a processor moves to or from the cache in a cycle


def cost(size: Size, way: Way, facts: Facts, matrix: bool) -> float:
    """A guess at a way's cycles: the most loaded processor's arithmetic, or its waiting."""
    tile = way.tile
    blocks = block_count(size, tile) * way.splits
    steps = math.ceil(steps_of(size, tile) / way.splits)
    queue = math.ceil(blocks / facts.processors)
    macs = tile.m * tile.n * tile.k // size.item
    rate = _LANES * (6 if matrix else 1) * min(0.85, 0.35 + tile.results / 128)
    arithmetic = queue * steps * macs / rate
    resident = min(queue, max(1, min(1536 // tile.threads, 65536 // (128 * tile.threads))))
    waiting = math.ceil(queue / resident) * (steps * _ROUND_TRIP / (tile.stages - 1) + _START)
    parts = 8 * blocks * tile.m * tile.n / (_CACHE * facts.processors)
    return max(arithmetic, waiting) + (0 if way.splits == 1 else _JOIN + parts)


def guess(size: Size, facts: Facts, matrix: bool) -> Way:
    """The way that should be fastest, where nothing was measured."""
    return min(ways(size, facts, matrix), key=lambda way: cost(size, way, facts, matrix))
