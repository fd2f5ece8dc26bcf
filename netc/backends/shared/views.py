"""Where values live: in the arena or in the caller's arrays, pixels of channels innermost.

Offsets and distances count elements of the type that a program stores: float32 on a CPU, float32
or float16 on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar


class Arena(NamedTuple):
    """A place in the context's arena, ``offset`` elements from its start."""

    offset: int


class External(NamedTuple):
    """A place in caller's array number ``array``, ``offset`` elements from its start."""

    array: int
    offset: int = 0


class Workspace(NamedTuple):
    """A place in memory that is a step's own while it runs, ``offset`` elements from its start."""

    offset: int = 0


class Buffer(NamedTuple):
    """A place in a buffer that storage has yet to place, ``offset`` elements from its start."""

    name: str
    offset: int = 0


Place = Arena | External | Workspace | Buffer
AnyPlace = TypeVar("AnyPlace", Arena, External, Workspace, Buffer, Place)


@dataclass(frozen=True, slots=True)
class View:
    """A value of n images of h x w pixels of c channels.

    Pixel (i, y, x) starts ``((i * h + y) * w + x) * ld`` elements after ``place``. ``ld`` is at
    least c; it is more where the value is a slice of a concatenation's channels, or where each
    pixel has ``zeros`` channels that are zero after its own.

        place          place + ld       place + 2 ld
        | c channels |..| c channels |..| c channels |     .. other values' channels, or zeros
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
        return replace(self, place=moved(self.place, start), c=stop - start, zeros=0)

    @property
    def full(self) -> View:
        """The view with the zeros as channels of its own."""
        return replace(self, c=self.c + self.zeros, zeros=0)

    def padded(self, zeros: int) -> View:
        """A dense view with channels of zeros after its own."""
        return replace(self, ld=self.c + zeros, zeros=zeros)


def moved(place: AnyPlace, elements: int) -> AnyPlace:
    """The place so many elements further on."""
    return place._replace(offset=place.offset + elements)


def dense(place: Place, n: int, h: int, w: int, c: int) -> View:
    """A view whose pixels follow each other without gaps."""
    return View(place, n, h, w, c, c)
