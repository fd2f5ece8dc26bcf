"""Interp: bilinear resizing of DeepLab's and PSPNet's Caffe (interp_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.diagnostics import NetcError
from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, Namespace, namespace
from netc.ops.cost import per_output
from netc.ops.define import POINTWISE, WHOLE, Arity, LayerContext, OpDef, ShapeError, Window, copies
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import lone, number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class InterpParams:
    """Bilinear resizing in which the corner elements stay in the corners.

    Args:
        size: the top's height and width; None where they follow from the other fields.
        shrink: the size is (size - 1) / ``shrink`` + 1.
        zoom: then (size - 1) * ``zoom`` + 1.
        crop: rows and columns cut off at the beginning and at the end, before.
        full: the size is multiplied by it; 0 where it is not given (ICNet's field).
        like: the top has the second bottom's height and width.
        times: factors of height and width, in place of all others but ``crop``.
    """

    size: tuple[int, int] | None = None
    shrink: int = 1
    zoom: int = 1
    crop: tuple[int, int] = (0, 0)
    full: int = 0
    like: bool = False
    times: tuple[int, int] | None = None


def _parse_interp(layer: Message, context: LayerContext) -> InterpParams:
    message = reject_unknown_fields(
        layer.get("interp_param"),
        *("height", "width", "zoom_factor", "shrink_factor", "pad_beg", "pad_end"),
        *("use_blob_size", "full_zoom_factor"),
    )
    crop = (_crop(message, "pad_beg"), _crop(message, "pad_end"))
    if context.bottoms == 2:
        return InterpParams(crop=crop, like=True)
    if message.get("use_blob_size"):
        raise layer.error(
            "bottom", "bottom-count", "`use_blob_size` takes the size of a second bottom"
        )
    if message.has("full_zoom_factor"):
        return InterpParams(crop=crop, full=number(message, "full_zoom_factor", 1))
    factors = message.has("shrink_factor") + message.has("zoom_factor")
    sized = message.has("height") and message.has("width")
    if sized and factors != 1:  # one factor alone goes before a size, both go after it
        size = (number(message, "height", 1), number(message, "width", 1))
        return InterpParams(size, crop=crop)
    if not factors:
        raise _no_size(message)
    shrink, zoom = number(message, "shrink_factor", 1), number(message, "zoom_factor", 1)
    return InterpParams(None, shrink, zoom, crop)


def _parse_bilinear(layer: Message, context: LayerContext) -> InterpParams:
    """BilinearInterpolation (interpolation_layers.hpp): by a factor, or a second bottom's size."""
    message = reject_unknown_fields(
        layer.get("bilinear_interpolation_param"), "interpolation_factor"
    )
    if context.bottoms == 2:
        return InterpParams(like=True)
    if not message.has("interpolation_factor"):
        raise message.error(
            None,
            "missing-field",
            "BilinearInterpolation's size is not given",
            "write `interpolation_factor`, or give a second bottom of the wanted size",
        )
    return InterpParams(full=number(message, "interpolation_factor", 1))


def _crop(message: Message, name: str) -> int:
    """Padding is written as a number of rows; negative ones crop, others are not supported."""
    if message.get(name) > 0:
        raise bad_value(message, name, "must be at most 0", "a negative padding crops")
    return -int(message.get(name))


def _no_size(message: Message) -> NetcError:
    for name, other in (("height", "width"), ("width", "height")):
        if message.has(name):
            return lone(message, name, other)
    return message.error(
        None,
        "missing-field",
        "Interp's size is not given",
        "write `height` and `width`, or `zoom_factor`, or `shrink_factor`",
    )


def _interp_shape(params: InterpParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if len(shape) != 4:
        raise ShapeError(f"Interp takes 4 axes, and the bottom is {show(shape)}")
    sizes = [size - sum(params.crop) for size in shape[2:]]
    for size in sizes:
        if size < 1:
            raise ShapeError(
                f"`pad_beg` {-params.crop[0]} and `pad_end` {-params.crop[1]} leave nothing of "
                f"{show(shape[2:])}",
                "interp_param.pad_beg",
            )
    if params.size is not None:
        return ((*shape[:2], *params.size),)
    if params.like:
        if len(inputs) < 2 or len(inputs[1]) != 4:
            raise ShapeError(f"the size is that of 4 axes, and they are {show(inputs[-1])}")
        return ((*shape[:2], *inputs[1][2:]),)
    if params.times is not None:
        return ((*shape[:2], *(a * b for a, b in zip(sizes, params.times, strict=True))),)
    if params.full:
        return ((*shape[:2], *(size * params.full for size in sizes)),)
    return ((*shape[:2], *(_resized(params, size) for size in sizes)),)


def _resized(params: InterpParams, size: int) -> int:
    kept = (size - 1) // params.shrink + 1
    return (kept - 1) * params.zoom + 1


def _interp(params: InterpParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x = inputs[0]
    out = _interp_shape(params, [array.shape for array in inputs])[0][2:]
    begin, end = params.crop
    x = x[:, :, begin : x.shape[2] - end, begin : x.shape[3] - end]
    if x.shape[2:] == out:
        return (x,)
    with np.errstate(invalid="ignore"):
        return (between(between(x, out[1], 3), out[0], 2),)


def neighbours(seen: int, made: int, xp: Namespace | None = None) -> tuple[AnyArray, AnyArray]:
    """Of each new element the lower one of the two it lies between, int64, and the upper's share.

    Args:
        seen: elements of the axis before.
        made: elements of the axis after.
        xp: the array library; None for NumPy.
    """
    xp = xp or namespace()
    ratio = np.float32(seen - 1) / np.float32(made - 1) if made > 1 else np.float32(0)
    place = xp.arange(made, dtype=np.float32) * ratio
    low = xp.minimum(place.astype(np.int64), seen - 1)
    return low, place - low.astype(np.float32)


def between(x: AnyArray, size: int, axis: int) -> AnyArray:
    """Resize one axis: each element between its two neighbours, the corners kept in place."""
    xp, last = namespace(x), x.shape[axis] - 1
    low, share = neighbours(last + 1, size, xp)
    share = share.reshape((-1,) + (1,) * (x.ndim - axis - 1))
    high = xp.minimum(low + 1, last)
    result: AnyArray = (1 - share) * xp.take(x, low, axis=axis) + share * xp.take(
        x, high, axis=axis
    )
    return result


def _interp_window(
    params: InterpParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    """Exact for whole factors: every so-manieth element, or the triangle of a deconvolution."""
    seen, made = inputs[0][2:], outputs[0][2:]
    if any(params.crop) or 1 in seen or 1 in made:
        return WHOLE
    if seen == made:
        return POINTWISE
    steps = [(a - 1, b - 1) for a, b in zip(seen, made, strict=True)]
    if all(a % b == 0 for a, b in steps):
        return Window((1, 1), tuple(a // b for a, b in steps), (0, 0), (1, 1))
    if all(b % a == 0 for a, b in steps):
        zoom = tuple(b // a for a, b in steps)
        kernel, pad = tuple(2 * z - 1 for z in zoom), tuple(z - 1 for z in zoom)
        return Window(kernel, zoom, pad, (1, 1), fractional=True)
    return WHOLE


def _interp_memory(params: InterpParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Some copies of the result, and of the input brought to its width."""
    between = (*inputs[0][:3], outputs[0][3])
    return copies(6)(params, inputs, (*outputs, between))


INTERP = OpDef(
    name="Interp",
    arity=Arity((1, 2), (1, 1)),
    params=_parse_interp,
    shape=_interp_shape,
    cost=per_output(9),
    window=_interp_window,
    reference=_interp,
    reads=1,
    memory=_interp_memory,
    family="pooling",
)

OPS = (INTERP,)
OTHER_NAMES = {"BilinearInterpolation": replace(INTERP, params=_parse_bilinear)}
