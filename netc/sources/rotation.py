"""Rotation, size, colour and contrast of whole pictures, as in twtygqyy's caffe-augmentation.

github.com/twtygqyy/caffe-augmentation src/caffe/data_transformer.cpp. In TRAIN a picture is rotated
by a whole number of degrees, brought to a smallest side, shifted in colour, and changed in contrast
and brightness, and smoothed by one of four filters; in TEST it is brought to its smallest side
alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netc.memory import check_memory
from netc.sources.colour import scaled
from netc.sources.filters import box, gaussian, median
from netc.sources.pixels import Bytes, resize

_HELD = 64  # bytes of a pixel while it is put together from four others
_STEPS = 32  # parts of a pixel that places are rounded to, as in OpenCV's warpAffine


def rotated(picture: Bytes, degrees: int) -> Bytes:
    """A picture of (channels, height, width) rotated counter-clockwise about its middle.

    The result has room for all of the picture; what is outside of it is black. Pixels are
    interpolated linearly, at places rounded to a 32nd of a pixel (OpenCV, imgwarp.cpp).
    """
    if not degrees % 360:
        return picture
    _, high, wide = picture.shape
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    room_high, room_wide = _room(high, wide, cosine, sine)
    check_memory(_HELD * room_high * room_wide, f"the pixels of a picture turned by {degrees}°")
    # From a place on the result back to one on the picture.
    down, right = np.mgrid[:room_high, :room_wide].astype(np.float64)
    down, right = down - room_high / 2, right - room_wide / 2
    across = cosine * right - sine * down + wide / 2
    along = sine * right + cosine * down + high / 2
    return _taken(picture, np.rint(along * _STEPS), np.rint(across * _STEPS))


def _room(high: int, wide: int, cosine: float, sine: float) -> tuple[int, int]:
    """Height and width of the upright rectangle around a turned one, as cv::RotatedRect's."""
    half = np.float32(0.5)
    a, b = np.float32(sine) * half, np.float32(cosine) * half
    h, w = np.float32(high), np.float32(wide)
    x, y = w * half, h * half
    across = [x - a * h - b * w, x + a * h - b * w]
    along = [y + b * h - a * w, y - b * h - a * w]
    return _extent([*along, *(2 * y - one for one in along)]), _extent(
        [*across, *(2 * x - one for one in across)]
    )


def _extent(ends: list[np.float32]) -> int:
    return math.ceil(max(ends)) - math.floor(min(ends)) + 1


def _taken(picture: Bytes, along: NDArray[np.float64], across: NDArray[np.float64]) -> Bytes:
    """The pixels at places in 32nds, black where there is no picture."""
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    last = padded.shape[1] - 2, padded.shape[2] - 2
    row, column = (np.floor(at / _STEPS) for at in (along, across))
    part_down, part_right = along / _STEPS - row, across / _STEPS - column
    inside = (row >= -1) & (row <= last[0] - 1) & (column >= -1) & (column <= last[1] - 1)
    rows = np.clip(row + 1, 0, last[0]).astype(np.intp)
    columns = np.clip(column + 1, 0, last[1]).astype(np.intp)
    found = np.zeros((len(picture), *row.shape), np.float64)
    for below, down in ((0, 1 - part_down), (1, part_down)):
        for beside, right in ((0, 1 - part_right), (1, part_right)):
            found += padded[:, rows + below, columns + beside] * (down * right)
    made: Bytes = np.rint(np.where(inside, found, 0)).astype(np.uint8)
    return made


@dataclass(frozen=True, slots=True)
class SmallestSide:
    """The smallest side that pictures are brought to, in pixels, without warping them.

    Args:
        fixed: in TRAIN and TEST; 0 for none.
        least: of those that are drawn.
        most: of those that are drawn; 0 for none.
    """

    fixed: int = 0
    least: int = 0
    most: int = 0

    def apply(self, picture: Bytes, generator: np.random.Generator | None) -> Bytes:
        """The picture resized, by linear interpolation."""
        if self.fixed:
            picture = _to_side(picture, self.fixed)
        if self.most and generator is not None:
            picture = _to_side(picture, int(generator.integers(self.least, self.most + 1)))
        return picture


def _to_side(picture: Bytes, side: int) -> Bytes:
    _, high, wide = picture.shape
    if high <= wide:
        return resize(picture, side, math.ceil(wide / (high / side)))
    return resize(picture, math.ceil(high / (wide / side)), side)


@dataclass(frozen=True, slots=True)
class PictureTransform:
    """Changes of whole pictures in TRAIN.

    Args:
        angle: the most degrees that a picture is rotated by, either way.
        shift: the most that is added to all of a channel, or taken from it.
        contrast: least and greatest factor; None for no change of contrast and brightness.
        brightness: the most that is added or taken with it.
        probability: of a shift, of a change of contrast, and of smoothing.
        smooth: the most pixels of a filter's side, which is odd and drawn; 0 for no smoothing.
    """

    angle: int = 0
    shift: int = 0
    contrast: tuple[float, float] | None = None
    brightness: int = 0
    probability: float = 0.5
    smooth: int = 0

    def rotated(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        """The picture rotated by a number of degrees that is drawn."""
        if not self.angle:
            return picture
        return rotated(picture, int(generator.integers(-self.angle, self.angle + 1)))

    def coloured(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        """The picture shifted in colour, changed in contrast and brightness, and smoothed."""
        if self.shift and generator.random() < self.probability:
            amounts = generator.integers(self.shift + 1, size=len(picture))
            amounts = -amounts if generator.integers(2) else amounts
            wide = picture.astype(np.int16) + amounts[:, None, None].astype(np.int16)
            picture = np.clip(wide, 0, 255).astype(np.uint8)
        if self.contrast is not None and generator.random() < self.probability:
            factor = generator.uniform(*self.contrast)
            amount = int(generator.integers(-self.brightness, self.brightness + 1))
            picture = scaled(picture, factor, amount)
        if self.smooth and generator.random() < self.probability:
            kind = _SMOOTHING[int(generator.integers(len(_SMOOTHING)))]
            picture = kind(picture, 1 + 2 * int(generator.integers(self.smooth // 2)))
        return picture


_SMOOTHING: tuple[Callable[[Bytes, int], Bytes], ...] = (
    gaussian,
    box,
    median,
    lambda picture, size: box(picture, 2 * size),
)
