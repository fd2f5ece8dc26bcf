"""ROIPooling and PSROIPooling of the R-CNN forks.

roi_pooling_layer.cpp (Girshick, Fast R-CNN) and psroi_pooling_layer.cu (Dai et al., R-FCN). A
region is a row of image, x_min, y_min, x_max, y_max in pixels of the net's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Regions
from netc.ops.cost import per_output
from netc.ops.define import FLOAT, Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.region_bins import Bins, bins, greatest, images_of, offset_bins, rounded
from netc.ops.detection.region_shape import region_shape
from netc.ops.detection.window_pooling import window_reading
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ROIPoolingParams:
    """The maximum of each of ``pooled_h`` by ``pooled_w`` bins of a region.

    The top is (regions, channels, pooled_h, pooled_w). ``spatial_scale`` is the bottom's elements
    for each pixel of the net's input. MS-CNN's ``pad_ratio`` widens a region on each side by this
    part of its size.
    """

    pooled_h: int
    pooled_w: int
    spatial_scale: float
    pad_ratio: float = 0.0


def _parse_roi(layer: Message, context: LayerContext) -> ROIPoolingParams:
    names = ("pooled_h", "pooled_w", "spatial_scale", "pad_ratio")
    param = reject_unknown_fields(layer.get("roi_pooling_param"), *names)
    return ROIPoolingParams(
        required_number(param, "pooled_h"),
        required_number(param, "pooled_w"),
        param.get("spatial_scale"),
        fork_field(param, "pad_ratio", 0.0),
    )


def _roi_shape(params: ROIPoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (region_shape(inputs, params.pooled_h, params.pooled_w),)


def _region_contents(
    params: PSROIPoolingParams | ROIPoolingParams, inputs: Sequence[Shape]
) -> Sequence[Contents | None]:
    scale = params.spatial_scale or 1.0
    images, _, height, width = inputs[0]
    return None, Regions(images, height / scale, width / scale)


@quietly
def roi_bins(params: ROIPoolingParams, shape: Shape, rows: AnyArray) -> Bins:
    """The elements that each bin of ROIPooling covers, in a blob of this shape.

    Raises:
        NetcError: region-out-of-range, for a region of an image that is not in the batch.
    """
    regions = rows.reshape(-1, 5)
    images = images_of(regions, shape[0])
    pad = (regions[:, 3:] - regions[:, 1:3] + 1) * np.float32(params.pad_ratio)
    wider = np.concatenate([regions[:, 1:3] - pad, regions[:, 3:] + pad], axis=1)
    box = wider if params.pad_ratio else regions[:, 1:]
    corners = rounded(box * np.float32(params.spatial_scale))
    sizes = np.maximum(corners[:, 2:] - corners[:, :2] + 1, 1)
    high = offset_bins(corners[:, 1], sizes[:, 1], params.pooled_h, shape[2])
    wide = offset_bins(corners[:, 0], sizes[:, 0], params.pooled_w, shape[3])
    return Bins(images, high, wide)


@quietly
def _roi_pooling(params: ROIPoolingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data = inputs[0]
    images, rows, columns = roi_bins(params, data.shape, inputs[1])
    shape = (len(images), data.shape[1], params.pooled_h, params.pooled_w)
    output = np.zeros(shape, dtype=data.dtype)
    data = np.fmax(data, np.finfo(np.float32).min)  # where Caffe's search begins, passing over nan
    for at, image in enumerate(images):
        across = greatest(data[image], columns[0][at], columns[1][at], 2)
        output[at] = greatest(across, rows[0][at], rows[1][at], 1)
    return (np.where(np.isneginf(output), data.dtype.type(0), output),)


def _roi_memory(params: ROIPoolingParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """One region's columns before its rows, some copies of them."""
    _, channels, height, _ = inputs[0]
    across = 6 * FLOAT * channels * (height + 1) * params.pooled_w
    return copies(3)(params, inputs, outputs) + across


ROI_POOLING = OpDef(
    name="ROIPooling",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_roi,
    shape=_roi_shape,
    cost=per_output(1),
    window=full_extent,
    reference=_roi_pooling,
    memory=_roi_memory,
    contents=_region_contents,
    family="pooling",
    role=Role.REGION_POOLING,
    host=True,
    reading=window_reading,
)


