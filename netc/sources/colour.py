"""Brightness, contrast, saturation and hue of a picture of bytes, as SSD's Caffe changes them.

weiliu89/caffe@ssd src/caffe/util/im_transforms.cpp. Pictures are uint8 (channels, height, width),
those of three channels BGR. Hue, saturation and value of bytes are OpenCV's (modules/imgproc/src/
color_hsv): hue from 0 to 179, the others from 0 to 255. What goes beyond a byte ends at 0 or 255, a
hue too, before it is turned into a colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netc.memory import check_memory
from netc.sources.pixels import Bytes

_BITS = 12  # of the fixed-point quotients of hue and saturation
_HELD = 64  # bytes of a pixel while its hue is worked out
_SAME = 1e-3  # a contrast as near as this to 1 changes nothing


def brightened(picture: Bytes, amount: float) -> Bytes:
    """The picture with an amount added to each element."""
    return scaled(picture, 1.0, amount) if amount else picture


def contrasted(picture: Bytes, factor: float) -> Bytes:
    """The picture with each element times a factor, which leaves black where it is."""
    return scaled(picture, factor, 0.0) if abs(factor - 1) > _SAME else picture


def scaled(picture: Bytes, factor: float, amount: float) -> Bytes:
    """Each element times a factor, plus an amount, rounded; halves go to the even neighbour."""
    table = np.arange(256, dtype=np.float32) * np.float32(factor) + np.float32(amount)
    return _rounded(table)[picture]


def saturated(picture: Bytes, factor: float) -> Bytes:
    """A picture of three channels with its saturation times a factor."""
    return _in_hsv(picture, 1, lambda channel: scaled(channel, factor, 0.0))


def hued(picture: Bytes, amount: float) -> Bytes:
    """A picture of three channels with an amount added to its hue, of which 180 are a turn."""
    return _in_hsv(picture, 0, lambda channel: scaled(channel, 1.0, amount)) if amount else picture


def _in_hsv(picture: Bytes, channel: int, change: Callable[[Bytes], Bytes]) -> Bytes:
    check_memory(_HELD * picture[0].size, "the hue of the pixels of a picture")
    hsv = to_hsv(picture)
    hsv[channel] = change(hsv[channel])
    return from_hsv(hsv)


def to_hsv(picture: Bytes) -> Bytes:
    """BGR as hue, saturation and value."""
    blue, green, red = picture.astype(np.int32)
    value = np.maximum(np.maximum(blue, green), red)
    spread = value - np.minimum(np.minimum(blue, green), red)
    saturation = _divided(spread, value, 255)
    hue = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = _divided(hue, spread, 30)  # a sixth of a turn
    hue += np.where(hue < 0, 180, 0)
    return np.stack([hue, saturation, value]).astype(np.uint8)


def _divided(upper: NDArray[np.int32], lower: NDArray[np.int32], high: int) -> NDArray[np.int32]:
    """``most * upper / lower``, rounded in fixed point; 0 where ``lower`` is 0."""
    parts = np.zeros(256, np.int32)
    parts[1:] = np.rint((high << _BITS) / np.arange(1.0, 256))
    return (upper * parts[lower] + (1 << (_BITS - 1))) >> _BITS


def from_hsv(hsv: Bytes) -> Bytes:
    """Hue, saturation and value as BGR."""
    one = np.float32(1)
    hue = hsv[0].astype(np.float32) * np.float32(6 / 180)
    saturation, value = (channel.astype(np.float32) * (one / 255) for channel in hsv[1:])
    sector = np.floor(hue)
    part, sector = hue - sector, sector.astype(np.intp) % 6
    table = np.stack(
        [
            value,
            value * (one - saturation),
            value * (one - saturation * part),
            value * (one - saturation * (one - part)),
        ]
    )
    places = _SECTORS[sector]
    channels = [np.take_along_axis(table, places[None, ..., i], 0)[0] for i in range(3)]
    return _rounded(np.stack(channels) * np.float32(255))


# For each sixth of a turn, which of the four numbers above blue, green and red are.
_SECTORS = np.array([[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]], np.intp)


def _rounded(values: NDArray[np.float32]) -> Bytes:
    found: Bytes = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found


@dataclass(frozen=True, slots=True)
class Distortion:
    """SSD's distort_param: each change is made with a probability, by a number that is drawn.

    Args:
        brightness: probability, and the most that is added or taken.
        contrast: probability, and least and greatest factor.
        saturation: the same.
        hue: probability, and the most that is added or taken.
        order: the probability that channels change their places.
    """

    brightness: tuple[float, float] = (0.0, 0.0)
    contrast: tuple[float, float, float] = (0.0, 0.0, 0.0)
    saturation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hue: tuple[float, float] = (0.0, 0.0)
    order: float = 0.0

    def apply(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        """The picture, of three channels, distorted.

        In half of the pictures contrast comes before saturation and hue, in the others behind them.
        """
        contrast_first = generator.random() > 0.5
        picture = self._brightness(picture, generator)
        if contrast_first:
            picture = self._contrast(picture, generator)
        picture = self._saturation(picture, generator)
        picture = self._hue(picture, generator)
        if not contrast_first:
            picture = self._contrast(picture, generator)
        if generator.random() < self.order:
            picture = picture[generator.permutation(3)]
        return picture

    def _brightness(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        probability, high = self.brightness
        if generator.random() >= probability:
            return picture
        return brightened(picture, generator.uniform(-high, high))

    def _contrast(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        probability, low, high = self.contrast
        if generator.random() >= probability:
            return picture
        return contrasted(picture, generator.uniform(low, high))

    def _saturation(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        probability, low, high = self.saturation
        if generator.random() >= probability:
            return picture
        return saturated(picture, generator.uniform(low, high))

    def _hue(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        probability, high = self.hue
        if generator.random() >= probability:
            return picture
        return hued(picture, generator.uniform(-high, high))
