"""Upsample of Wulingtian/yolov5_caffe (upsample_layer.cpp): to a size, or by factors.

`mode: NEAREST` takes the nearest element, and else the result lies between four elements, which is
an Interp. A second bottom gives the top's height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes
from netc.ops.define import Arity, LayerContext, OpDef, TypeReading, erased, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.forks.resizing import INTERP, InterpParams
from netc.ops.numbers import number
from netc.schema.message import Message

_FIELDS = ("height", "width", "height_scale", "width_scale", "mode")


@dataclass(frozen=True, slots=True)
class SizedUpsampleParams:
    """The top's height and width, else factors of them, else those of the second bottom."""

    size: tuple[int, int] | None = None
    scale: tuple[int, int] | None = None


def is_sized(layer: Message) -> bool:
    """Whether an Upsample has this fork's fields."""
    given = layer.get("upsample_param").entries
    return any(name in given for name in _FIELDS)


def sizes_of(layer: Message, context: LayerContext) -> SizedUpsampleParams:
    """What says the size.

    Raises:
        NetcError: unsupported-field, out-of-range or missing-field, at the layer's fields.
    """
    message = reject_unknown_fields(layer.get("upsample_param"), *_FIELDS)
    if context.bottoms == 2:
        return SizedUpsampleParams()
    if message.has("height") and message.has("width"):
        return SizedUpsampleParams((number(message, "height", 2), number(message, "width", 2)))
    if message.has("height_scale") and message.has("width_scale"):
        scale = (number(message, "height_scale", 2), number(message, "width_scale", 2))
        return SizedUpsampleParams(None, scale)
    raise message.error(
        None,
        "missing-field",
        "Upsample's size is not given",
        "write `height_scale` and `width_scale`, or `height` and `width`",
    )


def _bilinear(layer: Message, context: LayerContext) -> InterpParams:
    params = sizes_of(layer, context)
    return InterpParams(
        params.size, times=params.scale, like=params.size is None and params.scale is None
    )


def _shape(params: SizedUpsampleParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    for each in inputs:
        need_axes(each, 2, "Upsample")
    if params.scale is not None:
        high, wide = params.scale
        return ((*shape[:-2], shape[-2] * high, shape[-1] * wide),)
    return ((*shape[:-2], *(params.size or inputs[1][-2:])),)


def nearest(seen: int, made: int) -> AnyArray:
    """Which of an axis's elements each new one is."""
    return np.arange(made) * seen // made


def _sized(params: SizedUpsampleParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x = inputs[0]
    (shape,) = _shape(params, [array.shape for array in inputs])
    for axis in (-2, -1):
        places = namespace(x).asarray(nearest(x.shape[axis], shape[axis]))
        x = namespace(x).take(x, places, axis=axis)
    return (x,)


UPSAMPLE_SIZED = OpDef(
    name="UpsampleSized",
    arity=Arity(bottoms=(1, 2), tops=(1, 1)),
    params=sizes_of,
    shape=_shape,
    window=full_extent,
    reference=_sized,
    family="pooling",
)


def sized_reading(layer: Message) -> TypeReading | None:
    """What this fork's fields mean; None where they are not written, or the factors alone are."""
    if not is_sized(layer):
        return None
    if layer.get("upsample_param").get("mode") == "BILINEAR":
        return TypeReading(erased(replace(INTERP, params=_bilinear)))
    return TypeReading(erased(UPSAMPLE_SIZED))


READINGS = (UPSAMPLE_SIZED,)
