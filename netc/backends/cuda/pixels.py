"""How values lie in the device's arena: pixels with their channels innermost.

A value of four axes, num x channels x height x width, is stored as num x height x width x channels,
one of two axes as num x 1 x 1 x channels: threads side by side then read channels side by side, and
a product reads 16 bytes of a pixel at once. All others are stored as they are, as one long pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from netc.ir.types import Shape, count


class Arena(NamedTuple):
    """A place in the arena, ``offset`` elements from its start."""

    offset: int

    def further(self, elements: int) -> Arena:
        """The place ``elements`` further on."""
        return Arena(self.offset + elements)


class Workspace(NamedTuple):
    """A place in the memory that a layer has while it runs, ``offset`` elements from its start."""

    offset: int = 0

    def further(self, elements: int) -> Workspace:
        """The place ``elements`` further on."""
        return Workspace(self.offset + elements)


Place = Arena | Workspace


@dataclass(frozen=True, slots=True)
class View:
    """A value of n images of h x w pixels of c channels.

    Pixel (i, y, x) starts ``((i * h + y) * w + x) * ld`` elements after ``place``. ``ld`` is at
    least c; it is more where the value is a slice of a concatenation's channels, or where each
    pixel has ``zeros`` channels that are zero after its own.
    """

    place: Place
    n: int
    h: int
    w: int
    c: int
    ld: int
    zeros: int = 0

    @property
    def pixels(self) -> int:
        """Pixels of all images."""
        return self.n * self.h * self.w

    @property
    def count(self) -> int:
        """Elements."""
        return self.pixels * self.c

    @property
    def span(self) -> int:
        """Elements from the first to after the last one, those of others between them too."""
        return (self.pixels - 1) * self.ld + self.c + self.zeros if self.count else 0

    def channels(self, start: int, stop: int) -> View:
        """The view of channels start to stop."""
        return replace(self, place=self.place.further(start), c=stop - start, zeros=0)

    @property
    def whole(self) -> View:
        """The view with the zeros as channels of its own."""
        return replace(self, c=self.c + self.zeros, zeros=0)

    def followed(self, zeros: int) -> View:
        """A dense view with channels of zeros after its own."""
        return replace(self, ld=self.c + zeros, zeros=zeros)


def dense(place: Place, n: int, h: int, w: int, c: int) -> View:
    """A view whose pixels follow each other without gaps."""
    return View(place, n, h, w, c, c)


def has_channels(shape: Shape) -> bool:
    """Whether the channels are the stored pixels' own."""
    return len(shape) in (2, 4)


def view_of(shape: Shape, place: Arena) -> View:
    """A value by itself at a place."""
    if len(shape) == 4:
        return dense(place, shape[0], shape[2], shape[3], shape[1])
    if len(shape) == 2:
        return dense(place, shape[0], 1, 1, shape[1])
    return dense(place, 1, 1, 1, count(shape))


def c_strides(shape: Sequence[int]) -> list[int]:
    """Elements from one index to the next along each axis, in C order."""
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def stored_strides(shape: Shape, view: View) -> list[int]:
    """Elements from one index to the next along each axis, as the arena has the value."""
    if len(shape) == 4:
        return [view.h * view.w * view.ld, 1, view.w * view.ld, view.ld]
    if len(shape) == 2:
        return [view.ld, 1]
    return c_strides(shape)
