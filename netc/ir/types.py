"""Shapes of blobs. Every blob is float32, as in Caffe."""

from __future__ import annotations

import math
from typing import NamedTuple

Shape = tuple[int, ...]

MAX_AXES = 32  # kMaxBlobAxes, blob.hpp
MAX_COUNT = 2**31 - 1  # elements of one blob, blob.cpp


def count(shape: Shape, start: int = 0, end: int | None = None) -> int:
    """Number of elements of axes ``start`` to ``end``; 1 for no axes."""
    return math.prod(shape[start:end])


def canonical_axis(axis: int, axes: int) -> int:
    """A non-negative axis for one that may count from the end.

    Raises:
        IndexError: ``axis`` is not in [-axes, axes).
    """
    if not -axes <= axis < axes:
        raise IndexError(f"axis {axis} is out of range for {axes} axes")
    return axis % axes


class Dims(NamedTuple):
    """A shape read Caffe's old way, missing trailing axes being 1."""

    num: int
    channels: int
    height: int
    width: int


def dims(shape: Shape) -> Dims:
    """num, channels, height, width of a shape of at most four axes."""
    return Dims(*(shape + (1,) * (4 - len(shape)))[:4])
