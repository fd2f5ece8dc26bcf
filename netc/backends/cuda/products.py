"""Matrix products: convolutions, inner products and deconvolutions as launches of one kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netc.backends.cuda.chains import Target
from netc.backends.cuda.emission import Emission, Ending, ending
from netc.backends.cuda.pixels import View
from netc.backends.cuda.program import Launch, Steps, Tickets, Workspace
from netc.backends.cuda.tiles import CHUNK, Size, Way, block_count, guess, n_tiles
from netc.ir.graph import Array

GEMV_ROWS = 8  # pixels up to which each weight is better read by one warp alone


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """The phases of a deconvolution, rows of the kernel's table, and its steps between outputs."""

    table: NDArray[np.int32]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.table)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A product of what output pixels see and weights.

    Args:
        name: the layer's.
        x: the input's pixels.
        targets: the outputs, all with the same pixels; several only without groups.
        weights: (all outputs, K) as stored; K counts taps, and the channels of a group in each.
        taps: (taps, 2), what each tap is below and right of stride * output place.
        stride: vertical and horizontal, of the input; of the output in a deconvolution.
        groups: of channels.
        phases: of a deconvolution.
    """

    name: str
    x: View
    targets: tuple[Target, ...]
    weights: Array
    taps: NDArray[np.int32]
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    phases: Phases | None = None

    @property
    def channels(self) -> int:
        """Input channels of a group."""
        return self.x.c // self.groups

    @property
    def out(self) -> View:
        """An output, for its pixels."""
        return self.targets[0].view

    @property
    def pointwise(self) -> bool:
        """Whether each output pixel sees the input pixel of its own number, and no other."""
        one = self.taps.shape[0] == 1 and not self.taps.any() and self.stride == (1, 1)
        return one and self.phases is None and self.x.pixels == self.out.pixels

    def size(self, item: int) -> Size:
        """Its size, as far as that decides how it is best computed."""
        if self.phases is not None:
            table = self.phases.table
            pixels = self.x.n * int((table[:, 6] * table[:, 7]).max())
            parts = self.groups * self.phases.count
            length = int(table[:, 1].max()) * self.channels
        else:
            pixels, parts = self.out.pixels, self.groups
            length = len(self.taps) * self.channels
        outputs = tuple(t.view.c // self.groups for t in self.targets)
        return Size(pixels, outputs, length, parts, item)


def padded(matrix: Array, item: int) -> Array:
    """A matrix with columns of zeros, so that each row begins at a multiple of 16 bytes."""
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % (16 // item))))


def vector(product: Product, item: int) -> int:
    """Channels that can be copied at once: those of 16 bytes, or 1."""
    side = 16 // item
    x = product.x
    numbers = (product.channels, x.ld, x.place.offset)
    return side if all(n % side == 0 for n in numbers) else 1


def product_steps(emission: Emission, product: Product) -> Steps:
    """The launch of a product; nothing where it has no outputs."""
    if product.out.pixels * sum(t.view.c for t in product.targets) == 0:
        return []
    end = ending(emission, product.targets)
    if fits_gemv(emission, product):
        return [gemv_launch(emission, product, end)]
    size = product.size(emission.precision.item)
    return [conv_launch(emission, product, end, chosen(emission, product, size))]


def chosen(emission: Emission, product: Product, size: Size) -> Way:
    """What the tuner found best for a product of this size, or else a guess."""
    matrix = emission.precision.matrix > 0
    return guess(size, emission.facts, matrix)


def fits_gemv(emission: Emission, product: Product) -> bool:
    """Whether there are so few pixels that reading the weights is all there is to do."""
    few = product.out.pixels <= GEMV_ROWS and len(product.targets) == product.groups == 1
    aligned = vector(product, emission.precision.item) > 1
    return few and aligned and product.pointwise


def gemv_launch(emission: Emission, product: Product, end: Ending) -> Launch:
    """A product of few pixels, each weight read once."""
    x, rows = product.x, product.out.pixels
    kernel = emission.kernel("gemv", {"BATCH": rows}, end.code)
    weights = emission.stored(padded(product.weights, emission.precision.item))
    arguments = (x.place, weights, x.ld, weights.shape[1], x.c, product.out.c, *end.arguments)
    grid = (math.ceil(product.out.c / 4), 1, 1)
    reads = (x, *end.reads)
    return Launch(product.name, kernel, grid, 128, arguments, reads, end.writes)


def conv_launch(emission: Emission, product: Product, end: Ending, way: Way) -> Launch:
    """A product as an implicit matrix product in tiles."""
    item = emission.precision.item
    tile, size, x, y = way.tile, product.size(item), product.x, product.out
    phases = product.phases
    kernel = emission.kernel(
        "conv",
        {
            "BM": tile.m,
            "BN": tile.n,
            "BK": CHUNK // item,
            "WM": tile.wm,
            "WN": tile.wn,
            "STAGES": tile.stages,
            "VEC": vector(product, item),
            "MMA": emission.precision.matrix,
            "POINTWISE": product.pointwise,
            "SPLIT": way.splits > 1,
            "PHASED": phases is not None,
            "PHASE_COUNT": phases.count if phases else 1,
        },
        end.code,
    )
    weights = product.weights if phases else padded(product.weights, item)
    stored = emission.stored(weights)
    blocks = math.ceil(size.pixels / tile.m) * n_tiles(size, tile)
    tickets = block_count(size, tile) if way.splits > 1 else 0
    arguments = (
        *(x.place, stored, np.ascontiguousarray(product.taps.reshape(-1), np.int32)),
        *(phases.table.reshape(-1) if phases else Workspace(), Workspace(), Tickets()),
        *(x.h, x.w, x.ld, product.channels, len(product.taps), stored.shape[-1]),
        *(*product.stride, y.h, y.w, y.pixels, y.c // product.groups),
        *end.arguments,
    )
    return Launch(
        product.name,
        kernel,
        (blocks, size.parts, way.splits),
        tile.threads,
        arguments,
        (x, *end.reads),
        end.writes,
        4 * tickets * way.splits * tile.m * tile.n,
        tickets,
    )


def pixel_taps(
    kernel: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> NDArray[np.int32]:
    """(taps, 2): each tap's distance from stride * output place, row by row."""
    grid = np.indices(kernel).reshape(2, -1).T
    return np.ascontiguousarray(grid * np.array(dilation) - np.array(pad), np.int32)


def taps_first(weights: Array) -> Array:
    """Caffe's (outputs, channels, kernel ...) -> (outputs, K), channels innermost."""
    return np.ascontiguousarray(np.moveaxis(weights, 1, -1)).reshape(len(weights), -1)
