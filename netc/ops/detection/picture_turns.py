"""Pictures turned, resized and recoloured as OpenCV does it, (channels, height, width).

warpAffine of a rotated rectangle (places are not rounded to a 32nd, as there), resize with
INTER_CUBIC, and hue and saturation by cvtColor's BGR2HSV and back, of pictures from 0 to 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from netc.numeric import np
from netc.ops.array import AnyArray

_SHARPNESS = -0.75  # of OpenCV's cubic


class Turn(NamedTuple):
    """A turn about the middle, and where the upper left corner then lies.

    ``size`` is the height and width of the turned picture's bounds, ``middle`` the old middle and
    ``moved`` the new one, (down, across); ``cosine`` and ``sine`` are those of the angle.
    """

    size: tuple[int, int]
    middle: tuple[float, float]
    moved: tuple[float, float]
    cosine: float
    sine: float

    @classmethod
    def of(cls, size: tuple[int, int], degrees: float) -> Turn:
        """The turn of a picture (height, width)."""
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        high, wide = size
        half_y = (abs(sine) * wide + abs(cosine) * high) / 2
        half_x = (abs(cosine) * wide + abs(sine) * high) / 2
        bounds = tuple(
            math.ceil(old // 2 + half) - math.floor(old // 2 - half) + 1
            for old, half in ((high, half_y), (wide, half_x))
        )
        middle = high / 2, wide / 2
        corner = math.floor(middle[0] - half_y), math.floor(middle[1] - half_x)
        moved = middle[0] - corner[0], middle[1] - corner[1]
        return cls((bounds[0], bounds[1]), middle, moved, cosine, sine)

    def place(self, y: float, x: float) -> tuple[float, float]:
        """Where a place of the old picture lies in the new one."""
        down, across = y - self.middle[0], x - self.middle[1]
        return (
            self.sine * across + self.cosine * down + self.moved[0],
            self.cosine * across - self.sine * down + self.moved[1],
        )


def turned(picture: AnyArray, degrees: float) -> AnyArray:
    """A picture turned within its bounds; 0 where not all four neighbours are in the old one."""
    turn = Turn.of((picture.shape[1], picture.shape[2]), degrees)
    y, x = np.meshgrid(*map(np.arange, turn.size), indexing="ij")
    down, across = y - turn.moved[0], x - turn.moved[1]
    old_y = turn.cosine * down - turn.sine * across + turn.middle[0]
    old_x = turn.sine * down + turn.cosine * across + turn.middle[1]
    low_y, low_x = np.floor(old_y).astype(np.int64), np.floor(old_x).astype(np.int64)
    inside = (low_y >= 0) & (low_x >= 0)
    inside &= (low_y < picture.shape[1] - 1) & (low_x < picture.shape[2] - 1)
    low_y, low_x = np.where(inside, low_y, 0), np.where(inside, low_x, 0)
    share_y, share_x = old_y - low_y, old_x - low_x
    high_y = np.minimum(low_y + 1, picture.shape[1] - 1)
    high_x = np.minimum(low_x + 1, picture.shape[2] - 1)
    above = picture[:, low_y, low_x] * (1 - share_x) + picture[:, low_y, high_x] * share_x
    below = picture[:, high_y, low_x] * (1 - share_x) + picture[:, high_y, high_x] * share_x
    return np.where(inside, above * (1 - share_y) + below * share_y, 0)


def resized_cubic(picture: AnyArray, size: tuple[int, int]) -> AnyArray:
    """A picture of another height and width; four elements for each new one along each axis."""
    across = picture @ _cubic(picture.shape[2], size[1]).T
    result: AnyArray = np.moveaxis(np.moveaxis(across, 1, 2) @ _cubic(picture.shape[1], size[0]).T,
                                   2, 1)  # fmt: skip
    return result


def _cubic(old: int, new: int) -> AnyArray:
    """How much each new element takes of each old one: (new, old)."""
    at = (np.arange(new) + 0.5) * old / new - 0.5
    low = np.floor(at).astype(np.int64)
    table = np.zeros((new, old))
    for step in range(-1, 3):
        away = np.abs(at - low - step)
        near = ((_SHARPNESS + 2) * away - (_SHARPNESS + 3)) * away**2 + 1
        far = ((_SHARPNESS * away - 5 * _SHARPNESS) * away + 8 * _SHARPNESS) * away - 4 * _SHARPNESS
        np.add.at(
            table,
            (np.arange(new), np.clip(low + step, 0, old - 1)),
            np.where(away <= 1, near, far),
        )
    return table


def hue_and_saturation(picture: AnyArray, degrees: float, factor: float) -> AnyArray:
    """A picture (blue, green, red) with its hue moved and its saturation multiplied."""
    blue, green, red = picture
    value, least = picture.max(axis=0), picture.min(axis=0)
    spread = value - least
    by = np.where(spread > 0, spread, 1)
    of_red, of_green = (green - blue) / by, 2 + (blue - red) / by
    of_blue = 4 + (red - green) / by
    hue = np.where(value == red, of_red, np.where(value == green, of_green, of_blue))
    hue = np.where(spread > 0, hue, 0) + degrees / 60
    saturation = np.where(value > 0, spread / np.where(value > 0, value, 1), 0) * factor
    made = []
    for start in (1, 3, 5):  # blue, green, red
        k = (start + hue) % 6
        made.append(value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(made)
