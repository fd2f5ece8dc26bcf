"""Pooling3D: pooling over depth (time), height and width, as forks have it under several names.

With ``kernel_l``, ``stride_l`` or ``pad_l`` it is that of pseudo-3d-residual-networks, with
``kernel_depth`` or ``temporal_stride`` that of C3D (Tran et al. 2015): both round up. Else it is
that of synopsys-caffe, which rounds as ``ceil_mode`` says. Pooling with a size for each axis, and
Pooling of volumes, are yulequan/3D-Caffe's and R-C3D's, which round up as BVLC's do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from netc.diagnostics import NetcError
from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_output
from netc.ops.define import (
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    Window,
    copies,
    erased,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.forks.volumes import lengths
from netc.ops.numbers import check_number, lone, number, one_of
from netc.ops.window import Axis
from netc.schema.message import Message

Three = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pooling3DParams:
    """``method`` "MAX" or "AVE" of windows over depth, height and width of 5 axes.

    ``ceil`` rounds the number of windows up. An average counts padding in its divisor.
    """

    method: str
    window: Window
    ceil: bool


_TIME = {"kernel": ("kernel_l", "kernel_depth", "kernel_d"),
         "stride": ("stride_l", "temporal_stride", "stride_d"),
         "pad": ("pad_l", "temporal_pad")}  # fmt: skip
_FIELDS = (
    "pool", "kernel_size", "stride", "pad", "kernel_h", "kernel_w", "stride_h", "stride_w",
    "ceil_mode",
)  # fmt: skip


def _parse(layer: Message, context: LayerContext) -> Pooling3DParams:
    names = (*_FIELDS, *(name for group in _TIME.values() for name in group))
    own = "pooling3d_param" if layer.has("pooling3d_param") else "pooling_param"
    p = reject_unknown_fields(layer.get(own), *names)
    rounds_up = any(
        name in p.type.fields and p.has(name) for group in _TIME.values() for name in group[:2]
    )
    kernel = _three(p, "kernel", "kernel_size", 0)
    if kernel is None:
        raise _no_kernel(p)
    stride = _three(p, "stride", "stride", 1, rounds_up)
    pad = _three(p, "pad", "pad", 0, rounds_up)
    ceil = own == "pooling_param" or rounds_up or p.get("ceil_mode")
    return _checked(p, kernel, stride or (1, 1, 1), pad or (0, 0, 0), ceil)


def _no_kernel(message: Message) -> NetcError:
    return message.error(
        None, "missing-field", "`kernel_size` is not given", "add `kernel_size: 2`"
    )


def _checked(p: Message, kernel: Three, stride: Three, pad: Three, ceil: bool) -> Pooling3DParams:
    for axis, (k, q) in enumerate(zip(kernel, pad, strict=True)):
        if q >= k:
            raise p.error(
                "pad" if p.has("pad") else None,
                "out-of-range",
                f"the padding {q} of axis {axis + 2} must be less than the kernel {k}",
            )
    return Pooling3DParams(one_of(p, "pool", ("MAX", "AVE")), Window(kernel, stride, pad), ceil)


def parse_each_axis(layer: Message, context: LayerContext) -> Pooling3DParams:
    """Pooling with ``kernel_size`` once for each axis, NdPooling's ``kernel_shape``, or PoolingND.

    Raises:
        NetcError: unsupported-field, value-count, missing-field or out-of-range, at the field.
    """
    names = ("kernel_size", "stride", "pad")
    shapes = tuple(f"{name.removesuffix('_size')}_shape" for name in names)
    own = "pooling_nd_param" if layer.has("pooling_nd_param") else "pooling_param"
    p = reject_unknown_fields(layer.get(own), "pool", *names, *shapes)
    kernel = _each(p, "kernel_size", "kernel_shape", 1)
    if kernel is None:
        raise _no_kernel(p)
    stride, pad = _each(p, "stride", "stride_shape", 1), _each(p, "pad", "pad_shape", 0)
    return _checked(p, kernel, stride or (1, 1, 1), pad or (0, 0, 0), True)


def _each(message: Message, name: str, shape: str, minimum: int) -> Three | None:
    """One value, or one for each of the three axes, of either field; None where neither is."""
    values = lengths(message, shape, minimum) if shape in message.type.fields else ()
    values = values or tuple(e.value for e in message.entries.get(name, ()))
    for index, value in enumerate(values):
        check_number(message, name, value, minimum, index)
    values = values * 3 if len(values) == 1 else values
    if values and len(values) != 3:
        raise message.error(
            name if message.has(name) else shape,
            "value-count",
            f"`{name}` is given {len(values)} times, and there are 3 axes to pool over",
            "give one value, or one for depth, height and width each",
        )
    return (values[0], values[1], values[2]) if values else None


def each_axis(layer: Message) -> TypeReading | None:
    """Pooling's reading where a quantity has several values: it pools volumes."""
    p = layer.get("pooling_param")
    several = any(p.count(name) > 1 for name in ("kernel_size", "stride", "pad"))
    return TypeReading(erased(ND_POOLING)) if several else None


