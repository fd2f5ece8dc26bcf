"""Pictures as OpenCV reads and resizes them for Caffe: bytes, (channels, height, width), BGR."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO

import numpy as np
from numpy.typing import NDArray

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import NetcError
from netc.image_files import FORMATS, MAX_PIXELS, PILLOW_QUIET
from netc.memory import check_memory
from netc.sources.base import DataLayer

Bytes = NDArray[np.uint8]

_BITS = 11  # of OpenCV's fixed-point weights of bytes
_ONE = 1 << _BITS
_DECODED = 12  # bytes of a pixel while it is decoded: as it is stored, converted, and in order
_RESIZED = 12  # bytes of an element between: two products and their sum
_GREY_MODES = ("1", "L", "I", "I;16", "F")


def decode(
    file: str | os.PathLike[str] | IO[bytes], what: str, color: bool | None, source: DataLayer
) -> Bytes:
    """Decode a picture for a data layer; ``what`` names it in messages. See :func:`open_picture`.

    Raises:
        NetcError: bad-record, at the layer, where it cannot be decoded; too-little-memory.
    """
    return open_picture(file, color, lambda why: source.fault("bad-record", f"{what} {why}"))


def open_picture(
    file: str | os.PathLike[str] | IO[bytes],
    color: bool | None,
    bad: Callable[[str], NetcError],
) -> Bytes:
    """Decode a picture to uint8 (channels, height, width), BGR or grey.

    Args:
        file: an encoded picture.
        color: True for 3 channels, False for 1 (grey); None keeps the picture's own.
        bad: reason -> the NetcError to raise.

    Raises:
        NetcError: what ``bad`` makes; too-little-memory.
    """
    from PIL import Image

    def complaint(error: Exception) -> NetcError:
        return bad(f"cannot be read as an image: {reason(error)}")

    with strangers_bytes(complaint), PILLOW_QUIET:
        with Image.open(file, formats=tuple(FORMATS)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has {image.width}x{image.height} pixels, over {MAX_PIXELS:,}")
            grey = image.mode in _GREY_MODES if color is None else not color
            check_memory(_DECODED * image.width * image.height, _picture(image.height, image.width))
            plain = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    return plain[None] if grey else np.ascontiguousarray(plain.transpose(2, 0, 1)[::-1])


def resize(picture: Bytes, height: int, width: int) -> Bytes:
    """Resize a picture of (channels, height, width) by linear interpolation, as cv::resize does.

    The fixed-point weights have 11 bits; sums along rows drop 4 bits before they are summed along
    columns, and the result is rounded (OpenCV, modules/imgproc/src/resize.cpp, INTER_LINEAR).

    Raises:
        NetcError: too-little-memory.
    """
    if picture.shape[1:] == (height, width):
        return picture
    return resize_between(
        picture, _places(picture.shape[2], width), _places(picture.shape[1], height)
    )


Between = tuple[NDArray[np.intp], NDArray[np.float32]]
"""For each new place the old one before it, and how far it lies behind that, from 0 to 1."""


def resize_between(picture: Bytes, across: Between, down: Between) -> Bytes:
    """Resize a picture of (channels, height, width) between given pixels; see :func:`resize`.

    Args:
        picture: uint8.
        across: for each new column.
        down: for each new row.

    Raises:
        NetcError: too-little-memory.
    """
    (left, right, wide_by), (top, bottom, high_by) = (
        _weighed(places, old)
        for places, old in zip((across, down), picture.shape[:0:-1], strict=True)
    )
    channels, rows_before, _ = picture.shape
    height, width = len(top), len(left)
    larger = channels * width * (rows_before + height) + picture.size
    check_memory(_RESIZED * larger, f"{_picture(*picture.shape[1:])}, resized to {height}x{width},")
    wide = picture.astype(np.int32)
    rows = (wide[:, :, left] * wide_by[0] + wide[:, :, right] * wide_by[1]) >> 4
    weights = high_by[:, :, None]
    total = ((rows[:, top] * weights[0]) >> 16) + ((rows[:, bottom] * weights[1]) >> 16)
    rounded: Bytes = np.clip((total + 2) >> 2, 0, 255).astype(np.uint8)
    return rounded


def nearest(picture: Bytes, height: int, width: int) -> Bytes:
    """Resize a picture of (channels, height, width) as cv::resize with INTER_NEAREST.

    Along each axis, pixel i of the new size is the old one at floor(i * old / new).

    Raises:
        NetcError: too-little-memory.
    """
    channels, rows, columns = picture.shape
    check_memory(channels * height * width, f"{_picture(rows, columns)}, resized,")
    chosen = picture[:, _nearest_places(rows, height)][:, :, _nearest_places(columns, width)]
    return np.ascontiguousarray(chosen)


def _nearest_places(old: int, new: int) -> NDArray[np.intp]:
    places: NDArray[np.intp] = np.floor(np.arange(new) * (old / new)).astype(np.intp)
    return np.minimum(places, old - 1, out=places)


def _picture(height: int, width: int) -> str:
    return f"the pixels of a picture of {height}x{width}"


def _places(old: int, new: int) -> Between:
    """Between the centres of pixels; beyond the first and the last there is nothing between."""
    at = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(at).astype(np.intp)
    part = (at - first).astype(np.float32)
    part[(first < 0) | (first >= old - 1)] = 0
    return np.clip(first, 0, old - 1), part


def _weighed(
    places: Between, old: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    """For each new place: the two old ones it lies between, and their weights in fixed point."""
    first, part = places
    after = np.rint(part * _ONE).astype(np.int32)
    before = np.rint((np.float32(1) - part) * _ONE).astype(np.int32)
    return first, np.minimum(first + 1, old - 1), np.stack([before, after])
