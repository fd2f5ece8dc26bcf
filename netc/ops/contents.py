"""What an input may hold where not every number will do: class labels, indices, regions.

An op's ``contents`` rule says it of its inputs; ``netc bench`` draws such values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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


Contents = Whole | Regions | ImageSizes
ContentsRule = Callable[[Any, Sequence[Shape]], Sequence[Contents | None]]


def flag_last(params: Any, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose last bottom holds 0 or 1."""
    return (*(None for _ in inputs[:-1]), Whole(2))


def flag_second(params: Any, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom holds 0 or 1."""
    return None, Whole(2)


def item_second(params: Any, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom names items of the first."""
    return None, Whole(inputs[0][0])


def label_along(params: Any, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom has classes along ``params.axis``."""
    return None, Whole(inputs[0][params.axis])


def label_of_example(params: Any, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom has a class of each example."""
    return None, Whole(count(inputs[0], 1))
