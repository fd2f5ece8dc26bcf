"""Shapes of blobs: tuples of sizes, in elements. Every blob is float32, as in Caffe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

Shape = tuple[int, ...]

MAX_AXES = 32  # kMaxBlobAxes, blob.hpp
MAX_COUNT = 2**31 - 1  # elements of one blob, blob.cpp
_MAX_PRODUCT = 2**59  # of sizes other than 0; times 8 bytes and a little more fits 63 bits


def count(shape: Shape, start: int = 0, end: int | None = None) -> int:
    """The number of elements of axes ``start`` to ``end``, ``end`` not included; 1 for no axes."""
    return math.prod(shape[start:end])


@lru_cache(maxsize=1 << 12)
@lru_cache(maxsize=4096)
def shape_fault(shape: Shape) -> str | None:
    """Why no blob can have this shape, None where one can (the limits of blob.cpp).

    NumPy also wants the product of the sizes other than 0 to be a possible number of bytes.
    """
    if len(shape) > MAX_AXES:
        return f"{len(shape)} axes, more than {MAX_AXES}"
    if any(size < 0 for size in shape):
        return "a negative size"
    if count(shape) > MAX_COUNT:
        return f"{count(shape):,} elements, more than {MAX_COUNT:,}"
    if max(shape, default=0) > MAX_COUNT:  # beside a size of 0
        return f"a size of {max(shape):,}, more than {MAX_COUNT:,}"
    if math.prod(size for size in shape if size) > _MAX_PRODUCT:
        return "sizes beside the 0 that no array can have"
    return None


def show(sizes: Iterable[object] | None, scalar: str = "a scalar", unknown: str = "unknown") -> str:
    """A shape as people write it, ``1x3x224x224``; also of any other things, one for each axis.

    Args:
        sizes: along each axis; None is shown as a question mark.
        scalar: shown for no axes.
        unknown: shown for None.
    """
    if sizes is None:
        return unknown
    listed = ["?" if size is None else str(size) for size in sizes]
    if len(listed) > MAX_AXES:
        return f"{'x'.join(listed[:4])}x... ({len(listed)} axes)"
    return "x".join(listed) or scalar


def canonical_axis(axis: int, axes: int) -> int:
    """A non-negative axis for one that may count from the end.

    Raises:
        IndexError: ``axis`` is not in [-axes, axes).
    """
    if not -axes <= axis < axes:
        raise IndexError(f"axis {axis} is out of range for {axes} axes")
    return axis % axes


class Dims(NamedTuple):
    """A shape as Caffe's legacy accessors read it: missing trailing axes are 1."""

    num: int
    channels: int
    height: int
    width: int


def dims(shape: Shape) -> Dims:
    """num, channels, height and width of a shape of at most four axes; missing ones are 1."""
    return Dims(*(shape + (1,) * (4 - len(shape)))[:4])
