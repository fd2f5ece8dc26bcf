"""Hotspot and SubRegion of happynear/caffe-windows: maps and cuts around points of faces.

hotspot_layer.cpp and subregion_layer.cpp there. A bottom of points has x and y of each in turn, in
pixels of the data layer's pictures, from the picture's middle unless the text says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class HotspotParams:
    """A bell around each point, in a map of its own.

    Args:
        deviation: of the bell, in pixels of the map.
        size: height and width of the maps; None for those of a second bottom.
        data: height and width of the data layer's pictures.
        centred: points count from the picture's middle.
    """

    deviation: float
    size: tuple[int, int] | None
    data: tuple[int, int]
    centred: bool


def _sizes(message: Message, what: str) -> tuple[int, int]:
    return message.get(f"{what}_height"), message.get(f"{what}_width")


def _data_size(message: Message) -> tuple[int, int]:
    """Height and width of the data layer's pictures.

    Raises:
        NetcError: missing-field, where one of them is 0 or not written.
    """
    size = _sizes(message, "data")
    for name, value in zip(("data_height", "data_width"), size, strict=True):
        if not value:
            raise _missing(message, name, "the size of the data layer's pictures is needed")
    return size


def _missing(message: Message, field: str, why: str) -> NetcError:
    return message.error(field, "missing-field", f"`{field}` is not given: {why}", f"add `{field}`")


def _parse_hotspot(layer: Message, context: LayerContext) -> HotspotParams:
    message = reject_unknown_fields(
        layer.get("hotspot_param"),
        *("gaussian_std", "output_height", "output_width", "data_height", "data_width"),
        "mean_removed",
    )
    size = _sizes(message, "output")
    if not all(size) and context.bottoms < 2:
        raise _missing(message, "output_height", "the maps' size is that of a second bottom, or it")
    if message.get("gaussian_std") == 0:
        raise message.error(
            "gaussian_std", "out-of-range", "`gaussian_std` is 0, and is divided by", "1 is usual"
        )
    return HotspotParams(
        message.get("gaussian_std"),
        size if all(size) else None,
        _data_size(message),
        message.get("mean_removed"),
    )


def _points(shape: Shape) -> int:
    """How many points each item of a bottom has."""
    need_axes(shape, 2, "a bottom of points")
    if shape[1] % 2 or count(shape, 2) != 1:
        raise ShapeError(f"x and y of each point are needed along axis 1 of {show(shape)}")
    return shape[1] // 2


def _hotspot_shape(params: HotspotParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    points = _points(inputs[0])
    size = params.size
    if size is None:
        need_axes(inputs[1], 4, "the bottom that has the maps' size")
        size = (inputs[1][2], inputs[1][3])
    return ((inputs[0][0], points, *size),)


def _hotspot(params: HotspotParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """exp(-d^2 / (2 s^2)) / (2 pi s^2), d from the point; 0 where that is at most 1e-4."""
    xp, points = namespace(inputs[0]), inputs[0].reshape(len(inputs[0]), -1, 2)
    ((*_, height, width),) = _hotspot_shape(params, [a.shape for a in inputs])
    kind = points.dtype.type
    half = kind(0.5 if params.centred else 0)
    x = (points[..., 0] / kind(params.data[1]) + half) * kind(width)
    y = (points[..., 1] / kind(params.data[0]) + half) * kind(height)
    across = (x[..., None] - xp.arange(width, dtype=points.dtype)) ** 2
    down = (y[..., None] - xp.arange(height, dtype=points.dtype)) ** 2
    square = kind(params.deviation) ** 2
    bell = xp.exp(-(across[:, :, None, :] + down[:, :, :, None]) / (2 * square))
    bell = bell * (kind(0.5 / np.pi) / square)
    return (xp.where(bell > np.float32(1e-4), bell, kind(0)).astype(points.dtype),)


HOTSPOT = OpDef(
    name="Hotspot",
    arity=Arity((1, 2), (1, 1)),
    params=_parse_hotspot,
    shape=_hotspot_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(4),
    reference=_hotspot,
    family="other",
)


@dataclass(frozen=True, slots=True)
class SubRegionParams:
    """A cut of a map around each point.

    Args:
        height, width: of the cut.
        data: height and width of the data layer's pictures.
        joined: cuts lie along the channels; else they are items, all of the first point first.
        tops: 3 gives the points' distances from the cuts' middles, and these middles too.
    """

    height: int
    width: int
    data: tuple[int, int]
    joined: bool
    tops: int


def _parse_sub_region(layer: Message, context: LayerContext) -> SubRegionParams:
    message = reject_unknown_fields(
        layer.get("sub_region_param"),
        *("region_height", "region_width", "data_height", "data_width", "as_dim"),
    )
    for name in ("region_height", "region_width"):
        if not message.get(name):
            raise _missing(message, name, "the size of a cut is needed")
    return SubRegionParams(
        message.get("region_height"),
        message.get("region_width"),
        _data_size(message),
        bool(message.get("as_dim")),
        context.tops,
    )


def _sub_region_shape(params: SubRegionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    image, points, truth = inputs
    need_axes(image, 4, "SubRegion")
    number = _points(points)
    if points[0] != image[0] or count(truth) != count(points):
        raise ShapeError(
            f"as many points as true ones of each item are needed: {show(points)} and "
            f"{show(truth)} of {show(image)}"
        )
    items, channels = image[:2]
    kept = (items, channels * number) if params.joined else (items * number, channels)
    return ((*kept, params.height, params.width), points, points)[: params.tops]


def sub_region_starts(params: SubRegionParams, image: Shape, points: AnyArray) -> AnyArray:
    """The first column and row of each cut, whole float numbers (items, points, 2)."""
    xp, kind = namespace(points), points.dtype.type
    data, size = (np.array(s[::-1], points.dtype) for s in (params.data, image[2:4]))
    half = np.array([params.width // 2, params.height // 2], points.dtype)
    middles = (points.reshape(image[0], -1, 2) / data + kind(0.5)) * size
    return xp.floor(middles - half)


def sub_region_places(params: SubRegionParams, image: Shape, points: AnyArray) -> AnyArray:
    """Of each element of the cuts its place in a plane of the image; height * width is outside.

    (items, points, height, width), int64.
    """
    starts = sub_region_starts(params, image, points)
    far = float(max(*image[2:], params.height, params.width) + 1)
    starts = np.clip(np.nan_to_num(starts, nan=-far), -far, far).astype(np.int64)
    rows = starts[..., 1, None, None] + np.arange(params.height)[:, None]
    columns = starts[..., 0, None, None] + np.arange(params.width)
    inside = (rows >= 0) & (rows < image[2]) & (columns >= 0) & (columns < image[3])
    return np.where(inside, rows * image[3] + columns, image[2] * image[3])


def _sub_region(params: SubRegionParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    image, points, truth = (np.asarray(a) for a in inputs)
    items, channels = image.shape[:2]
    places = sub_region_places(params, image.shape, points)
    flat = np.zeros((items, channels, count(image.shape, 2) + 1), image.dtype)  # the last: outside
    flat[:, :, :-1] = image.reshape(items, channels, -1)
    cuts = np.stack([plane[:, own] for plane, own in zip(flat, places, strict=True)], axis=0)
    order = (0, 2, 1, 3, 4) if params.joined else (2, 0, 1, 3, 4)
    shape = _sub_region_shape(params, [a.shape for a in inputs])[0]
    made = (cuts.transpose(order).reshape(shape),)
    if params.tops < 2:
        return made
    offset, middle = _offsets(params, image.shape, points, truth)
    return (*made, offset, middle)[: params.tops]


def _offsets(
    params: SubRegionParams, image: Shape, points: AnyArray, truth: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """The true points from their cuts' middles, and these from the picture's corner, in pixels."""
    kind = points.dtype
    half = np.array([params.width / 2 + 0.5, params.height / 2 + 0.5], kind)
    data, size = (np.array(s[::-1], kind) for s in (params.data, image[2:4]))
    middle = (sub_region_starts(params, image, points) + half) / size * data
    corner = np.array([side // 2 for side in params.data[::-1]], kind)
    offset = truth.reshape(middle.shape) + corner - middle
    return offset.reshape(points.shape), middle.reshape(points.shape)


SUB_REGION = OpDef(
    name="SubRegion",
    arity=Arity((3, 3), (1, 3)),
    params=_parse_sub_region,
    shape=_sub_region_shape,
    cost=per_output(1),
    window=full_extent,
    memory=copies(4),
    reference=_sub_region,
    family="other",
    host=True,
)

OPS = (HOTSPOT, SUB_REGION)
