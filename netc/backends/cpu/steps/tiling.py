"""Which convolutions Winograd's algorithm can do, and the tiles of an output."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netc.backends.shared.cook_toom import Filtering
from netc.backends.shared.geometry import Geometry


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tiles that cover an output."""

    filtering: Filtering
    rows: int
    columns: int
    images: int

    @property
    def planes(self) -> int:
        """Values of a transformed tile."""
        return self.filtering.planes

    @property
    def tiles(self) -> int:
        """Tiles of all images."""
        return self.images * self.rows * self.columns


KERNELS = frozenset({(3, 3), (5, 5), (1, 3), (3, 1), (1, 5), (5, 1), (1, 7), (7, 1)})


def can_winograd(geometry: Geometry) -> bool:
    """True if the algorithm applies at all."""
    ones = (1, 1)
    return (
        geometry.kernel in KERNELS
        and geometry.groups == 1
        and geometry.stride == geometry.dilation == ones
    )


def tiling(images: int, height: int, width: int, size: int, taps: tuple[int, int]) -> Tiling:
    """Tiles of ``size`` outputs in each direction in which the filter has taps."""
    down, across = (1 if t == 1 else size for t in taps)
    filtering = Filtering((down, across), taps)
    return Tiling(filtering, math.ceil(height / down), math.ceil(width / across), images)
