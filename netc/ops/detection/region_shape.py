"""The shape rule that layers which pool regions of a map share."""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count, show
from netc.ops.define import ShapeError


def region_shape(inputs: Sequence[Shape], rows: int, columns: int) -> Shape:
    """(regions, channels, ``rows``, ``columns``) for a map and regions (regions, 5).

    Raises:
        ShapeError: the map has not 4 axes, or the regions are not rows of 5.
    """
    data, regions = inputs
    if len(data) != 4:
        raise ShapeError(f"the first bottom must have 4 axes, it is {show(data)}")
    if not regions or len(regions) > 4 or count(regions, 1) != 5:
        raise ShapeError(
            "the regions must be rows of 5: image, x_min, y_min, x_max and y_max; the bottom is "
            f"{show(regions)}"
        )
    return (regions[0], data[1], rows, columns)
