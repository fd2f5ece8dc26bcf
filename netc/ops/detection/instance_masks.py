"""ROIWarping, MaskPooling and MaskResize of multi-task network cascades (Dai et al. 2016, MNC).

roi_warping_layer.cu, mask_pooling_layer.cu and mask_resize_layer.cu of daijifeng001/caffe-mnc. A
region is a row of image, x_min, y_min, x_max, y_max in the image's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import Contents, Regions
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent, no_params
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class WarpingParams:
    """ROIWarping: the top is (regions, channels, ``pooled_h``, ``pooled_w``).

    ``spatial_scale`` is the bottom's elements for each pixel of the image.
    """

    pooled_h: int
    pooled_w: int
    spatial_scale: float


def _parse_warping(layer: Message, context: LayerContext) -> WarpingParams:
    p = reject_unknown_fields(
        layer.get("roi_warping_param"), "pooled_h", "pooled_w", "spatial_scale"
    )
    return WarpingParams(
        required_number(p, "pooled_h"), required_number(p, "pooled_w"), p.get("spatial_scale")
    )


def _warping_shape(params: WarpingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, regions = inputs
    if len(data) != 4:
        raise ShapeError(f"the first bottom must have 4 axes, it is {show(data)}")
    if not regions or len(regions) > 4 or count(regions, 1) != 5:
        raise ShapeError(f"the regions must be rows of 5, the bottom is {show(regions)}")
    return ((regions[0], data[1], params.pooled_h, params.pooled_w),)


def between(at: AnyArray, size: int) -> AnyArray:
    """Linear interpolation along an axis as a matrix (places, size).

    Args:
        at: places, in elements; beyond the edge by up to half an element they have its value,
            farther away 0.
        size: elements of the axis.
    """
    inside = (at >= -0.5) & (at <= size - 0.5)
    at = at.clip(0, size - 1)
    low = np.minimum(at.astype(np.int64), size - 1)
    part = np.where(inside, at - low, 0)
    shares = np.zeros((len(at), size))
    rows = np.arange(len(at))
    np.add.at(shares, (rows, low), np.where(inside, 1 - part, 0))
    np.add.at(shares, (rows, np.minimum(low + 1, size - 1)), part)
    return shares


def warped_shares(
    params: WarpingParams, region: AnyArray, size: Shape
) -> tuple[AnyArray, AnyArray]:
    """Interpolation matrices of one region, (pooled_h, rows) and (pooled_w, columns).

    Args:
        params: the layer's parameters.
        region: image, x_min, y_min, x_max, y_max, in pixels.
        size: rows and columns of the bottom.
    """
    ends = np.copysign(
        np.floor(np.abs(region[1:] * np.float32(params.spatial_scale)) + 0.5), region[1:]
    )
    x0, y0, x1, y1 = ends.astype(np.float32)
    high, wide = max(y1 - y0, 0), max(x1 - x0, 0)
    rows = y0 + np.arange(params.pooled_h, dtype=np.float32) * np.float32(high / params.pooled_h)
    columns = x0 + np.arange(params.pooled_w, dtype=np.float32) * np.float32(wide / params.pooled_w)
    return between(rows, size[0]), between(columns, size[1])


def _warp(params: WarpingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Values between four elements at the corners of a region's cells."""
    data, regions = (np.asarray(array) for array in inputs)
    top = np.zeros(_warping_shape(params, [data.shape, regions.shape])[0], data.dtype)
    for at, region in enumerate(regions.reshape(len(regions), 5)):
        down, across = warped_shares(params, region, data.shape[2:])
        image = region_image(region, len(data))
        top[at] = down @ data[image] @ across.T
    return (top,)


def region_image(region: AnyArray, images: int) -> int:
    """Index of the image that a region is of, clipped to the ``images`` of the batch."""
    return int(np.clip(region[0], 0, images - 1))


def _regions(params: WarpingParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    data = inputs[0]
    scale = params.spatial_scale or 1.0
    return None, Regions(data[0], int(data[2] / scale), int(data[3] / scale))


ROI_WARPING = OpDef(
    name="ROIWarping",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_warping,
    shape=_warping_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(8),
    reference=_warp,
    contents=_regions,
    family="pooling",
    host=True,
)


def _pooling_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, mask = inputs
    if len(data) != 4 or mask != (data[0], 1, *data[2:]):
        raise ShapeError(
            f"the mask of {show(data)} must have one channel of its places, it is {show(mask)}"
        )
    return (data,)


def _mask_pooling(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (inputs[0] * inputs[1],)


MASK_POOLING = OpDef(
    name="MaskPooling",
    arity=Arity((2, 2), (1, 1)),
    params=no_params,
    shape=_pooling_shape,
    cost=per_output(1),
    reference=_mask_pooling,
    family="joining",
)


@dataclass(frozen=True, slots=True)
class MaskResizeParams:
    """MaskResize: bilinear resizing to this height and width.

    A factor (SSTD's Caffe) that is not 0 takes their place: the size is that part of the bottom's,
    rounded down in float32.
    """

    height: int
    width: int
    factor_height: float = 0.0
    factor_width: float = 0.0

    def size(self, shape: Shape) -> tuple[int, int]:
        """Height and width of the top for a bottom of this shape."""
        found = tuple(
            int(np.float32(size) * np.float32(factor)) if factor > 0 else fixed
            for size, factor, fixed in (
                (shape[2], self.factor_height, self.height),
                (shape[3], self.factor_width, self.width),
            )
        )
        return found[0], found[1]


def _parse_resize(layer: Message, context: LayerContext) -> MaskResizeParams:
    p = reject_unknown_fields(
        layer.get("mask_resize_param"),
        *("output_height", "output_width", "factor_height", "factor_width"),
    )
    return MaskResizeParams(
        required_number(p, "output_height"),
        required_number(p, "output_width"),
        fork_field(p, "factor_height", 0.0),
        fork_field(p, "factor_width", 0.0),
    )


def _resize_shape(params: MaskResizeParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if len(inputs[0]) != 4:
        raise ShapeError(f"MaskResize takes 4 axes, and the bottom is {show(inputs[0])}")
    height, width = params.size(inputs[0])
    if not height or not width:
        raise ShapeError(f"the top would be {height}x{width}", "mask_resize_param.factor_height")
    return ((*inputs[0][:2], height, width),)


def resized_shares(params: MaskResizeParams, shape: Shape) -> tuple[AnyArray, AnyArray]:
    """Interpolation matrices (height, rows) and (width, columns) for a bottom of this shape.

    Place i reads element i * rows / height, so that the first ones lie on each other.
    """
    height, width = params.size(shape)
    return (
        between(np.arange(height) * (shape[2] / height), shape[2]),
        between(np.arange(width) * (shape[3] / width), shape[3]),
    )


def _resize(params: MaskResizeParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    down, across = resized_shares(params, x.shape)
    return ((down @ x @ across.T).astype(x.dtype),)


MASK_RESIZE = OpDef(
    name="MaskResize",
    arity=Arity((1, 1), (1, 1)),
    params=_parse_resize,
    shape=_resize_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(8),
    reference=_resize,
    family="pooling",
    host=True,
)

OPS = (ROI_WARPING, MASK_POOLING, MASK_RESIZE)
