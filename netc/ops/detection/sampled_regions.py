"""The ROIAligns whose fields are ``roi_align_param``: bilinear samples of a region's cells.

With ``sampling_ratio`` it is that of Detectron (He et al. 2017, Mask R-CNN; Cambricon's
roi_align_layer.cpp): the mean of samples in the cell. Without, it is the older one of
jasjeetIM/Mask-RCNN and synopsys-caffe: the first four elements in a cell are summed with four sets
of weights, and the greatest sum counts. A region is a row of image, x_min, y_min, x_max, y_max in
pixels of the net's input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    Kernel,
    LayerContext,
    OpDef,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.detection.region_shape import region_shape
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message

_CORNERS = ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))  # x, y of weightings


@dataclass(frozen=True, slots=True)
class RegionSampleParams:
    """The top is (regions, channels, ``pooled_h``, ``pooled_w``).

    ``spatial_scale`` is the bottom's elements for each pixel of the net's input, ``samples`` how
    many there are along a side of a cell; 0 for one for each element.
    """

    pooled_h: int
    pooled_w: int
    spatial_scale: float
    samples: int = 0


def _parse(layer: Message, context: LayerContext) -> RegionSampleParams:
    param = reject_unknown_fields(
        layer.get("roi_align_param"), "pooled_h", "pooled_w", "spatial_scale", "sampling_ratio"
    )
    return RegionSampleParams(
        required_number(param, "pooled_h"),
        required_number(param, "pooled_w"),
        param.get("spatial_scale"),
        fork_field(param, "sampling_ratio", 0),
    )


def _shape(params: RegionSampleParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (region_shape(inputs, params.pooled_h, params.pooled_w),)


class Cell(NamedTuple):
    """A cell of a region: which element of the top it is, and the elements it reads.

    Args:
        region, row, column: of the top.
        image: of the bottom.
        places: indices of the elements in a plane.
        weights: (sets, places), the weights of the elements in each sum.
        empty: the cell lies outside of the map, and its result is at least 0.
    """

    region: int
    row: int
    column: int
    image: int
    places: AnyArray
    weights: AnyArray
    empty: bool = False


def image_of(regions: AnyArray, at: int, images: int) -> int:
    """The image of a region, told where it is not in the batch."""
    image = int(regions[at, 0])
    if not 0 <= image < images:
        raise NetcError(
            Diagnostic(
                "region-out-of-range",
                f"region {at} is of image {image}, and there are {images}",
                help=("the first number of a region counts images from 0",),
            )
        )
    return image


def greatest_cells(params: RegionSampleParams, shape: Shape, regions: AnyArray) -> Iterator[Cell]:
    """The cells of the older layer, each with four sets of weights.

    Raises:
        NetcError: region-out-of-range, for a region of an image that is not in the batch.
    """
    sides = np.array([params.pooled_h, params.pooled_w])
    for at, row in enumerate(regions):
        image = image_of(regions, at, shape[0])
        corners = row[1:] * np.float32(params.spatial_scale)
        start, end = corners[[1, 0]], corners[[3, 2]]
        step = np.maximum(end - start + 1, 1) / sides.astype(np.float32)
        for i, j in np.ndindex(*sides.tolist()):
            low = np.clip(start + np.array([i, j], np.float32) * step, 0, shape[2:])
            high = np.clip(start + np.array([i + 1, j + 1], np.float32) * step, 0, shape[2:])
            yield _greatest_cell(shape, (at, i, j, image), (start, end), low, high)


def _greatest_cell(
    shape: Shape,
    place: tuple[int, int, int, int],
    region: tuple[AnyArray, AnyArray],
    low: AnyArray,
    high: AnyArray,
) -> Cell:
    lines = [np.arange(math.ceil(a), math.floor(b) + 1) for a, b in zip(low, high, strict=True)]
    down, across = (grid.reshape(-1)[:4] for grid in np.meshgrid(*lines, indexing="ij"))
    start, span = region[0], region[1] - region[0]
    within = []
    for axis, at in enumerate((down, across)):
        part = 2 * (at - start[axis]) / span[axis] - 1 if span[axis] else np.zeros(len(at))
        within.append(np.clip(part, -1, 1))
    corners = np.array(_CORNERS)
    by_y = np.maximum(0, 1 - np.abs(corners[:, 1:] - within[0]))
    by_x = np.maximum(0, 1 - np.abs(corners[:, :1] - within[1]))
    inside = (down < shape[2]) & (across < shape[3])
    places = (down * shape[3] + across)[inside]
    empty = bool((high <= low).any())
    return Cell(*place, places, (by_y * by_x)[:, inside], empty)


def mean_cells(params: RegionSampleParams, shape: Shape, regions: AnyArray) -> Iterator[Cell]:
    """The cells of Detectron's layer, each with one set of weights.

    Raises:
        NetcError: region-out-of-range, for a region of an image that is not in the batch.
    """
    sides = np.array([params.pooled_h, params.pooled_w])
    for at, row in enumerate(regions):
        image = image_of(regions, at, shape[0])
        corners = row[1:].astype(np.float64) * params.spatial_scale
        start = corners[[1, 0]]
        step = np.maximum(corners[[3, 2]] - start, 1) / sides
        each = [params.samples or max(1, math.ceil(side)) for side in step]
        for i, j in np.ndindex(*sides.tolist()):
            shares = [
                _line(start[axis] + step[axis] * (cell + (np.arange(n) + 0.5) / n), shape[2 + axis])
                for axis, (cell, n) in enumerate(zip((i, j), each, strict=True))
            ]
            table = np.outer(shares[0], shares[1]).reshape(-1)
            places = np.flatnonzero(table)
            yield Cell(at, i, j, image, places, table[None, places])


def _line(at: AnyArray, size: int) -> AnyArray:
    """How much samples take of each element of a row, in the mean; nothing beyond the edge."""
    inside = (at >= -1) & (at <= size)
    at = np.clip(at, 0, size - 1)
    first = np.floor(at).astype(np.int64)
    last = np.minimum(first + 1, size - 1)
    shares = np.zeros(size)
    np.add.at(shares, first, np.where(inside, 1 - (at - first), 0))
    np.add.at(shares, last, np.where(inside, at - first, 0))
    return shares / len(at)


@quietly
def _greatest(params: RegionSampleParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (sampled(params, inputs, greatest_cells),)


def _mean(params: RegionSampleParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (sampled(params, inputs, mean_cells),)


def sampled(
    params: RegionSampleParams, inputs: Arrays, cells: Callable[..., Iterator[Cell]]
) -> AnyArray:
    """The top of a layer that has such cells."""
    data, regions = (np.asarray(array) for array in inputs)
    top = np.zeros(_shape(params, [data.shape, regions.shape])[0], data.dtype)
    flat = data.reshape(*data.shape[:2], -1)
    for cell in cells(params, data.shape, regions.reshape(len(regions), 5)):
        sums = weighted(cell, flat)
        best = sums.max(axis=1)
        top[cell.region, :, cell.row, cell.column] = np.maximum(best, 0) if cell.empty else best
    return top


def weighted(cell: Cell, flat: AnyArray) -> AnyArray:
    """A cell's sums, (channels, sets); ``flat`` is the bottom as (num, channels, places)."""
    seen = flat[cell.image][:, cell.places]
    result: AnyArray = seen @ cell.weights.T.astype(flat.dtype)
    return result


def _op(name: str, reference: Kernel[RegionSampleParams]) -> OpDef[RegionSampleParams]:
    return OpDef(
        name=name,
        arity=Arity((2, 2), (1, 1)),
        params=_parse,
        shape=_shape,
        cost=per_output(16),
        window=full_extent,
        memory=copies(4),
        reference=reference,
        family="pooling",
        host=True,
    )


GREATEST, MEAN = _op("ROIAlignGreatest", _greatest), _op("ROIAlignMean", _mean)

_READ_AS = (
    "roi_align_param",
    "without `sampling_ratio` it is the greatest of four sums of a cell's elements, as in "
    "jasjeetIM/Mask-RCNN and synopsys-caffe; forks after Detectron take the mean of samples",
    ("if the net was trained with Detectron's, write `sampling_ratio: 0` (or the number it had)",),
)


def sampled_reading(layer: Message) -> TypeReading | None:
    """Which of both layers ``roi_align_param`` means; None where it is not written."""
    if not layer.has("roi_align_param"):
        return None
    if layer.get("roi_align_param").has("sampling_ratio"):
        return TypeReading(erased(MEAN))
    return TypeReading(erased(GREATEST), _READ_AS)


READINGS = (GREATEST, MEAN)
