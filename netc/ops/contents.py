"""What an input may hold where not every number will do: class labels, indices, regions.

An op's ``contents`` rule says it of its inputs; ``netc bench`` draws such values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from netc.ir.graph import Array
from netc.ir.types import Shape, count


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers from 0 to ``below`` - 1: labels, indices, flags."""

    below: int

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of such numbers."""
        return rng.integers(0, max(1, self.below), shape).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Regions:
    """Rows of image, x_min, y_min, x_max and y_max, in pixels of images of this size."""

    images: int
    height: float
    width: float

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of such rows."""
        rows = count(shape) // 5
        image = rng.integers(0, max(1, self.images), (rows, 1))
        corners = np.sort(rng.random((rows, 2, 2)), axis=1) * (self.width, self.height)
        return np.concatenate([image, corners.reshape(rows, 4)], axis=1, dtype=np.float32).reshape(
            shape
        )


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """Rows of an image's height and width and of the factor it was resized by, here 1."""

    height: float
    width: float

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of such rows."""
        row = (self.height, self.width, *(1.0,) * (shape[-1] - 2))
        return np.broadcast_to(np.array(row, np.float32), shape).copy()


_CORNERS = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, slots=True)
class TrueBoxes:
    """Rows of true boxes, or maps with a channel for each number.

    Args:
        columns: of a row: ``label``, from ``first`` to ``below`` - 1; ``x0 y0 x1 y1``, the corners,
            or ``x y w h``; any other is 0.
        below, first: of labels.
        height, width: of the image, in the unit of the boxes.
        channels: the numbers stand along the second axis, else along the last that has them.
    """

    columns: tuple[str, ...]
    below: int
    first: int = 1
    height: float = 1.0
    width: float = 1.0
    channels: bool = False

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of such rows."""
        number = len(self.columns)
        rows = count(shape) // number
        corners = np.sort(rng.random((rows, 2, 2)), axis=1)
        corners[:, 1] = np.minimum(corners[:, 1] + 0.1, 1)
        corners *= (self.width, self.height)
        known = {
            "label": rng.integers(self.first, max(self.first + 1, self.below), rows),
            **{
                name: corners[:, at // 2, at % 2]
                for at, name in enumerate(("x0", "y0", "x1", "y1"))
            },
            **{name: corners[:, :, at].mean(axis=1) for at, name in enumerate("xy")},
            **{name: np.ptp(corners[:, :, at], axis=1) for at, name in enumerate("wh")},
        }
        made = np.stack([known.get(name, np.zeros(rows)) for name in self.columns], axis=1)
        if self.channels:
            spread = made.reshape(shape[0], -1, number).transpose(0, 2, 1)
            return spread.reshape(shape).astype(np.float32)
        return made.reshape(shape).astype(np.float32)


def corner_rows(before: int, after: int, label_first: bool = False) -> tuple[str, ...]:
    """Columns of rows with zeros before and after a box and its label."""
    both = ("label", "", *_CORNERS) if label_first else (*_CORNERS, "label")
    return (*("",) * before, *both, *("",) * after)


Contents = Whole | Regions | ImageSizes | TrueBoxes
P = TypeVar("P")  # an op's own parameters
ContentsRule = Callable[[P, Sequence[Shape]], Sequence[Contents | None]]


class HasAxis(Protocol):
    """Parameters of a layer that works along an axis."""

    @property
    def axis(self) -> int:
        """It has the classes."""


def flag_last(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose last bottom holds 0 or 1."""
    return (*(None for _ in inputs[:-1]), Whole(2))


def flag_second(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom holds 0 or 1."""
    return None, Whole(2)


def item_second(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom names items of the first."""
    return None, Whole(inputs[0][0])


def label_along(params: HasAxis, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom has classes along ``params.axis``."""
    return None, Whole(inputs[0][params.axis])


def label_of_example(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom has a class of each example."""
    return None, Whole(count(inputs[0], 1))