def _three(
    message: Message, group: str, both: str, default: int, own_time: bool = False
) -> Three | None:
    """A value for depth, height and width: one for all, for the plane, or each by its name.

    With ``own_time`` time's is the default where it has none of its own, as in C3D and P3D.
    """
    minimum = 0 if group == "pad" else 1
    plane = number(message, both, minimum) if message.has(both) else default
    high, wide = f"{group}_h", f"{group}_w"
    sizes = [plane, plane]
    if high in message.type.fields and (message.has(high) or message.has(wide)):
        for one, other in ((high, wide), (wide, high)):
            if not message.has(other):
                raise lone(message, one, other)
        sizes = [number(message, high, minimum), number(message, wide, minimum)]
    time = [n for n in _TIME[group] if n in message.type.fields and message.has(n)]
    depth = number(message, time[0], minimum) if time else default if own_time else plane
    if group != "pad" and 0 in (depth, *sizes):
        return None
    return (depth, sizes[0], sizes[1])


def volume_axes(params: Pooling3DParams, shape: Shape) -> tuple[Axis, ...]:
    """The window along depth, height and width; ``out`` is the number of its places."""
    return tuple(_slid(axis, params.ceil) for axis in params.window.axes(shape[2:]))


def _slid(axis: Axis, ceil: bool) -> Axis:
    steps = (axis.size + 2 * axis.pad - axis.kernel) / axis.stride
    made = (math.ceil(steps) if ceil else math.floor(steps)) + 1
    if axis.pad and (made - 1) * axis.stride >= axis.size + axis.pad:
        made -= 1
    return axis._replace(out=made)


def _shape(params: Pooling3DParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if len(shape) != 5:
        raise ShapeError(f"Pooling3D takes 5 axes, and the bottom is {show(shape)}")
    axes = volume_axes(params, shape)
    if min(axis.out for axis in axes) < 1:
        kernel = show(axis.kernel for axis in axes)
        raise ShapeError(
            f"the kernel {kernel} is larger than the padded {show(shape[2:])}",
            "pooling3d_param.kernel_size",
        )
    return ((*shape[:2], *(axis.out for axis in axes)),)


def _pool(params: Pooling3DParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    axes = volume_axes(params, x.shape)
    empty = np.finfo(x.dtype).min if params.method == "MAX" else 0  # FLT_MAX, as in Caffe
    padded = np.pad(x, ((0, 0), (0, 0), *pooled_edges(axes)), constant_values=empty)
    top = np.full((*x.shape[:2], *(axis.out for axis in axes)), empty, x.dtype)
    for seen in tapped(axes):
        part = padded[seen]
        top = np.maximum(top, part) if params.method == "MAX" else top + part
    if params.method == "MAX":
        return (top,)
    return ((top / pooled_counts(axes)).astype(x.dtype),)


def pooled_edges(axes: Sequence[Axis]) -> list[tuple[int, int]]:
    """Elements to pad before and behind each spatial axis, so that every window lies within."""
    return [(a.pad, max(a.pad, (a.out - 1) * a.stride + a.kernel - a.size - a.pad)) for a in axes]


def tapped(axes: Sequence[Axis]) -> Iterator[tuple[slice, ...]]:
    """For each element of the kernel, in order, the index of the padded elements that meet it."""
    for taps in np.ndindex(*(axis.kernel for axis in axes)):
        places = (
            slice(tap, tap + (axis.out - 1) * axis.stride + 1, axis.stride)
            for tap, axis in zip(taps, axes, strict=True)
        )
        yield slice(None), slice(None), *places


def pooled_counts(axes: Sequence[Axis]) -> AnyArray:
    """Elements of each window within the input and its padding, (depth, height, width)."""
    total: AnyArray = np.ones((1, 1, 1), np.float32)
    for index, axis in enumerate(axes):
        start = np.arange(axis.out) * axis.stride - axis.pad
        ends = np.minimum(start + axis.kernel, axis.size + axis.pad)
        lengths = [1, 1, 1]
        lengths[index] = axis.out
        total = total * (ends - start).reshape(lengths).astype(np.float32)
    return total


def _window(params: Pooling3DParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return Window.of(volume_axes(params, inputs[0]))


POOLING_3D = OpDef(
    name="Pooling3D",
    arity=ONE_TO_ONE,
    params=_parse,
    shape=_shape,
    cost=per_output(8),
    window=_window,
    memory=copies(12),
    reference=_pool,
    family="pooling",
    host=True,
)

ND_POOLING = replace(POOLING_3D, params=parse_each_axis)

OTHER_NAMES = {"NdPooling": ND_POOLING, "PoolingND": ND_POOLING}
OPS = (POOLING_3D,)
