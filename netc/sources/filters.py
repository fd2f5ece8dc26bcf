"""Neighbourhood filters of pictures of bytes, (channels, height, width), as OpenCV has them.

modules/imgproc/src/smooth.dispatch.cpp, median_blur, morph. Numbers are rounded once, at the end,
and the weights of a Gaussian before; boxes of an even size may differ by 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from netc.memory import check_memory
from netc.sources.pixels import Bytes

_HELD = 24  # bytes of an element while it is summed


def gaussian(picture: Bytes, size: int, sigma: float = 0.0) -> Bytes:
    """A Gaussian of an odd number of pixels; ``sigma`` 0 follows from it (getGaussianKernel)."""
    return _separable(picture, _gaussian_weights(size, sigma))


_SMALL = {1: (1,), 3: (1, 2, 1), 5: (1, 4, 6, 4, 1), 7: (2, 7, 14, 18, 14, 7, 2)}


def _gaussian_weights(size: int, sigma: float) -> NDArray[np.float64]:
    """In parts of 256, of which the middle takes what rounding has left of their sum."""
    if not sigma and size in _SMALL:
        return np.array(_SMALL[size]) / sum(_SMALL[size])
    sigma = sigma or 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
    exact, rest, half = 256 * weights / weights.sum(), 0.0, []
    for weight in exact[: size // 2]:
        half.append(round(weight + rest))
        rest += weight - half[-1]
    return np.array([*half, 256 - 2 * sum(half), *half[::-1]]) / 256


def box(picture: Bytes, size: int) -> Bytes:
    """The mean of a square; one of an even size reaches one pixel farther up and left."""
    return _separable(picture, np.full(size, 1 / size))


def median(picture: Bytes, size: int) -> Bytes:
    """The median of a square of an odd size; beyond its edges the picture goes on as it ends."""
    check_memory(_HELD * size * size * picture[0].size, "the medians of a picture")
    return _of_windows(picture, size, lambda seen: np.median(seen, axis=(2, 3)))


def eroded(picture: Bytes) -> Bytes:
    """The least of each pixel and its four neighbours."""
    around = np.pad(picture, ((0, 0), (1, 1), (1, 1)), constant_values=255)
    beside = (around[:, 1:-1, :-2], around[:, 1:-1, 2:], around[:, :-2, 1:-1], around[:, 2:, 1:-1])
    least: Bytes = np.minimum.reduce([picture, *beside])
    return least


def _separable(picture: Bytes, weights: NDArray[np.float64]) -> Bytes:
    """Weighted sums along both axes; the picture is reflected at its edges, which come once."""
    size = len(weights)
    check_memory(_HELD * size * picture.size, "the neighbours of a picture's pixels")
    before, after = size // 2, (size - 1) // 2
    values = picture.astype(np.float64)
    for axis in (1, 2):
        margins = [(0, 0)] * 3
        margins[axis] = (before, after)
        padded = np.pad(values, margins, mode="reflect")
        values = sliding_window_view(padded, size, axis) @ weights
    return _bytes(values)


def _of_windows(
    picture: Bytes,
    size: int,
    reduce: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
) -> Bytes:
    reach = size // 2
    made = []
    for channel in picture:
        padded = np.pad(channel, reach, mode="edge")
        made.append(reduce(sliding_window_view(padded, (size, size))))
    return _bytes(np.stack(made))


def _bytes(values: NDArray[np.float64]) -> Bytes:
    found: Bytes = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found
