"""Im2col: the input elements under each place of a window, as channels (im2col_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.columns import as_images, window_columns
from netc.ops.convolution_params import (
    CONVOLUTION_FIELDS,
    IDLE_FIELDS,
    Im2colParams,
    channel_axis,
    convolution_axes,
    convolution_window,
)
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.window import (
    parse_window,
    taps,
    taps_memory,
)
from netc.schema.message import Message


def _im2col_memory(params: Im2colParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return copies(1)(params, inputs, outputs) + taps_memory(convolution_axes(params, inputs[0]))


def _parse_im2col(layer: Message, context: LayerContext) -> Im2colParams:
    message = reject_unknown_fields(
        layer.get("convolution_param"), *CONVOLUTION_FIELDS, *IDLE_FIELDS
    )
    return Im2colParams(parse_window(message), message.get("axis"))


def _im2col_shape(params: Im2colParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    (shape,) = inputs
    channels = channel_axis(params.axis, shape)
    if channels == len(shape) - 1:
        raise ShapeError(
            f"Im2col needs a spatial axis after axis {channels}, and the bottom has "
            f"{len(shape)} axes",
            "convolution_param.axis",
        )
    axes = convolution_axes(params, shape)
    kernel = count(tuple(axis.kernel for axis in axes))
    spatial = tuple(axis.out for axis in axes)
    return ((*shape[:channels], shape[channels] * kernel, *spatial),)


def _im2col(params: Im2colParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    (x,) = inputs
    axes = convolution_axes(params, x.shape)
    images = as_images(x, params.axis, [axis.size for axis in axes])
    (shape,) = _im2col_shape(params, (x.shape,))
    y = namespace(x).empty((len(images), count(shape) // max(1, len(images))), dtype=x.dtype)
    met, places = taps(axes), tuple(axis.out for axis in axes)
    for image, result in zip(images, y, strict=True):
        result[:] = window_columns(image, met, axes, places).reshape(-1)
    return (y.reshape(shape),)


IM2COL = OpDef(
    name="Im2col",
    arity=Arity(bottoms=(1, 1), tops=(1, 1)),
    params=_parse_im2col,
    shape=_im2col_shape,
    window=convolution_window,
    reference=_im2col,
    memory=_im2col_memory,
    family="convolution",
)

OPS = (IM2COL,)
