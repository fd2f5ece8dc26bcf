"""ROIAlignment of AffordanceNet (Do et al., ICRA 2018; roi_alignment_layer.cpp).

The value at the centre of each cell of a region, between its four neighbours. A region is a row of
image, x_min, y_min, x_max, y_max in pixels of the net's input, and its maxima belong to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import LayerContext
from netc.ops.detection.sampled_regions import MEAN, Cell, RegionSampleParams, image_of, sampled
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


def _parse(layer: Message, context: LayerContext) -> RegionSampleParams:
    param = reject_unknown_fields(
        layer.get("roi_alignment_param"), "pooled_h", "pooled_w", "spatial_scale"
    )
    return RegionSampleParams(
        required_number(param, "pooled_h"),
        required_number(param, "pooled_w"),
        param.get("spatial_scale"),
        1,
    )


def centre_cells(params: RegionSampleParams, shape: Shape, regions: AnyArray) -> Iterator[Cell]:
    """The cells, each with one set of at most four weights.

    Args:
        params: the layer's.
        shape: the map's, (num, channels, height, width).
        regions: (regions, 5).

    Raises:
        NetcError: region-out-of-range, for a region of an image that is not in the batch.
    """
    sides = np.array([params.pooled_h, params.pooled_w])
    last = np.array(shape[2:], np.float32) - 1
    for at, row in enumerate(regions):
        image = image_of(regions, at, shape[0])
        corners = row[1:].astype(np.float32) * np.float32(params.spatial_scale)
        start, end = corners[[1, 0]], corners[[3, 2]]
        step = np.maximum(end - start + 1, 1) / sides.astype(np.float32)
        for i, j in np.ndindex(*sides.tolist()):
            low = np.clip(start + np.array([i, j], np.float32) * step, 0, last)
            high = np.clip(start + np.array([i + 1, j + 1], np.float32) * step, 0, last)
            places, weights = _around((low + high) / 2, shape)
            yield Cell(at, i, j, image, places, weights)


def _around(centre: AnyArray, shape: Shape) -> tuple[AnyArray, AnyArray]:
    """The elements that a value between them is made of, each once, and their shares, (1, n)."""
    y, x = map(float, centre)
    rows, columns = (math.floor(y), math.ceil(y)), (math.floor(x), math.ceil(x))
    down, across = (1 - (y - rows[0]), y - rows[0]), (1 - (x - columns[0]), x - columns[0])
    places = np.array([row * shape[3] + column for row in rows for column in columns])
    shares = np.outer(down, across).reshape(1, -1)
    return places[shares[0] > 0], shares[:, shares[0] > 0]


def _alignment(params: RegionSampleParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (sampled(params, inputs, centre_cells),)


ROI_ALIGNMENT = replace(MEAN, name="ROIAlignment", params=_parse, reference=_alignment)

OPS = (ROI_ALIGNMENT,)
