"""Upsample: SegNet's, by the mask of a max pooling, and the one of YOLO's forks.

upsample_layer.cpp. SegNet's has two bottoms and puts each element back where pooling found it; the
other has one bottom and repeats each element. A third has a size or two factors (sized_upsampling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes
from netc.ops.contents import Contents, Whole
from netc.ops.define import WHOLE, Arity, LayerContext, OpDef, ShapeError, Window
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.forks.sized_upsampling import sized_reading
from netc.ops.numbers import LARGEST, lone, number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class UpsampleParams:
    """Parameters of Upsample.

    Args:
        masked: whether the second bottom has each element's index in its plane (SegNet).
        scale: factors of height and width.
        size: the top's height and width, in place of the factors.
        short: subtracted from height and width, for pooled inputs of odd size (``pad_out_h``).
    """

    masked: bool
    scale: tuple[int, int] = (2, 2)
    size: tuple[int, int] | None = None
    short: tuple[int, int] = (0, 0)


_SIZES = ("scale", "scale_h", "scale_w", "upsample_h", "upsample_w", "pad_out_h", "pad_out_w")


def _parse_upsample(layer: Message, context: LayerContext) -> UpsampleParams:
    if context.bottoms == 1:
        message = reject_unknown_fields(layer.get("upsample_param"), "scale")
        factor = _scale(message, 1, 1)
        return UpsampleParams(False, (factor, factor))
    message = reject_unknown_fields(layer.get("upsample_param"), *_SIZES)
    if message.has("upsample_h") and message.has("upsample_w"):
        size = (number(message, "upsample_h", 2), number(message, "upsample_w", 2))
        return UpsampleParams(True, size=size)
    scale = _mask_scale(message)
    short = (int(message.get("pad_out_h")), int(message.get("pad_out_w")))
    for name, odd, factor in zip(("pad_out_h", "pad_out_w"), short, scale, strict=True):
        if odd and factor != 2:
            raise message.error(
                name,
                "conflicting-fields",
                f"`{name}` is for a scale of 2, and it is {factor}",
                "write the size as `upsample_h` and `upsample_w`",
            )
    return UpsampleParams(True, scale, short=short)


def _mask_scale(message: Message) -> tuple[int, int]:
    for name, other in (("scale_h", "scale_w"), ("scale_w", "scale_h")):
        if message.has(name) and not message.has(other):
            raise lone(message, name, other)
    if not message.has("scale_h"):
        factor = _scale(message, 2, 2)
        return (factor, factor)
    return (number(message, "scale_h", 2), number(message, "scale_w", 2))


def _scale(message: Message, default: int, minimum: int) -> int:
    """``scale`` as a whole number; the forks differ in its type and in its default."""
    value = message.get("scale") if message.has("scale") else default
    if not (minimum <= value <= LARGEST and value == int(value)):  # a nan is in no range
        raise bad_value(message, "scale", f"must be a whole number of at least {minimum}")
    return int(value)


def _upsample_shape(params: UpsampleParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if params.masked:
        _check_mask(shape, inputs[1])
    need_axes(shape, 2, "Upsample")
    size = params.size or tuple(
        size * factor - short
        for size, factor, short in zip(shape[-2:], params.scale, params.short, strict=True)
    )
    return ((*shape[:-2], *size),)


def _check_mask(shape: Shape, mask: Shape) -> None:
    if len(shape) != 4 or mask != shape:
        raise ShapeError(
            f"the mask must have the bottom's 4 axes: the bottom is {show(shape)} and the mask "
            f"is {show(mask)}",
            help=("the mask is the second top of a Pooling layer with `pool: MAX`",),
        )


def _upsample(params: UpsampleParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x = inputs[0]
    shape = _upsample_shape(params, [array.shape for array in inputs])[0]
    if params.masked:
        return (_put_back(x, inputs[1], shape),)
    high, wide = params.scale
    return (x.repeat(high, axis=-2).repeat(wide, axis=-1),)


def _upsample_contents(
    params: UpsampleParams, inputs: Sequence[Shape]
) -> Sequence[Contents | None]:
    (shape,) = _upsample_shape(params, inputs)
    return None, Whole(count(shape, 2)) if params.masked else None


def _put_back(x: AnyArray, mask: AnyArray, shape: Shape) -> AnyArray:
    """Each element at its index in its plane, zero elsewhere; of equal indices the last stays.

    Raises:
        NetcError: index-out-of-range; pooling had an input of another size.
    """
    xp, places = namespace(x), count(shape[2:])
    where = mask.astype(np.int64).reshape(-1, count(x.shape[2:]))
    wrong = (where < 0) | (where >= places)
    if wrong.any():
        raise NetcError(
            Diagnostic(
                "index-out-of-range",
                f"the mask names element {int(where[wrong][0])} of a plane of {show(shape[2:])}, "
                f"whose elements are 0 to {places - 1}",
                help=("write the pooled layer's input size as `upsample_h` and `upsample_w`",),
            )
        )
    planes = xp.zeros((len(where), places), dtype=x.dtype)
    planes[xp.arange(len(where))[:, None], where] = x.reshape(where.shape)
    return planes.reshape(shape)


def _upsample_window(
    params: UpsampleParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    """Each element spreads over its block; a mask puts it somewhere in there."""
    if params.size is not None or len(inputs[0]) != 4:
        return WHOLE
    return Window(params.scale, params.scale, (0, 0), (1, 1), fractional=True)


UPSAMPLE = OpDef(
    name="Upsample",
    arity=Arity(bottoms=(1, 2), tops=(1, 1)),
    params=_parse_upsample,
    shape=_upsample_shape,
    window=_upsample_window,
    reference=_upsample,
    contents=_upsample_contents,
    family="pooling",
    reading=sized_reading,
)

OPS = (UPSAMPLE,)
