"""Pooling: the maximum, average or a drawn element of windows (pooling_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import (
    WHOLE,
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    Stand,
    TypeReading,
    Window,
    erased,
)
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.forks.pooling3d import POOLING_3D, Pooling3DParams, each_axis
from netc.ops.numbers import conflict, lone, number, one_of
from netc.ops.pooling_values import average, drawn_and_where, expected, largest, largest_and_where
from netc.ops.random import layer_number, uniform
from netc.ops.role import Role
from netc.ops.window import Axis, axis_name, is_planar, quantity
from netc.schema.message import Message

METHODS = ("MAX", "AVE", "STOCHASTIC")

_FIELDS = (
    "pool pad pad_h pad_w kernel_size kernel_h kernel_w stride stride_h stride_w "
    "global_pooling round_mode ceil_mode"
).split()


@dataclass(frozen=True, slots=True)
class PoolingParams:
    """Parameters of Pooling.

    Args:
        method: "MAX", "AVE" or "STOCHASTIC".
        window: kernel, stride and padding along height and width; ``whole`` with a text's
            ``global_pooling``: one window over the whole input.
        ceil: the number of windows is rounded up, so that the input may fill the last one in part.
        mask: a second top has the index of each maximum in its plane.
        train, seed: of STOCHASTIC alone: TRAIN phase, and the layer's number for the generator.
    """

    method: str = "MAX"
    window: Window = field(default_factory=Window)
    ceil: bool = True
    mask: bool = False
    train: bool = False
    seed: int = 0


def _parse(layer: Message, context: LayerContext) -> PoolingParams:
    return parse_pooling(layer, context)


def parse_pooling(
    layer: Message, context: LayerContext, method: str | None = None
) -> PoolingParams:
    """The parameters of a layer with ``pooling_param``; ``method`` stands for its `pool`."""
    message = reject_unknown_fields(layer.get("pooling_param"), *_FIELDS)
    method = method or one_of(message, "pool", METHODS)
    if context.tops > 1 and method != "MAX":
        raise message.error(
            "pool",
            "top-count",
            f"`pool: {method}` makes 1 top, and {context.tops} are named",
            "only `pool: MAX` has a second top, the mask",
        )
    return PoolingParams(
        method,
        _parse_window(message, method),
        _parse_ceil(message),
        context.tops > 1,
        context.phase == "TRAIN",
        layer_number(layer.get("name")) if method == "STOCHASTIC" else 0,
    )


def _parse_window(message: Message, method: str) -> Window:
    kernel, stride, pad = (
        _parse_kernel(message),
        quantity(message, "stride", 1),
        quantity(message, "pad", 0),
    )
    planar = tuple(name for name in ("stride", "pad") if is_planar(message, name))
    if len(kernel) == 2:
        planar = ("kernel", *planar)
    window = Window(kernel, stride, pad, planar=planar, whole=message.get("global_pooling"))
    _check_pad(message, method, window)
    if not window.whole:
        return window
    _check_global(message, window)
    return WHOLE


def _parse_kernel(message: Message) -> tuple[int, ...]:
    has_pair = message.has("kernel_h") and message.has("kernel_w")
    if message.get("global_pooling"):
        for name in ("kernel_size", "kernel_h", "kernel_w"):
            if message.has(name):
                raise conflict(message, name, "global_pooling")
        return ()
    if message.has("kernel_size"):
        if has_pair:
            raise conflict(message, "kernel_h", "kernel_size")
        return (number(message, "kernel_size", 1),)
    for name, other in (("kernel_h", "kernel_w"), ("kernel_w", "kernel_h")):
        if message.has(name) and not message.has(other):
            raise lone(message, name, other)
    if not has_pair:
        raise message.error(
            None,
            "missing-field",
            "`kernel_size` is not given",
            "add `kernel_size: 2`, or `global_pooling: true` to pool over all of the input",
        )
    return (number(message, "kernel_h", 1), number(message, "kernel_w", 1))


def _parse_ceil(message: Message) -> bool:
    """``round_mode`` is BVLC's; ``ceil_mode`` is what forks had before it."""
    ceil: bool = message.get("round_mode") != "FLOOR"
    if fork_field(message, "ceil_mode", None) is None or not message.has("ceil_mode"):
        return ceil
    mode: bool = message.get("ceil_mode")
    if message.has("round_mode") and mode != ceil:
        raise conflict(message, "ceil_mode", "round_mode")
    return mode


def _check_pad(message: Message, method: str, window: Window) -> None:
    if not any(window.pad):
        return
    if method == "STOCHASTIC":
        raise message.error(
            window.field("pad"),
            "unsupported-value",
            "`pool: STOCHASTIC` takes no padding",
            "remove `pad`, or use `pool: MAX` or `pool: AVE`",
        )
    for index, axis in enumerate(() if window.whole else window.axes((1, 1))):
        if axis.pad >= axis.kernel:
            name = window.field("pad", index)
            raise message.error(
                name,
                "out-of-range",
                f"`{name}` {axis.pad} must be less than the kernel {axis.kernel}",
                "a window would lie in padding alone",
            )


def _check_global(message: Message, window: Window) -> None:
    for name, values, needed in (("pad", window.pad, 0), ("stride", window.stride, 1)):
        for index, value in enumerate(values):
            if value != needed:
                field = window.field(name, index)
                raise message.error(
                    field,
                    "conflicting-fields",
                    f"`{field}` must be {needed} with `global_pooling`, it is {value}",
                    f"remove `{field}`",
                )


# Geometry


