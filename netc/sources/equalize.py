"""Histogram equalisation of the brightness of pictures of bytes, (channels, height, width), BGR.

OpenCV, modules/imgproc/src/histogram.cpp (equalizeHist), clahe.cpp and color_yuv: brightness is Y
of YCrCb, in fixed point of 14 bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netc.memory import check_memory
from netc.sources.pixels import Bytes

Ints = NDArray[np.int32]

_BITS = 14
_HALF = 1 << (_BITS - 1)
_TILES = 8  # in each direction, of createCLAHE
_HELD = 48  # bytes of a pixel while it is equalised


def grey(picture: Bytes) -> Bytes:
    """The brightness of a BGR picture, (height, width)."""
    blue, green, red = picture.astype(np.int32)
    found: Bytes = _down(1868 * blue + 9617 * green + 4899 * red).astype(np.uint8)
    return found


def equalized(picture: Bytes) -> Bytes:
    """A picture whose brightness is spread over all bytes."""
    return _in_brightness(picture, _equalized)


def adaptive(picture: Bytes, limit: float) -> Bytes:
    """The same in 8 by 8 tiles, each bounded in contrast: CLAHE (Zuiderveld, 1994)."""
    return _in_brightness(picture, lambda channel: _adaptive(channel, limit))


def _in_brightness(picture: Bytes, change: Callable[[Bytes], Bytes]) -> Bytes:
    check_memory(_HELD * picture[0].size, "the brightness of the pixels of a picture")
    if len(picture) == 1:
        return change(picture[0])[None]
    blue, green, red = picture.astype(np.int32)
    bright = _down(1868 * blue + 9617 * green + 4899 * red)
    reds = np.clip(_down((red - bright) * 11682) + 128, 0, 255) - 128
    blues = np.clip(_down((blue - bright) * 9241) + 128, 0, 255) - 128
    changed = change(bright.astype(np.uint8)).astype(np.int32)
    made = np.stack(
        [
            changed + _down(blues * 29049),
            changed + _down(blues * -5636 + reds * -11698),
            changed + _down(reds * 22987),
        ]
    )
    found: Bytes = np.clip(made, 0, 255).astype(np.uint8)
    return found


def _down(scaled: Ints) -> Ints:
    return (scaled + _HALF) >> _BITS


def _equalized(channel: Bytes) -> Bytes:
    counts = np.bincount(channel.reshape(-1), minlength=256)
    least = int(np.flatnonzero(counts)[0])
    others = channel.size - counts[least]
    if not others:
        return channel
    above = np.cumsum(counts) - counts[least]
    scale = np.float32(255) / np.float32(others)
    table = np.rint(np.maximum(above, 0).astype(np.float32) * scale)
    found: Bytes = np.clip(table, 0, 255).astype(np.uint8)[channel]
    return found


def _adaptive(channel: Bytes, limit: float) -> Bytes:
    high, wide = channel.shape
    more = [0, 0]
    if high % _TILES or wide % _TILES:
        more = [_TILES - high % _TILES, _TILES - wide % _TILES]
    padded = np.pad(channel, ((0, more[0]), (0, more[1])), mode="reflect")
    down, across = padded.shape[0] // _TILES, padded.shape[1] // _TILES
    tiles = padded.reshape(_TILES, down, _TILES, across).swapaxes(1, 2)
    tables = np.array([[_table(tile, limit) for tile in row] for row in tiles], np.float32)
    (top, bottom, low), (left, right, far) = _between(high, down), _between(wide, across)
    up, near = np.float32(1) - low, np.float32(1) - far
    place = np.ix_(top, left), np.ix_(top, right), np.ix_(bottom, left), np.ix_(bottom, right)
    one, two, three, four = (tables[rows, columns, channel] for rows, columns in place)
    first, second = one * near + two * far, three * near + four * far
    made = first * up[:, None] + second * low[:, None]
    found: Bytes = np.clip(np.rint(made), 0, 255).astype(np.uint8)
    return found


def _table(tile: Bytes, limit: float) -> Bytes:
    """What each byte of a tile becomes; counts beyond a limit are shared out among all."""
    counts = np.bincount(tile.reshape(-1), minlength=256)
    most = max(int(limit * tile.size / 256), 1)
    cut = int(np.maximum(counts - most, 0).sum())
    each, rest = divmod(cut, 256)
    counts = np.minimum(counts, most) + each
    if rest:
        counts[:: max(256 // rest, 1)][:rest] += 1
    scaled = np.cumsum(counts).astype(np.float32) * (np.float32(255) / np.float32(tile.size))
    found: Bytes = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return found


def _between(
    pixels: int, tile: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each pixel the tiles before and behind it, and how far it lies behind the first."""
    at = np.arange(pixels, dtype=np.float32) * (np.float32(1) / np.float32(tile)) - np.float32(0.5)
    first = np.floor(at).astype(np.intp)
    part = (at - first).astype(np.float32)
    return np.maximum(first, 0), np.minimum(first + 1, _TILES - 1), part
