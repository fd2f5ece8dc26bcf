"""ROIAlign of Cascade R-CNN (Cai and Vasconcelos, CVPR 2018; roi_align_layer.cpp).

Bilinear values at the corners of the cells of a grid in each region.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import Arity, LayerContext
from netc.ops.detection.cascade import cascade_op
from netc.ops.detection.region_shape import region_shape
from netc.ops.detection.sampled_regions import sampled_reading
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class GridAlignParams:
    """Each region has ``pooled_h`` by ``pooled_w`` cells, whose corners are the top's elements.

    The top is (regions, channels, pooled_h + 1, pooled_w + 1). ``spatial_scale`` and ``pad_ratio``
    as in :class:`netc.ops.detection.regions.ROIPoolingParams`.
    """

    pooled_h: int
    pooled_w: int
    spatial_scale: float
    pad_ratio: float


def _parse_align(layer: Message, context: LayerContext) -> GridAlignParams:
    """Cascade R-CNN's ROIAlign has its fields in ``roi_pooling_param``."""
    if not layer.has("roi_pooling_param"):
        raise layer.error(
            "type",
            "ambiguous-layer",
            "ROIAlign means different layers in different forks, and no field tells which",
            "Cascade R-CNN's is told by `roi_pooling_param`, others by `roi_align_param`",
        )
    param = reject_unknown_fields(
        layer.get("roi_pooling_param"), "pooled_h", "pooled_w", "spatial_scale", "pad_ratio"
    )
    return GridAlignParams(
        required_number(param, "pooled_h"),
        required_number(param, "pooled_w"),
        param.get("spatial_scale"),
        fork_field(param, "pad_ratio", 0.0),
    )


def _align_shape(params: GridAlignParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (region_shape(inputs, params.pooled_h + 1, params.pooled_w + 1),)


def _align(params: GridAlignParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Bilinear values at the grid's corners, moved by half a cell; 0 outside of the blob."""
    data, regions = np.asarray(inputs[0]), np.asarray(inputs[1])
    shape = _align_shape(params, [data.shape, regions.shape])[0]
    top = np.zeros(shape, data.dtype)
    for at, image, y, x in aligned_places(params, len(data), regions):
        top[at] = _at_places(data[image], y, x)
    return (top,)


def aligned_places(
    params: GridAlignParams, images: int, regions: AnyArray
) -> Iterator[tuple[int, int, AnyArray, AnyArray]]:
    """Each region that has an area and an image in the batch.

    Yields:
        Its index, its image, and the rows and columns of its grid's corners, in elements.
    """
    for at, (image, *corners) in enumerate(regions.reshape(-1, 5)):
        low, high = np.array(corners[:2]), np.array(corners[2:])
        pad = (high - low + 1) * np.float32(params.pad_ratio)
        scale, half = np.float32(params.spatial_scale), np.float32(0.5)
        start, end = (low - pad) * scale - half, (high + pad) * scale - half
        if (end <= start).any() or not 0 <= image < images:
            continue
        step = (end - start) / np.array([params.pooled_w, params.pooled_h], np.float32)
        x = start[0] + np.arange(params.pooled_w + 1, dtype=np.float32) * step[0]
        y = start[1] + np.arange(params.pooled_h + 1, dtype=np.float32) * step[1]
        yield at, int(image), y, x


def inside_map(at: AnyArray, size: int) -> AnyArray:
    """Whether places are on an axis of ``size`` elements, or up to half an element beyond it."""
    return (at >= -0.5) & (at <= size - 0.5)


def _at_places(planes: AnyArray, y: AnyArray, x: AnyArray) -> AnyArray:
    """Values of planes (c, h, w) at rows y and columns x, between their neighbours."""
    rows, columns = planes.shape[1:]
    inside = inside_map(y, rows)[:, None] & inside_map(x, columns)
    (y0, y1, down), (x0, x1, across) = neighbours_of(y, rows), neighbours_of(x, columns)
    left, right = planes[:, :, x0], planes[:, :, x1]
    above = left[:, y0] * (1 - across) + right[:, y0] * across
    below = left[:, y1] * (1 - across) + right[:, y1] * across
    values = above * (1 - down)[:, None] + below * down[:, None]
    return np.where(inside, values, np.float32(0))


def neighbours_of(at: AnyArray, size: int) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The two elements that each place lies between, int64, and the later one's share, float32."""
    low = np.floor(at)
    first = low.clip(0, size - 1).astype(np.int64)
    last = (low + 1).clip(0, size - 1).astype(np.int64)
    return first, last, (at.clip(0, size - 1) - first).astype(np.float32)


ROI_ALIGN = replace(
    cascade_op(
        "ROIAlign",
        Arity((2, 2), (1, 1)),
        _parse_align,
        _align_shape,
        _align,
        dynamic=False,
        family="pooling",
    ),
    reading=sampled_reading,
)

OPS = (ROI_ALIGN,)
