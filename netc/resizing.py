"""Resizing by linear interpolation between pixel centres, as OpenCV's ``resize`` (resize.cpp).

uint8 images are resized in OpenCV's fixed-point arithmetic, so that pixels are equal to OpenCV's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.ir.graph import Array
from netc.ops.array import AnyArray

Image = AnyArray
_ONE = np.float32(2048)  # a weight of 1 in fixed point, 11 bits


def resized(image: Image, size: tuple[int, int], steps: tuple[float, float] | None = None) -> Image:
    """Resize an image of (height, width, channels) by linear interpolation.

    Args:
        image: (height, width, channels), uint8 or float32.
        size: the new height and width in pixels, at least 1.
        steps: source pixels per new pixel along height and width; old size / new size by default.

    Returns:
        (*size, channels) in the dtype of ``image``; the image itself where it has that size.
    """
    if size == image.shape[:2]:
        return image
    steps = steps or (image.shape[0] / size[0], image.shape[1] / size[1])
    down, right = (
        _taps(new, old, step) for new, old, step in zip(size, image.shape, steps, strict=False)
    )
    # OpenCV lets columns beyond the border weigh the pixel at the border alone, and rows not.
    right = right._replace(part=np.where(right.first == right.second, 0, right.part))
    if image.dtype != np.uint8:
        return _mixed_floats(image, down, right)
    return _mixed_bytes(image, down, right)


class _Taps(NamedTuple):
    """For each new pixel the two old ones it lies between, and its place between them."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    part: NDArray[np.float32]


def _taps(new: int, old: int, step: float) -> _Taps:
    at = ((np.arange(new) + 0.5) * step - 0.5).astype(np.float32)
    low = np.floor(at)
    index = low.astype(np.intp)
    first, second = np.clip(index, 0, old - 1), np.clip(index + 1, 0, old - 1)
    return _Taps(first, second, at - low)


def _mixed_floats(image: Image, down: _Taps, right: _Taps) -> Image:
    across = _between(image, 1, right, right.part[:, np.newaxis])
    return _between(across, 0, down, down.part[:, np.newaxis, np.newaxis])


def _between(image: Image, axis: int, taps: _Taps, part: NDArray[np.float32]) -> Image:
    first, second = image.take(taps.first, axis), image.take(taps.second, axis)
    return np.asarray(first * (1 - part) + second * part, dtype=np.float32)


def _mixed_bytes(image: Image, down: _Taps, right: _Taps) -> Image:
    wide = image.astype(np.int32)
    low, high = _weights(right)
    across = wide[:, right.first] * low[:, None] + wide[:, right.second] * high[:, None]
    across >>= 4
    low, high = (w[:, None, None] for w in _weights(down))
    one, other = (across[down.first] * low) >> 16, (across[down.second] * high) >> 16
    return ((one + other + 2) >> 2).astype(np.uint8)


def _weights(taps: _Taps) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The weights of the two pixels in fixed point."""
    low, high = np.rint((1 - taps.part) * _ONE), np.rint(taps.part * _ONE)
    return low.astype(np.int32), high.astype(np.int32)


def resize_image(image: Array, size: tuple[int, int]) -> Array:
    """Resize an image of (channels, height, width) by linear interpolation between pixel centres.

    OpenCV's ``resize``, which Caffe's data layers call, does so by default.

    Args:
        image: float32 (channels, height, width).
        size: the new height and width in pixels.

    Returns:
        float32 (channels, *size); the image itself where it has that size.
    """
    for axis, new in zip((1, 2), size, strict=True):
        if image.shape[axis] != new:
            image = _interpolated(image, axis, new)
    return image


def _interpolated(image: Array, axis: int, new: int) -> Array:
    low, high, part = neighbours(image.shape[axis], new)
    part = part.reshape((-1, 1) if axis == 1 else -1)
    first, second = image.take(low, axis), image.take(high, axis)
    mixed: Array = first + (second - first) * part
    return mixed


def neighbours(old: int, new: int) -> tuple[AnyArray, AnyArray, Array]:
    """For each of ``new`` elements the two of ``old`` it lies between, and the second's weight.

    Returns:
        Three arrays of (new,): index, index and float32 weight from 0 to 1.
    """
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = at.astype(np.intp)
    return low, np.minimum(low + 1, old - 1), (at - low).astype(np.float32)
