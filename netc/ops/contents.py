"""What a bottom may hold where not every number will do: class labels, indices, regions, boxes.

An op's ``contents`` rule (parameters, input shapes) -> one entry for each bottom, None for any
numbers. ``netc bench`` and ``netc.analysis.feeds`` draw such values for the inputs of a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from netc.ir.graph import Array
from netc.ir.types import Shape, count
from netc.numeric import np


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers from ``first`` to ``below`` - 1: labels, indices, flags or counts."""

    below: int
    first: int = 0

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of ``shape`` of such numbers."""
        return rng.integers(self.first, max(self.first + 1, self.below), shape).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Regions:
    """Rows of image, x_min, y_min, x_max, y_max: regions in pixels of ``images`` images.

    ``height`` and ``width`` are those of each image.
    """

    images: int
    height: float
    width: float

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of ``shape``, which has a multiple of 5 elements, of such rows."""
        rows = count(shape) // 5
        image = rng.integers(0, max(1, self.images), (rows, 1))
        corners = np.sort(rng.random((rows, 2, 2)), axis=1) * (self.width, self.height)
        return np.concatenate([image, corners.reshape(rows, 4)], axis=1, dtype=np.float32).reshape(
            shape
        )


@dataclass(frozen=True, slots=True)
class Windows:
    """Rows of image, first and last frame of videos that are ``length`` frames long.

    With ``below`` rows are first and last frame and a label from 1 to ``below`` - 1 instead.
    """

    images: int
    length: float
    below: int | None = None

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of ``shape``, which has a multiple of 3 elements, of such rows."""
        rows = count(shape) // 3
        label = rng.integers(1, max(2, self.below or 0), (rows, 1))
        image = rng.integers(0, max(1, self.images), (rows, 1))
        frames = np.floor(np.sort(rng.random((rows, 2)), axis=1) * self.length)
        parts = [image, frames] if self.below is None else [frames, label]
        return np.concatenate(parts, axis=1, dtype=np.float32).reshape(shape)


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """Rows of an image's height and width in pixels, and factors it was resized by, here 1."""

    height: float
    width: float

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of ``shape`` of such rows, along the last axis of more than 1 element."""
        each = next((size for size in reversed(shape) if size > 1), 1)
        row = (self.height, self.width, *(1.0,) * (each - 2))[:each]
        rows = np.broadcast_to(np.array(row, np.float32), (count(shape) // each, each))
        return rows.reshape(shape).copy()


_CORNERS = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, slots=True)
class TrueBoxes:
    """Rows of true boxes, or maps with a channel for each number of a row.

    Args:
        columns: what each number of a row is: "label"; "x0", "y0", "x1", "y1", the corners; "x",
            "y", "w", "h", centre and size; any other name is 0.
        below, first: labels are from ``first`` to ``below`` - 1.
        height, width: of the image, in the unit of the boxes.
        channels: the numbers of a row lie along axis 1, else next to each other.
    """

    columns: tuple[str, ...]
    below: int
    first: int = 1
    height: float = 1.0
    width: float = 1.0
    channels: bool = False

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of ``shape`` of such rows."""
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


@dataclass(frozen=True, slots=True)
class NumberedBoxes:
    """True boxes as DIGITS writes them: of each picture rows of ``numbers``, one box in each.

    The first row begins with how many boxes follow and with ``numbers``; a box's with x, y, width
    and height in pixels of a picture (``height``, ``width``), and its sixth is its class ``kind``.
    """

    numbers: int
    height: int
    width: int
    kind: int

    def draw(self, shape: Shape, rng: np.random.Generator) -> Array:
        """A float32 array of ``shape``; without boxes where there is no room for one."""
        made = np.zeros((shape[0], count(shape, 1)), np.float32)
        room, first = made.shape[1] >= 2 * self.numbers, self.numbers
        made[:, :2] = room, self.numbers
        if room:
            half = np.array([self.width, self.height]) / 2
            made[:, first : first + 2] = rng.random((len(made), 2)) * half
            made[:, first + 2 : first + 4] = half
            made[:, first + 5] = self.kind
        return made.reshape(shape)


def corner_rows(before: int, after: int, label_first: bool = False) -> tuple[str, ...]:
    """``TrueBoxes.columns`` of rows of a label and corners, with zeros before and behind them.

    Args:
        before, after: how many zeros.
        label_first: label, a zero and the box (SSD's rows), else the box and the label.
    """
    both = ("label", "", *_CORNERS) if label_first else (*_CORNERS, "label")
    return (*("",) * before, *both, *("",) * after)


Contents = Whole | Regions | Windows | ImageSizes | TrueBoxes | NumberedBoxes
P = TypeVar("P")  # an op's own parameters
ContentsRule = Callable[[P, Sequence[Shape]], Sequence[Contents | None]]


class HasAxis(Protocol):
    """Parameters of a layer that has its classes along an axis."""

    @property
    def axis(self) -> int:
        """The axis of the classes; negative counts from the end."""


def flag_last(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose last bottom holds 0 or 1."""
    return (*(None for _ in inputs[:-1]), Whole(2))


def flag_second(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom holds 0 or 1."""
    return None, Whole(2)


def item_second(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule of a layer whose second bottom holds indices into axis 0 of the first."""
    return None, Whole(inputs[0][0])


def label_along(params: HasAxis, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: the second bottom holds labels of the classes along ``params.axis``."""
    return None, Whole(inputs[0][params.axis])


def label_of_example(params: object, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: the second bottom has one label for each item of the first, all of whose other
    elements are classes.
    """
    return None, Whole(count(inputs[0], 1))