def pooling_axes(params: PoolingParams, shape: Shape) -> tuple[Axis, Axis]:
    """The window along height and width; ``out`` is the number of its places.

    Raises:
        ShapeError: the bottom has not 4 axes, or the kernel is larger than the padded input.
    """
    if len(shape) != 4:
        raise ShapeError(
            f"the bottom must have 4 axes, number x channels x height x width, it is {show(shape)}",
            help=(
                "Pooling3D, with the same fields in `pooling3d_param`, pools volumes"
                if len(shape) == 5
                else "reshape the bottom first",
            ),
        )
    axes = params.window.axes(shape[2:])
    padded = any(axis.pad for axis in axes)
    high, wide = (_pooled(params, axis, index, padded) for index, axis in enumerate(axes))
    return high, wide


def _pooled(params: PoolingParams, axis: Axis, index: int, padded: bool) -> Axis:
    """The axis with its number of outputs; ``padded`` says whether any axis is."""
    size, kernel, stride, pad = axis[:4]
    if size < 1:
        raise ShapeError(
            f"the {axis_name(index, 2)} of the bottom must be at least 1, it is {size}"
        )
    room = size + 2 * pad - kernel
    out = (-(-room // stride) if params.ceil else room // stride) + 1
    if padded and (out - 1) * stride >= size + pad:
        out -= 1  # a last window that would start in the padding
    if out < 1:
        raise ShapeError(
            f"the kernel {kernel} is larger than the padded {axis_name(index, 2)} {size + 2 * pad}",
            f"pooling_param.{params.window.field('kernel', index)}",
            (f"the input must be at least {kernel - 2 * pad} there, it is {size}",),
        )
    return axis._replace(out=out)


def is_stochastic(params: PoolingParams) -> bool:
    """Whether one element of each window is drawn: STOCHASTIC in the TRAIN phase."""
    return params.method == "STOCHASTIC" and params.train


def pooled_shape(params: PoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Shape rule: (num, channels, height, width) of the pooled values, and of the mask."""
    shape = inputs[0]
    top = (*shape[:2], *(axis.out for axis in pooling_axes(params, shape)))
    return (top, top) if params.mask else (top,)


def pooling_cost(params: PoolingParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    """Cost rule: one operation for each element of each window."""
    seen = [min(axis.kernel, axis.size) for axis in pooling_axes(params, inputs[0])]
    return Cost(operations=count(outputs[0]) * seen[0] * seen[1])


def pooling_window(
    params: PoolingParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    """Window rule: what an output element sees."""
    return WHOLE if params.window.whole else Window.of(pooling_axes(params, inputs[0]))


# Reference kernels


def pool(params: PoolingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The definition: (pooled values,), or with ``mask`` (pooled values, index of each maximum).

    ``inputs`` may end with the generator's key.
    """
    x, *key = inputs
    axes = pooling_axes(params, x.shape)
    if params.mask:
        return largest_and_where(x, axes)
    if params.method == "MAX":
        return (largest(x, axes),)
    if params.method == "AVE":
        return (average(x, axes),)
    if not params.train:
        return (expected(x, axes),)
    share = uniform(
        x, (*x.shape[:2], *(axis.out for axis in axes)), params.seed, key[0] if key else None
    )
    return (drawn_and_where(x, axes, share)[0],)


def _averages_single_elements(params: PoolingParams, inputs: Sequence[Shape]) -> bool:
    """Windows of one element, each in its place. The largest of one is not nan where that is."""
    if params.method != "AVE":
        return False
    axes = pooling_axes(params, inputs[0])
    return all((axis.kernel, axis.stride, axis.pad) == (1, 1, 0) for axis in axes)


def _of_volumes(params: PoolingParams, inputs: Sequence[Shape]) -> Stand | None:
    """Pooling of five axes, as forks for volumes have it: Pooling3D with these fields."""
    if len(inputs[0]) != 5 or params.mask or params.method == "STOCHASTIC":
        return None
    window = params.window
    if any(len(set(values)) > 1 for values in (window.kernel, window.stride, window.pad)):
        return None
    cube = Window(window.kernel[:1], window.stride[:1], window.pad[:1], whole=window.whole)
    return Stand(POOLING_3D.name, Pooling3DParams(params.method, cube, params.ceil))


def _other_pooling(layer: Message) -> TypeReading | None:
    """Pooling of volumes, or of the least elements (BVLC's pull request 5779)."""
    if layer.get("pooling_param").get("pool") != "MIN":
        return each_axis(layer)
    return TypeReading(erased(LEAST_POOLING))


POOLING = OpDef(
    name="Pooling",
    draws=is_stochastic,
    identity=_averages_single_elements,
    arity=Arity(bottoms=(1, 1), tops=(1, 2)),
    params=_parse,
    shape=pooled_shape,
    cost=pooling_cost,
    window=pooling_window,
    reference=pool,
    family="pooling",
    role=Role.POOLING,
    reading=_other_pooling,
    by_shape=_of_volumes,
)

# The least element of each window: `pool: MIN` of BVLC's pull request 5779.


def _parse_least(layer: Message, context: LayerContext) -> PoolingParams:
    return parse_pooling(layer, context, method="MAX")


def _least(params: PoolingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The least element of each window, and with ``mask`` the first place where it stands."""
    found, *where = pool(params, [-inputs[0]], weights)
    return (-found, *where)


LEAST_POOLING = OpDef(
    name="PoolingLeast",
    arity=Arity((1, 1), (1, 2)),
    params=_parse_least,
    shape=pooled_shape,
    cost=pooling_cost,
    window=pooling_window,
    reference=_least,
    family="pooling",
)

OPS = (POOLING,)
READINGS = (LEAST_POOLING,)
