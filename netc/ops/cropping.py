"""Layers that take a part of a blob: Crop, AutoCrop, CropCenter.

crop_layer.cpp of BVLC; of longjon/caffe@future for AutoCrop; crop_center_layer.cpp of
lltcggie/caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape, show
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import Arrays
from netc.ops.axes import axis_in, no_axis
from netc.ops.define import (
    WHOLE,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    Window,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import check_number
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class CropParams:
    """Crop: axes from ``axis`` on get the second bottom's sizes.

    Args:
        axis: the first axis that is cropped; negative counts from the end.
        offset: elements left out before the part, one for each cropped axis or one for all; 0 if
            empty.
        aligned: the offset is still to be computed from the coordinates of the two bottoms
            (netc/analysis/alignment.py).
    """

    axis: int = 2
    offset: tuple[int, ...] = ()
    aligned: bool = False


def _parse_crop(layer: Message, context: LayerContext) -> CropParams:
    message = reject_unknown_fields(layer.get("crop_param"), "axis", "offset")
    return CropParams(message.get("axis"), message.get("offset"))


def _parse_auto_crop(layer: Message, context: LayerContext) -> CropParams:
    """The crop of FCN's first release (V1 ``CROP``) and of RCF (``AutoCrop``): it has no fields."""
    reject_unknown_fields(layer.get("crop_param"))
    return CropParams(aligned=True)


def crop_offsets(params: CropParams | CropCenterParams, shape: Shape) -> tuple[int, ...]:
    """Where the crop begins: an offset for each axis of the first bottom, 0 for those not cropped.

    Raises:
        ShapeError: the bottom has no axis ``axis``, or another number of axes than offsets.
    """
    axis = axis_in(shape, params.axis, "crop_param.axis")
    cropped = len(shape) - axis
    if len(params.offset) > 1 and len(params.offset) != cropped:
        raise ShapeError(
            f"{len(params.offset)} `offset` are given, and from `axis` {params.axis} on "
            f"{show(shape)} has {cropped} axes",
            "crop_param.offset",
            ("give one for each of these axes, or one for all",),
        )
    offsets = params.offset or (0,)
    return (0,) * axis + (offsets if len(offsets) > 1 else offsets * cropped)


def _crop_shape(params: CropParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape, wanted = inputs
    offsets = crop_offsets(params, shape)
    axis = params.axis % len(shape)
    for i in range(axis, len(shape)):
        if i >= len(wanted):
            raise no_axis(wanted, i, "crop_param.axis")
        if shape[i] - offsets[i] < wanted[i]:
            raise ShapeError(
                f"axis {i} has {shape[i]} elements, and {wanted[i]} from offset {offsets[i]} on "
                "are asked for",
                "crop_param.offset",
                (f"bottom 0 is {show(shape)} and the size wanted is that of {show(wanted)}",),
            )
    return ((*shape[:axis], *wanted[axis : len(shape)]),)


def _crop(params: CropParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x, like = inputs
    sizes = _crop_shape(params, (x.shape, like.shape))[0]
    starts = crop_offsets(params, x.shape)
    return (x[tuple(slice(a, a + size) for a, size in zip(starts, sizes, strict=True))],)


def _crop_window(params: CropParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    """Each element sees the one at its place plus the offset: a negative pad."""
    if params.aligned:
        return WHOLE
    offsets = crop_offsets(params, inputs[0])[2:]
    ones = (1,) * len(offsets)
    return Window(ones, ones, tuple(-offset for offset in offsets), ones)


def _crops_nothing(params: CropParams, inputs: Sequence[Shape]) -> bool:
    return _crop_shape(params, inputs)[0] == inputs[0]


CROP = OpDef(
    name="Crop",
    identity=_crops_nothing,
    arity=Arity(bottoms=(2, 2), tops=(1, 1)),
    params=_parse_crop,
    shape=_crop_shape,
    reads=1,
    window=_crop_window,
    reference=_crop,
    family="reshaping",
    role=Role.CROP,
)

AUTO_CROP = replace(CROP, params=_parse_auto_crop)


@dataclass(frozen=True, slots=True)
class CropCenterParams:
    """CropCenter: ``offset`` elements are cut off both ends of each axis."""

    offset: tuple[int, ...]
    axis: int = 0


def _parse_crop_center(layer: Message, context: LayerContext) -> CropCenterParams:
    """crop_center_layer.cpp of lltcggie/caffe, which waifu2x's nets were trained with."""
    message = reject_unknown_fields(layer.get("crop_center_param"), "crop_size")
    for index, size in enumerate(message.get("crop_size")):
        check_number(message, "crop_size", size, 0, index)
    return CropCenterParams(message.get("crop_size"))


def _crop_center_shape(params: CropCenterParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    (shape,) = inputs
    field = "crop_center_param.crop_size"
    if not shape or len(params.offset) != len(shape):
        raise ShapeError(
            f"{len(params.offset)} `crop_size` are given, and {show(shape)} has {len(shape)} axes",
            field,
            ("give one for each axis, 0 where nothing is cut",),
        )
    for axis, (size, cut) in enumerate(zip(shape, params.offset, strict=True)):
        if 2 * cut >= size:
            raise ShapeError(
                f"axis {axis} has {size} elements, and `crop_size` {cut} takes {2 * cut} of them",
                field,
                (f"`crop_size` may be at most {max(0, (size - 1) // 2)} there",),
            )
    return (tuple(size - 2 * cut for size, cut in zip(shape, params.offset, strict=True)),)


def _crop_center(params: CropCenterParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    sizes = zip(params.offset, x.shape, strict=True)
    return (x[tuple(slice(cut, size - cut) for cut, size in sizes)],)


def _crop_center_window(
    params: CropCenterParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    ones = (1,) * len(params.offset[2:])
    return Window(ones, ones, tuple(-cut for cut in params.offset[2:]), ones)


def _cuts_nothing(params: CropCenterParams, inputs: Sequence[Shape]) -> bool:
    return not any(params.offset)


CROP_CENTER = OpDef(
    name="CropCenter",
    identity=_cuts_nothing,
    arity=ONE_TO_ONE,
    params=_parse_crop_center,
    shape=_crop_center_shape,
    window=_crop_center_window,
    reference=_crop_center,
    family="reshaping",
)
OTHER_NAMES = {"AutoCrop": AUTO_CROP}

OPS = (CROP, CROP_CENTER)
