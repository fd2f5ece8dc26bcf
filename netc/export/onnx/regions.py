"""Rules of pooling over regions: ROIPooling and PSROIPooling.

A region is a row of image, x_min, y_min, x_max, y_max in the image's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from netc.export.onnx.writer import LayerExport, Rule
from netc.ops.detection.regions import PSROIPoolingParams, ROIPoolingParams


def _rows(layer: LayerExport) -> str:
    """The regions with two axes."""
    flat = len(layer.shape(1)) == 2
    return layer.inputs[1] if flat else layer.reshape(layer.inputs[1], [-1, 5])


def _roi_pooling(layer: LayerExport) -> None:
    params = layer.params_as(ROIPoolingParams)
    layer.give(
        "MaxRoiPool",
        layer.x,
        _rows(layer),
        pooled_shape=[params.pooled_h, params.pooled_w],
        spatial_scale=params.spatial_scale,
    )


# PSROIPooling: sums over bins are differences of a table of sums, in double precision as netc's.


class _Bins(NamedTuple):
    """First and last+1 element of each bin, whole numbers in float32: (regions, bins)."""

    first: str
    last: str


def _psroi_pooling(layer: LayerExport) -> None:
    from onnx import TensorProto

    params = layer.params_as(PSROIPoolingParams)
    regions = _rows(layer)
    high = _bins(layer, params, regions, (2, 4), layer.shape()[2], [1, 3])
    wide = _bins(layer, params, regions, (1, 3), layer.shape()[3], [1, 2])
    sums = layer.op("Cast", _sums(layer, params, regions, high, wide), to=TensorProto.FLOAT)
    sides = [layer.op("Sub", bins.last, bins.first) for bins in (high, wide)]
    area, zero = layer.op("Mul", *sides), layer.constant("zero", 0)
    shortest = layer.op("Min", *sides)
    empty = layer.op("LessOrEqual", shortest, zero)
    means = layer.op("Div", sums, layer.op("Where", empty, layer.constant("one", 1), area))
    layer.give("Where", empty, zero, means)


def _column(layer: LayerExport, regions: str, index: int) -> str:
    return layer.op("Gather", regions, layer.whole("column", [index]), axis=1)


def _rounded(layer: LayerExport, value: str) -> str:
    """To the nearest whole number, a half away from 0."""
    half = layer.op("Add", layer.op("Abs", value), layer.constant("half", 0.5))
    return layer.op("Mul", layer.op("Sign", value), layer.op("Floor", half))


def _bins(
    layer: LayerExport,
    params: PSROIPoolingParams,
    regions: str,
    columns: tuple[int, int],
    limit: int,
    added: list[int],
) -> _Bins:
    """Bins along one axis, with axes of 1 added for outputs and the other axis."""
    scale = layer.constant("scale", params.spatial_scale)
    one = layer.constant("one", 1)
    begin, end = (_rounded(layer, _column(layer, regions, index)) for index in columns)
    start = layer.op("Mul", begin, scale)
    length = layer.op("Sub", layer.op("Mul", layer.op("Add", end, one), scale), start)
    length = layer.op("Max", length, layer.constant("least", 0.1))
    width = layer.op("Div", length, layer.constant("group", params.group_size))
    at = np.arange(params.group_size + 1, dtype=np.float32)
    edges = []
    for kind, places in (("Floor", at[:-1]), ("Ceil", at[1:])):
        away = layer.op("Mul", width, layer.constant("at", places[None]))
        edge = layer.op(kind, layer.op("Add", away, start))
        edge = layer.op("Clip", edge, layer.constant("zero", 0), layer.constant("limit", limit))
        edges.append(layer.op("Unsqueeze", edge, layer.whole("axes", added)))
    return _Bins(*edges)


def _sums(
    layer: LayerExport, params: PSROIPoolingParams, regions: str, high: _Bins, wide: _Bins
) -> str:
    """Sums over the bins, (regions, outputs, group, group)."""
    from onnx import TensorProto

    table = layer.op("Cast", layer.x, to=TensorProto.DOUBLE)
    for axis in (2, 3):
        table = layer.op("CumSum", table, layer.whole("axis", axis))
    around = layer.whole("around", [0, 0, 1, 1, 0, 0, 0, 0])
    table = layer.op("Pad", table, around)
    group, outputs = params.group_size, params.output_dim
    channels = np.arange(outputs * group * group).reshape(1, outputs, group, group)
    image = layer.op("Unsqueeze", _column(layer, regions, 0), layer.whole("axes", [2, 3]))
    places = [image, layer.constant("channel", channels)]

    def corner(y: str, x: str) -> str:
        return _picked(layer, table, [*places, y, x])

    right = layer.op("Sub", corner(high.last, wide.last), corner(high.last, wide.first))
    left = layer.op("Sub", corner(high.first, wide.last), corner(high.first, wide.first))
    return layer.op("Sub", right, left)


def _picked(layer: LayerExport, table: str, places: list[str]) -> str:
    """Elements of the table at places that broadcast to one shape."""
    from onnx import TensorProto

    total = layer.op("Sum", *places)
    shape = layer.op("Shape", total)
    last = layer.whole("last", [4])
    columns = [layer.op("Unsqueeze", layer.op("Expand", p, shape), last) for p in places]
    index = layer.op("Cast", layer.op("Concat", *columns, axis=4), to=TensorProto.INT64)
    return layer.op("GatherND", table, index)


RULES: Mapping[str, Rule] = {"PSROIPooling": _psroi_pooling, "ROIPooling": _roi_pooling}
