"""Where values live: in the arena or in the caller's arrays, pixels of channels innermost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


class Arena(NamedTuple):
    """A place in the context's arena, ``offset`` floats from its start."""

    offset: int


class External(NamedTuple):
    """A place in caller's array number ``array``, ``offset`` floats from its start."""

    array: int
    offset: int = 0


class Workspace(NamedTuple):
    """A place in memory that the context's threads share during one step, ``offset`` floats in."""

    offset: int = 0


Place = Arena | External | Workspace


@dataclass(frozen=True, slots=True)
class View:
    """A value of n images of h x w pixels of c channels, float32.

    Pixel (i, y, x) starts ``((i * h + y) * w + x) * ld`` floats after ``place``. ``ld`` is at
    least c; it is more where the value is a slice of a concatenation's channels.
    """

    place: Place
    n: int
    h: int
    w: int
    c: int
    ld: int

    @property
    def pixels(self) -> int:
        """Pixels of all images."""
        return self.n * self.h * self.w

    @property
    def size(self) -> int:
        """Floats from the first element to after the last one."""
        return (self.pixels - 1) * self.ld + self.c

    def channels(self, start: int, stop: int) -> View:
        """The view of channels start to stop."""
        return replace(self, place=moved(self.place, start), c=stop - start)


def moved(place: Place, floats: int) -> Place:
    """The place ``floats`` further on."""
    return place._replace(offset=place.offset + floats)


def dense(place: Place, n: int, h: int, w: int, c: int) -> View:
    """A view whose pixels follow each other without gaps."""
    return View(place, n, h, w, c, c)
