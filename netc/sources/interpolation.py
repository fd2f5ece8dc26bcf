"""Resizing of bytes by area, cubic and Lanczos interpolation, as OpenCV's cv::resize has them.

OpenCV, modules/imgproc/src/resize.cpp. Weights of cubic and Lanczos have 11 bits, as those of
linear interpolation (netc.sources.pixels); OpenCV's vector code rounds sums that lie half-way
otherwise, so that an element may differ by 1. Beyond the border a picture goes on with its last
pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from netc.memory import check_memory
from netc.sources.pixels import Bytes, nearest, resize, resize_between

Floats = NDArray[np.float32]

_BITS = 11
_ONE = 1 << _BITS
_HELD = 12  # bytes of an element between: products and their sum
_CUBIC = np.float32(-0.75)
_NEAR = 1e-3  # parts of a pixel that area does not count


def area(picture: Bytes, height: int, width: int) -> Bytes:
    """Resize a picture of (channels, height, width) by INTER_AREA.

    A pixel of a smaller picture is the mean of what it covers. Where either side grows, pixels are
    repeated, with a step of linear interpolation between them.
    """
    rows, columns = picture.shape[1:]
    if height > rows or width > columns:
        return resize_between(picture, _grown(columns, width), _grown(rows, height))
    _check(picture, height, width)
    if (rows, columns) == (2 * height, 2 * width):
        fours = picture.reshape(-1, height, 2, width, 2).astype(np.uint16).sum((2, 4))
        return _bytes((fours + 2) >> 2)
    down, across = _covered(rows, height), _covered(columns, width)
    means = np.einsum("hr,crk->chk", down, picture @ across.T, dtype=np.float32, optimize=True)
    return _bytes(np.rint(means))


def cubic(picture: Bytes, height: int, width: int) -> Bytes:
    """Resize a picture of (channels, height, width) by INTER_CUBIC, of 4 x 4 pixels."""
    return _weighed(picture, height, width, _cubic_weights, 4)


def lanczos(picture: Bytes, height: int, width: int) -> Bytes:
    """Resize a picture of (channels, height, width) by INTER_LANCZOS4, of 8 x 8 pixels."""
    return _weighed(picture, height, width, _lanczos_weights, 8)


Method = Callable[[Bytes, int, int], Bytes]

METHODS: Mapping[str, Method] = MappingProxyType(
    {"LINEAR": resize, "AREA": area, "NEAREST": nearest, "CUBIC": cubic, "LANCZOS4": lanczos}
)
"""By the names of SSD's `interp_mode`."""


def _weighed(
    picture: Bytes, height: int, width: int, weights: Callable[[Floats], Floats], taps: int
) -> Bytes:
    """Sums along rows, then along columns, in fixed point."""
    if picture.shape[1:] == (height, width):
        return picture
    _check(picture, height, width)
    rows, columns = picture.shape[1:]
    at, by = _places(columns, width, weights, taps)
    wide = picture.astype(np.int32)
    across = sum(wide[:, :, at[:, tap]] * by[:, tap] for tap in range(taps))
    at, by = _places(rows, height, weights, taps)
    long = np.asarray(across, np.int64)
    total = sum(long[:, at[:, tap]] * by[:, tap, None] for tap in range(taps))
    return _bytes((np.asarray(total) + (1 << (2 * _BITS - 1))) >> (2 * _BITS))


def _places(
    old: int, new: int, weights: Callable[[Floats], Floats], taps: int
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """For each new place the old ones that count, (new, taps), and their weights in fixed point."""
    where = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    first = np.floor(where)
    by = np.rint(weights(where - first) * np.float32(_ONE)).astype(np.int32)
    at = first.astype(np.intp)[:, None] + np.arange(1 - taps // 2, 1 + taps // 2)
    return np.clip(at, 0, old - 1), by


def _cubic_weights(x: Floats) -> Floats:
    """Of the four pixels around a place that is ``x`` behind the second one (interpolateCubic)."""
    a, one = _CUBIC, np.float32(1)
    far = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    behind = ((a + 2) * (one - x) - (a + 3)) * (one - x) * (one - x) + 1
    found: Floats = np.stack([far, near, behind, one - far - near - behind], 1)
    return found


def _lanczos_weights(x: Floats) -> Floats:
    """Of the eight pixels around a place that is ``x`` behind the fourth one: sinc by sinc."""
    distance = x[:, None].astype(np.float64) + 3 - np.arange(8)
    weights = np.sinc(distance) * np.sinc(distance / 4)
    found: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return found


def _covered(old: int, new: int) -> Floats:
    """(new, old): which part of a new pixel each old one is (computeResizeAreaTab)."""
    scale = old / new
    found = np.zeros((new, old), np.float32)
    for place in range(new):
        begin = place * scale
        end = begin + scale
        cell = min(scale, old - begin)
        last = min(int(np.floor(end)), old - 1)
        first = min(int(np.ceil(begin)), last)
        if first - begin > _NEAR:
            found[place, first - 1] = (first - begin) / cell
        found[place, first:last] = 1 / cell
        if end - last > _NEAR:
            found[place, last] = min(end - last, 1.0, cell) / cell
    return found


def _grown(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each new place the old one before it, and how far it lies behind that."""
    first = np.floor(np.arange(new) * (old / new)).astype(np.intp)
    part = ((np.arange(new) + 1) - (first + 1) * (new / old)).astype(np.float32)
    return first, np.where(part <= 0, np.float32(0), part - np.floor(part))


def _check(picture: Bytes, height: int, width: int) -> None:
    channels, rows, columns = picture.shape
    needed = _HELD * (channels * max(rows, height) * max(columns, width) + rows * columns)
    what = f"the pixels of a picture of {rows}x{columns}, resized to {height}x{width},"
    check_memory(needed, what)


def _bytes(values: NDArray[np.generic]) -> Bytes:
    clipped: Bytes = np.clip(values, 0, 255).astype(np.uint8)
    return clipped