@dataclass(frozen=True, slots=True)
class PSROIPoolingParams:
    """Position-sensitive pooling: bin (y, x) averages a group of channels of its own.

    The top is (regions, ``output_dim``, ``group_size``, ``group_size``); ``spatial_scale`` as in
    :class:`ROIPoolingParams`.
    """

    spatial_scale: float
    output_dim: int
    group_size: int


def _parse_psroi(layer: Message, context: LayerContext) -> PSROIPoolingParams:
    names = ("spatial_scale", "output_dim", "group_size")
    param = reject_unknown_fields(layer.get("psroi_pooling_param"), *names)
    if not param.get("spatial_scale") > 0:
        raise bad_value(param, "spatial_scale", "must be greater than 0")
    return PSROIPoolingParams(
        param.get("spatial_scale"),
        required_number(param, "output_dim"),
        required_number(param, "group_size"),
    )


def _psroi_shape(params: PSROIPoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, group = inputs[0], params.group_size
    regions, *_ = region_shape(inputs, group, group)
    if data[1] != params.output_dim * group * group:
        raise ShapeError(
            f"`output_dim` {params.output_dim} with `group_size` {group} needs "
            f"{params.output_dim * group * group} channels, the bottom is {show(data)}",
            "psroi_pooling_param.output_dim",
        )
    return ((regions, params.output_dim, group, group),)


@quietly
def psroi_bins(params: PSROIPoolingParams, shape: Shape, rows: AnyArray) -> Bins:
    """The elements that each bin of PSROIPooling covers, in a blob of this shape.

    Raises:
        NetcError: region-out-of-range, for a region of an image that is not in the batch.
    """
    regions, scale = rows.reshape(-1, 5), np.float32(params.spatial_scale)
    images = images_of(regions, shape[0])
    start = rounded(regions[:, 1:3]) * scale
    size = np.maximum((rounded(regions[:, 3:]) + 1) * scale - start, np.float32(0.1))
    high = bins(start[:, 1], size[:, 1], params.group_size, shape[2])
    wide = bins(start[:, 0], size[:, 0], params.group_size, shape[3])
    return Bins(images, high, wide)


@quietly
def _psroi_pooling(
    params: PSROIPoolingParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    data, group = inputs[0], params.group_size
    images, (y0, y1), (x0, x1) = psroi_bins(params, data.shape, inputs[1])
    sums = _range_sums(data, params.output_dim, group, images, (y0, y1, x0, x1))
    area = ((y1 - y0)[:, :, None] * (x1 - x0)[:, None, :])[:, None]
    empty = ((y1 <= y0)[:, :, None] | (x1 <= x0)[:, None, :])[:, None]
    means = sums / np.where(empty, 1, area)
    return (np.where(empty, 0, means).astype(data.dtype),)


def _range_sums(
    data: AnyArray,
    outputs: int,
    group: int,
    images: AnyArray,
    edges: tuple[AnyArray, AnyArray, AnyArray, AnyArray],
) -> AnyArray:
    """Sums over each region's bins, (regions, outputs, group, group), by a summed-area table."""
    table = np.pad(data.astype(np.float64), ((0, 0), (0, 0), (1, 0), (1, 0)))
    table = table.cumsum(axis=2).cumsum(axis=3)
    table = table.reshape(data.shape[0], outputs, group, group, *table.shape[2:])
    at = np.ix_(range(len(images)), range(outputs), range(group), range(group))
    picked = images[at[0]], *at[1:]
    y0, y1 = (edge[:, None, :, None] for edge in edges[:2])
    x0, x1 = (edge[:, None, None, :] for edge in edges[2:])
    lower = table[(*picked, y1, x1)] - table[(*picked, y1, x0)]
    result: AnyArray = lower - (table[(*picked, y0, x1)] - table[(*picked, y0, x0)])
    return result


PSROI_POOLING = OpDef(
    name="PSROIPooling",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_psroi,
    shape=_psroi_shape,
    cost=per_output(4),
    window=full_extent,
    reference=_psroi_pooling,
    memory=copies(10),
    contents=_region_contents,
    family="pooling",
    role=Role.REGION_POOLING,
    host=True,
)

OPS = (ROI_POOLING, PSROI_POOLING)
