"""Layers over depth (time), height and width whose fields are C3D's or R-C3D's.

``Convolution3D`` and ``Deconvolution3D`` are C3D's (Tran et al. 2015; convolution3d_layer.cpp and
deconvolution3d_layer.cpp of facebook/C3D), with ``kernel_depth``, ``temporal_stride`` and
``temporal_pad`` beside the sizes of the plane. ``NdConvolution`` and ``NdPooling`` are those of the
first Caffe with convolutions over any axes, with a shape for each quantity.
"""

from __future__ import annotations

from netc.ops.convolution_params import ConvolutionParams, checked_group
from netc.ops.define import LayerContext
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import parse_filler
from netc.ops.numbers import check_number, number, required_number
from netc.ops.window import Window
from netc.schema.message import Message

_OF_VOLUMES = (
    "num_output", "bias_term", "pad", "kernel_size", "group", "kernel_depth", "stride",
    "temporal_stride", "temporal_pad", "weight_filler", "bias_filler", "filter_group",
)  # fmt: skip


def parse_volume_convolution(layer: Message, context: LayerContext) -> ConvolutionParams:
    """The fields of C3D's Convolution3D and Deconvolution3D, in either message that has them.

    ``filter_group`` divides the work alone.

    Raises:
        NetcError: unsupported-field, missing-field, out-of-range, unknown-filler or bad-filler, at
            the field; group-mismatch, where `num_output` is no multiple of `group`.
    """
    own = "convolution3d_param" if layer.has("convolution3d_param") else "convolution_param"
    message = reject_unknown_fields(layer.get(own), *_OF_VOLUMES)
    plane, deep = _plane(message, "kernel_size", 1), required_number(message, "kernel_depth")
    stride, pad = _plane(message, "stride", 1, 1), _plane(message, "pad", 0, 0)
    return _convolution(
        message,
        Window(
            (deep, plane, plane),
            (number(message, "temporal_stride", 1), stride, stride),
            (number(message, "temporal_pad", 0), pad, pad),
        ),
    )


def _plane(message: Message, name: str, minimum: int, default: int | None = None) -> int:
    """The one value for height and width; the field takes several in BVLC Caffe."""
    entries = message.entries.get(name, ())
    if not entries:
        if default is None:
            return required_number(message, name)
        return default
    if len(entries) > 1:
        raise message.error(
            name,
            "value-count",
            f"`{name}` is given {len(entries)} times, and is one size for height and width",
            "time has a field of its own",
        )
    value: int = entries[0].value
    check_number(message, name, value, minimum)
    return value


_OF_AXES = (
    "num_output", "bias_term", "group", "kernel_shape", "stride_shape", "pad_shape",
    "weight_filler", "bias_filler",
)  # fmt: skip


def parse_nd_convolution(layer: Message, context: LayerContext) -> ConvolutionParams:
    """The fields of NdConvolution: ``kernel_shape``, ``stride_shape`` and ``pad_shape``.

    Raises:
        NetcError: as :func:`parse_volume_convolution`.
    """
    message = reject_unknown_fields(layer.get("convolution_param"), *_OF_AXES)
    if not message.has("kernel_shape"):
        raise message.error(
            None,
            "missing-field",
            "`kernel_shape` is not given",
            "add `kernel_shape { dim: 3 dim: 3 dim: 3 }`",
        )
    sizes = (lengths(message, name, minimum) for name, minimum in _SHAPES)
    return _convolution(message, Window(*sizes))


_SHAPES = (("kernel_shape", 1), ("stride_shape", 1), ("pad_shape", 0))


def lengths(message: Message, name: str, minimum: int) -> tuple[int, ...]:
    """The sizes of a BlobShape field, one for each axis; () where it is not given.

    Raises:
        NetcError: out-of-range, where one is below ``minimum``.
    """
    shape = message.get(name)
    values: tuple[int, ...] = tuple(shape.get("dim"))
    for index, value in enumerate(values):
        check_number(shape, "dim", value, minimum, index)
    return values


def _convolution(message: Message, window: Window) -> ConvolutionParams:
    num_output = required_number(message, "num_output")
    return ConvolutionParams(
        num_output,
        window,
        checked_group(message, num_output),
        message.get("bias_term"),
        1,
        parse_filler(message.get("weight_filler")),
        parse_filler(message.get("bias_filler")),
    )
