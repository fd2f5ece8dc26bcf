"""Block tiles, configurations of products, and the cost model that ranks them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from netc.backends.cuda.device import SHARED, Facts
from netc.backends.cuda.libraries.operation import LibraryAlgorithm

_EXTRA_SHARED_BYTES = 256  # bytes of shared memory beside the tiles
MAX_PARTS = 65535  # blocks that a grid can have along its second axis


class BlockTile(NamedTuple):
    """A block makes ``m`` pixels by ``n`` channels, each of its warps ``wm`` by ``wn``.

    It takes ``k`` bytes of each sum's factors at a time: 64 or 128. ``depth`` of these tiles of K
    are in shared memory at once; with 0 it is as many as go into what every device has, 2 to 4.
    """

    m: int
    n: int
    wm: int
    wn: int
    k: int = 64
    depth: int = 0

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * (self.m // self.wm) * (self.n // self.wn)

    @property
    def stages(self) -> int:
        """Tiles of K that are in shared memory at once."""
        return self.depth or max(2, min(4, (SHARED - _EXTRA_SHARED_BYTES) // self._stage))

    @property
    def _stage(self) -> int:
        row = self.k + 16  # bytes from one row to the next, so that lanes meet no bank twice
        return (self.m + self.n) * row

    @property
    def shared(self) -> int:
        """Bytes of shared memory that a block takes."""
        return self.stages * self._stage + _EXTRA_SHARED_BYTES

    @property
    def asked(self) -> int:
        """Bytes of it that a launch has to ask for: none where every kernel may have them."""
        return self.stages * self._stage if self.shared > SHARED else 0

    @property
    def moved(self) -> int:
        """Bytes that go into shared memory and out of it for a tile of K."""
        return (self.m + self.n + self.threads // 32 * (self.wm + self.wn)) * self.k

    @property
    def results(self) -> int:
        """Results a thread keeps."""
        return self.m * self.n // self.threads

    def fits(self, size: Size, facts: Facts) -> bool:
        """True if a block of this tile fits the shared memory and registers of a device."""
        return self.asked == 0 or (self.shared <= facts.shared and size.chunk == 16)


class ProductConfig(NamedTuple):
    """How a product is computed.

    Args:
        tile: of a block. With ``winograd``, of the product between the transforms.
        splits: blocks that share each sum (split-K).
        winograd: m of Winograd's F(m x m, 3 x 3); 0 for another algorithm.
        algorithm: of a library, which then computes the product, or the one between the transforms.
        rows: each weight is read once, by a warp for all rows of x, without tiles.
    """

    tile: BlockTile
    splits: int = 1
    winograd: int = 0
    algorithm: LibraryAlgorithm | None = None
    rows: bool = False


PLAIN = (
    BlockTile(128, 128, 32, 64),
    BlockTile(128, 64, 32, 32),
    BlockTile(64, 128, 32, 32),
    BlockTile(64, 64, 32, 32),
    BlockTile(64, 64, 16, 32, 128),
    BlockTile(128, 32, 32, 16),
    BlockTile(32, 64, 16, 32, 128),
    BlockTile(64, 32, 32, 16, 128),
    BlockTile(32, 32, 16, 16, 128),
    BlockTile(32, 32, 16, 32, 128),
    BlockTile(16, 64, 16, 16, 128),
)
# Those of a depth ask for more shared memory than every device gives; 128 bytes of K and warps of
# many results keep the matrix units busier.
MATRIX = (
    BlockTile(128, 128, 32, 64),
    BlockTile(128, 256, 64, 64, 128, 3),
    BlockTile(256, 128, 64, 64, 128, 3),
    BlockTile(128, 128, 64, 64, 128, 3),
    BlockTile(128, 128, 64, 32, 128, 3),
    BlockTile(128, 64, 64, 32, 128, 3),
    BlockTile(64, 128, 32, 64, 128, 3),
    BlockTile(64, 64, 32, 32, 128, 3),
    BlockTile(128, 64, 32, 32),
    BlockTile(64, 128, 32, 32),
    BlockTile(64, 64, 32, 32),
    BlockTile(128, 32, 32, 16),
    BlockTile(32, 64, 16, 32, 128),
    BlockTile(64, 32, 16, 16, 128),
    BlockTile(32, 32, 16, 16, 128),
)
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class Size(NamedTuple):
    """A product: pixels x outputs, each a sum over ``length``; ``parts`` of them side by side.

    ``outputs`` has the channels of each branch; ``item`` is bytes of an element, ``chunk`` of what
    can be copied at once.
    """

    pixels: int
    outputs: tuple[int, ...]
    length: int
    parts: int = 1
    item: int = 4
    chunk: int = 16


def n_tiles(size: Size, tile: BlockTile) -> int:
    """Tiles of channels; none holds channels of two branches."""
    return sum(math.ceil(n / tile.n) for n in size.outputs)


def block_count(size: Size, tile: BlockTile) -> int:
    """Blocks, without splits."""
    return math.ceil(size.pixels / tile.m) * n_tiles(size, tile) * size.parts


def steps_of(size: Size, tile: BlockTile) -> int:
    """Tiles along K."""
    return math.ceil(size.length * size.item / tile.k)


def candidate_configs(size: Size, facts: Facts, matrix: bool) -> Iterator[ProductConfig]:
    """Ways worth trying."""
    for tile in MATRIX if matrix else PLAIN:
        if not tile.fits(size, facts):
            continue
        # At least four tiles of K for each split, and no more blocks than keep the device busy.
        steps = steps_of(size, tile)
        blocks = block_count(size, tile)
        for splits in SPLITS:
            crowded = splits > 1 and blocks * splits > 8 * facts.processors
            if splits <= max(1, steps // 4) and not crowded:
                yield ProductConfig(tile, splits)


# Cycles, of figures that hold roughly for every device since Volta.
_MULTIPLY_ADDS_PER_CYCLE = 128  # multiply-adds a processor starts in a cycle
_LOAD_LATENCY_CYCLES = 500  # from asking for a tile to having it
_BLOCK_START_CYCLES = 2000  # a block's first loads and last stores
_SPLIT_JOIN_CYCLES = 1500  # of blocks that share a sum
_RESERVED_SHARED_BYTES = 1024  # bytes of a processor's shared memory that each block takes besides
_SHARED_BYTES_PER_CYCLE = (
    4 * 128
)  # bytes of shared memory in a cycle, a fourth of which is waited for
_L2_BYTES_PER_CYCLE = 30  # bytes that a processor moves to or from the cache in a cycle


def cost(size: Size, config: ProductConfig, facts: Facts, matrix: bool) -> float:
    """Estimated cycles of a configuration: the busiest processor's arithmetic, or its waiting."""
    tile = config.tile
    # Whole rounds of blocks: the busiest processor has ``queue`` of them.
    blocks = block_count(size, tile) * config.splits
    steps = math.ceil(steps_of(size, tile) / config.splits)
    queue = math.ceil(blocks / facts.processors)
    # Multiply-adds of a block for one tile of K, whether its pixels and channels exist or not.
    macs = tile.m * tile.n * tile.k // size.item
    # Larger tiles of results load less for each multiply-add, and come closer to the peak.
    rate = (
        _MULTIPLY_ADDS_PER_CYCLE
        * (16 // size.item if matrix else 1)
        * min(0.85, 0.35 + tile.results / 128)
    )
    arithmetic = queue * steps * macs / rate
    gathering = 0.0
    if matrix:  # which work so fast that memory counts
        arithmetic += queue * steps * tile.moved / _SHARED_BYTES_PER_CYCLE
        gathering = queue * steps * (tile.m + tile.n) * tile.k / _L2_BYTES_PER_CYCLE
    # Blocks that are resident together hide each other's latency.
    rounds = math.ceil(queue / min(queue, residents(tile, facts)))
    waiting = rounds * (steps * _LOAD_LATENCY_CYCLES / (tile.stages - 1) + _BLOCK_START_CYCLES)
    # Split-K: partial sums are written and read once, 4 bytes each way.
    parts = 8 * blocks * tile.m * tile.n / (_L2_BYTES_PER_CYCLE * facts.processors)
    joining = 0 if config.splits == 1 else _SPLIT_JOIN_CYCLES + parts
    return max(arithmetic, gathering, waiting) + joining


def residents(tile: BlockTile, facts: Facts) -> int:
    """Blocks that a processor holds at once: of threads, registers and shared memory."""
    # Of a thread: its results, addresses and what is loaded ahead; the limit is 255.
    registers = 128 if tile.results <= 64 else 255
    memory = max(SHARED, facts.shared) // (tile.shared + _RESERVED_SHARED_BYTES)
    return max(1, min(1536 // tile.threads, 65536 // (registers * tile.threads), memory))


def guess(size: Size, facts: Facts, matrix: bool) -> ProductConfig:
    """The configuration of the least estimated cost."""
    return min(
        candidate_configs(size, facts, matrix), key=lambda config: cost(size, config, facts, matrix)
    )
