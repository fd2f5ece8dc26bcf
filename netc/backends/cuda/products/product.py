"""Matrix products: what convolutions, inner products and deconvolutions have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.products.tiles import Size
from netc.backends.shared.derived import Weights, derivable
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View
from netc.ir.types import show
from netc.ops.array import AnyArray, contiguous

_BEYOND = 128  # entries of a table that the kernel reads after the last: of two tiles along K


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """The phases of a deconvolution.

    Args:
        table: a row for each, as the kernel reads it: first tap, taps, first weight, weights of a
            row, first output down and across, outputs down and across.
        weights: elements of all phases' weights.
    """

    table: NDArray[np.int32]
    weights: int

    @property
    def count(self) -> int:
        """The number of phases."""
        return len(self.table)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A product of what output pixels see and weights.

    Args:
        name: the layer's.
        x: the input's pixels.
        targets: the outputs, all with the same pixels; several only without groups.
        weights: gives (all outputs, K); K counts taps, and the channels of a group in each. With
            phases, all of theirs in one row.
        taps: (taps, 2), what each tap is below and right of stride * output place.
        stride: vertical and horizontal, of the input; of the output in a deconvolution.
        groups: of channels.
        phases: of a deconvolution.
        window: of a convolution whose taps are a rectangle.
    """

    name: str
    x: View
    targets: tuple[FusedOutput, ...]
    weights: Callable[[], Weights]
    taps: NDArray[np.int32]
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    phases: Phases | None = None
    window: Geometry | None = None

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
        """True if each output pixel sees the input pixel of its own number, and no other."""
        one = self.taps.shape[0] == 1 and not self.taps.any() and self.stride == (1, 1)
        return one and self.phases is None and self.x.pixels == self.out.pixels

    def size(self, item: int) -> Size:
        """Its size, as far as that decides how it is best computed."""
        if self.phases is not None:
            table = self.phases.table
            # The largest phase decides: grid.y runs over phases, and blocks beyond one's end stop.
            pixels = self.x.n * int((table[:, 6] * table[:, 7]).max())
            parts = self.groups * self.phases.count
            length = int(table[:, 1].max()) * self.channels
        else:
            pixels, parts = self.out.pixels, self.groups
            length = len(self.taps) * self.channels
        outputs = tuple(t.view.c // self.groups for t in self.targets)
        return Size(pixels, outputs, length, parts, item, item * vector(self, item))


def product_key(product: Product, item: int) -> str:
    """All that decides how fast each configuration is, as text."""
    size, x = product.size(item), product.x
    numbers = (
        ("pixels", size.pixels),
        ("outputs", "+".join(map(str, size.outputs))),
        ("channels", product.channels),
        ("taps", len(product.taps)),
        ("stride", show(product.stride)),
        ("parts", size.parts),
        ("input", f"{x.h}x{x.w}x{x.ld}"),
        ("side", vector(product, item)),
    )
    return ",".join(f"{name}={value}" for name, value in numbers)


@derivable
def padded(matrix: AnyArray, item: int) -> AnyArray:
    """A matrix with columns of zeros, so that each row begins at a multiple of 16 bytes."""
    missing = -matrix.shape[1] % (16 // item)
    return np.pad(matrix, ((0, 0), (0, missing))) if missing else matrix


def vector(product: Product, item: int) -> int:
    """Channels that can be copied at once: those of 16, 8 or 4 bytes, or 1."""
    x = product.x
    # A copy of so many channels must begin at a multiple of its size, in every pixel and group.
    whole = math.gcd(product.channels, x.ld, x.place.offset)
    return next((n for n in (16 // item, 8 // item, 4 // item) if whole % n == 0), 1)


def pixel_taps(
    kernel: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> NDArray[np.int32]:
    """(taps, 2): each tap's distance from stride * output place, row by row."""
    grid = np.indices(kernel).reshape(2, -1).T
    return np.ascontiguousarray(grid * np.array(dilation) - np.array(pad), np.int32)


def tap_table(product: Product, by_element: bool) -> NDArray[np.int32]:
    """What the kernel reads of each tap, or of each factor: down, right, elements further, 0."""
    #   table[tap] = [down, right, down * row + right * pixel, 0]   int32 each, for one 16-byte load
    row, pixel = product.x.w * product.x.ld, product.x.ld
    table = np.zeros((len(product.taps), 4), np.int64)
    table[:, :2] = product.taps
    table[:, 2] = product.taps @ np.array([row, pixel])
    if by_element:
        table = np.repeat(table, product.channels, axis=0)
        table[:, 2] += np.tile(np.arange(product.channels), len(product.taps))
    return np.pad(table, ((0, _BEYOND), (0, 0))).astype(np.int32).reshape(-1)


@derivable
def taps_first(weights: AnyArray) -> AnyArray:
    """Caffe's (outputs, channels, kernel ...) -> (outputs, K), channels innermost."""
    return contiguous(np.moveaxis(weights, 1, -1)).reshape(len(weights), -1)
