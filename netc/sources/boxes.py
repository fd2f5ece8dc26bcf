"""Boxes on a picture, as SSD's Caffe crops and projects them (weiliu89/caffe@ssd, bbox_util.cpp).

Coordinates are float32 and in parts of the picture's width and height.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_ZERO, _ONE = np.float32(0), np.float32(1)


class Box(NamedTuple):
    """A box, from its left upper to its right lower corner."""

    xmin: np.float32
    ymin: np.float32
    xmax: np.float32
    ymax: np.float32

    @property
    def size(self) -> np.float32:
        """Its area; 0 where it is turned inside out."""
        if self.xmax < self.xmin or self.ymax < self.ymin:
            return _ZERO
        return (self.xmax - self.xmin) * (self.ymax - self.ymin)

    @property
    def mirrored(self) -> Box:
        """Where it lies on the mirrored picture."""
        return Box(_ONE - self.xmax, self.ymin, _ONE - self.xmin, self.ymax)

    def clipped(self) -> Box:
        """The part of it that lies on the picture."""
        return Box(*(max(min(side, _ONE), _ZERO) for side in self))

    def onto(self, crop: Box) -> Box | None:
        """The part of it that lies on a crop of the picture, in parts of that crop; None for none.

        ProjectBBox. The crop may be larger than the picture.
        """
        if self.xmin >= crop.xmax or self.xmax <= crop.xmin:
            return None
        if self.ymin >= crop.ymax or self.ymax <= crop.ymin:
            return None
        width, height = crop.xmax - crop.xmin, crop.ymax - crop.ymin
        found = Box(
            (self.xmin - crop.xmin) / width,
            (self.ymin - crop.ymin) / height,
            (self.xmax - crop.xmin) / width,
            (self.ymax - crop.ymin) / height,
        ).clipped()
        return found if found.size > 0 else None

    def shared(self, other: Box) -> Box:
        """What two boxes have in common; four zeros for nothing (IntersectBBox)."""
        if other.xmin > self.xmax or other.xmax < self.xmin:
            return WHOLE._replace(xmax=_ZERO, ymax=_ZERO)
        if other.ymin > self.ymax or other.ymax < self.ymin:
            return WHOLE._replace(xmax=_ZERO, ymax=_ZERO)
        return Box(
            max(self.xmin, other.xmin),
            max(self.ymin, other.ymin),
            min(self.xmax, other.xmax),
            min(self.ymax, other.ymax),
        )

    def overlap(self, other: Box) -> np.float32:
        """The area in common over the area of both together (Jaccard)."""
        common = self.shared(other)
        if common.xmax <= common.xmin or common.ymax <= common.ymin:
            return _ZERO
        return common.size / (self.size + other.size - common.size)

    def covered(self, other: Box) -> np.float32:
        """Which part of it lies within another one."""
        common = self.shared(other).size
        return common / self.size if common > 0 else _ZERO


WHOLE = Box(_ZERO, _ZERO, _ONE, _ONE)


class Annotation(NamedTuple):
    """A box of a picture: its class, its number among those of that class, whether it is hard."""

    label: int
    instance: int
    box: Box
    difficult: bool = False

    @property
    def row(self) -> tuple[float, ...]:
        """Its numbers in a label blob, behind the number of the picture."""
        return (self.label, self.instance, *map(float, self.box), float(self.difficult))
