"""Pooling (pooling_layer.cpp)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.define import Arity, Cost, LayerContext, OpDef, ShapeError, Window
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.numbers import conflict, lone, number, one_of
from netc.ops.random import layer_number, uniform
from netc.ops.role import Role
from netc.ops.window import Axis, axis_name, taps
from netc.schema.message import Message

METHODS = ("MAX", "AVE", "STOCHASTIC")
_LOWEST = float(np.finfo(np.float32).min)  # -FLT_MAX, what the largest of nothing is

_FIELDS = (
    "pool pad pad_h pad_w kernel_size kernel_h kernel_w stride stride_h stride_w "
    "global_pooling round_mode ceil_mode"
).split()


@dataclass(frozen=True, slots=True)
class PoolingParams:
    """Parameters of Pooling; pairs are height and width.

    ``method`` is MAX, AVE or STOCHASTIC. ``ceil`` keeps a last window that the input fills only
    in part. ``global_pooling`` takes all of the input and no ``kernel``. ``mask`` gives where
    each largest element stood, as a second top. ``train`` and ``seed``, the layer's number for the
    generator, matter to STOCHASTIC alone.
    """

    method: str = "MAX"
    kernel: tuple[int, ...] = ()
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    ceil: bool = True
    global_pooling: bool = False
    mask: bool = False
    train: bool = False
    seed: int = 0


def _parse(layer: Message, context: LayerContext) -> PoolingParams:
    message = reject_unknown_fields(layer.get("pooling_param"), *_FIELDS)
    method = one_of(message, "pool", METHODS)
    if context.tops > 1 and method != "MAX":
        raise message.error(
            "pool",
            "top-count",
            f"`pool: {method}` makes 1 top, and {context.tops} are named",
            "only `pool: MAX` has a second top, the mask",
        )
    params = PoolingParams(
        method,
        _parse_kernel(message),
        _pair(message, "stride", 1),
        _pair(message, "pad", 0),
        _parse_ceil(message),
        message.get("global_pooling"),
        context.tops > 1,
        context.phase == "TRAIN",
        layer_number(layer.get("name")) if method == "STOCHASTIC" else 0,
    )
    _check_pad(message, params)
    _check_global(message, params)
    return params


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
        size = number(message, "kernel_size", 1)
        return (size, size)
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


def _pair(message: Message, name: str, least: int) -> tuple[int, int]:
    high, wide = f"{name}_h", f"{name}_w"
    if not message.has(high) and not message.has(wide):
        both = number(message, name, least)
        return (both, both)
    if message.has(name):
        raise conflict(message, high if message.has(high) else wide, name)
    for one, other in ((high, wide), (wide, high)):
        if not message.has(other):
            raise lone(message, one, other)
    return (number(message, high, least), number(message, wide, least))


def _parse_ceil(message: Message) -> bool:
    """``round_mode`` is BVLC's; ``ceil_mode`` is what forks had before it."""
    ceil: bool = message.get("round_mode") != "FLOOR"
    if fork_field(message, "ceil_mode", None) is None or not message.has("ceil_mode"):
        return ceil
    mode: bool = message.get("ceil_mode")
    if message.has("round_mode") and mode != ceil:
        raise conflict(message, "ceil_mode", "round_mode")
    return mode


def _check_pad(message: Message, params: PoolingParams) -> None:
    if not any(params.pad):
        return
    if params.method == "STOCHASTIC":
        raise message.error(
            _written(message, "pad"),
            "unsupported-value",
            "`pool: STOCHASTIC` takes no padding",
            "remove `pad`, or use `pool: MAX` or `pool: AVE`",
        )
    for axis, (pad, kernel) in enumerate(zip(params.pad, params.kernel, strict=False)):
        if pad >= kernel:
            name = _written(message, "pad", axis)
            raise message.error(
                name,
                "out-of-range",
                f"`{name}` {pad} must be less than the kernel {kernel}",
                "a window would lie in padding alone",
            )


def _check_global(message: Message, params: PoolingParams) -> None:
    if not params.global_pooling:
        return
    for name, pair, needed in (("pad", params.pad, 0), ("stride", params.stride, 1)):
        for axis, value in enumerate(pair):
            if value != needed:
                field = _written(message, name, axis)
                raise message.error(
                    field,
                    "conflicting-fields",
                    f"`{field}` must be {needed} with `global_pooling`, it is {value}",
                    f"remove `{field}`",
                )


def _written(message: Message, name: str, axis: int = 0) -> str:
    """The field that a quantity of a pair was written in."""
    own = f"{name}_{'hw'[axis]}"
    return own if message.has(own) else name


# Geometry


def pooling_axes(params: PoolingParams, shape: Shape) -> tuple[Axis, Axis]:
    """The window along height and width, with the number of its places.

    Raises:
        ShapeError: the bottom has not 4 axes, or the window fits nowhere.
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
    kernel = shape[2:] if params.global_pooling else params.kernel
    high, wide = (_pooled(params, shape[2 + i], kernel[i], i) for i in (0, 1))
    return high, wide


def _pooled(params: PoolingParams, size: int, kernel: int, index: int) -> Axis:
    pad, stride = params.pad[index], params.stride[index]
    if size < 1:
        raise ShapeError(
            f"the {axis_name(index, 2)} of the bottom must be at least 1, it is {size}"
        )
    room = size + 2 * pad - kernel
    out = (-(-room // stride) if params.ceil else room // stride) + 1
    if any(params.pad) and (out - 1) * stride >= size + pad:
        out -= 1  # a last window that would start in the padding
    if out < 1:
        raise ShapeError(
            f"the kernel {kernel} is larger than the padded {axis_name(index, 2)} {size + 2 * pad}",
            "pooling_param.kernel_size",
            (f"the input must be at least {kernel - 2 * pad} there, it is {size}",),
        )
    return Axis(size, kernel, stride, pad, 1, out)


def is_stochastic(params: PoolingParams) -> bool:
    """True where windows are drawn from: STOCHASTIC in training."""
    return params.method == "STOCHASTIC" and params.train


def pooled_shape(params: PoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shape of the pooled values, and once more for the mask."""
    shape = inputs[0]
    top = (*shape[:2], *(axis.out for axis in pooling_axes(params, shape)))
    return (top, top) if params.mask else (top,)


def pooling_cost(params: PoolingParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    """One operation for each element that a window sees."""
    seen = [min(axis.kernel, axis.size) for axis in pooling_axes(params, inputs[0])]
    return Cost(operations=count(outputs[0]) * seen[0] * seen[1])


def _window(params: PoolingParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    if params.global_pooling:
        return Window(whole=True)
    kernel = (params.kernel[0], params.kernel[1])
    return Window(kernel, params.stride, params.pad, (1, 1))


# Reference kernels


def pool(params: PoolingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The definition: (the pooled values,), and where each maximum stood with ``mask``."""
    x, *key = inputs
    axes = pooling_axes(params, x.shape)
    if params.mask:
        return largest_and_where(x, axes)
    if params.method == "MAX":
        return (largest(x, axes),)
    if params.method == "AVE":
        return (average(x, axes),)
    if not params.train:
        return (_expected(x, axes),)
    share = uniform(
        x, (*x.shape[:2], *(axis.out for axis in axes)), params.seed, key[0] if key else None
    )
    return (drawn_and_where(x, axes, share)[0],)


def _slide(
    x: AnyArray, axis: Axis, dim: int, start: float, join: Callable[[AnyArray, AnyArray], AnyArray]
) -> AnyArray:
    """Join what each window along one axis sees, in order, beginning with ``start``."""
    shape = (*x.shape[:dim], axis.out, *x.shape[dim + 1 :])
    result = namespace(x).full(shape, start, dtype=x.dtype)
    before = (slice(None),) * dim
    for tap in axis.taps():
        seen = (*before, tap.outputs)
        result[seen] = join(result[seen], x[(*before, tap.inputs)])
    return result


def largest(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """The largest element in each window; nan is passed over, and -FLT_MAX is that of nothing."""
    xp = namespace(x)

    def join(best: AnyArray, seen: AnyArray) -> AnyArray:
        return xp.where(seen > best, seen, best)

    rows = _slide(x, axes[1], 3, _LOWEST, join)
    return _slide(rows, axes[0], 2, _LOWEST, join)


def largest_and_where(x: AnyArray, axes: Sequence[Axis]) -> tuple[AnyArray, AnyArray]:
    """The largest element in each window, and its index in its plane: the first one, -1 if none."""
    xp = namespace(x)
    high, wide = axes
    index = xp.broadcast_to(xp.arange(high.size * wide.size).reshape(x.shape[2:]), x.shape)
    best, where = _larger(x, index, wide, 3)
    best, where = _larger(best, where, high, 2)
    return best, where.astype(x.dtype)


def _larger(x: AnyArray, index: AnyArray, axis: Axis, dim: int) -> tuple[AnyArray, AnyArray]:
    xp = namespace(x)
    shape = (*x.shape[:dim], axis.out, *x.shape[dim + 1 :])
    best = xp.full(shape, _LOWEST, dtype=x.dtype)
    where = xp.full(shape, -1, dtype=index.dtype)
    before = (slice(None),) * dim
    for tap in axis.taps():
        outputs, inputs = (*before, tap.outputs), (*before, tap.inputs)
        larger = x[inputs] > best[outputs]
        where[outputs] = xp.where(larger, index[inputs], where[outputs])
        best[outputs] = xp.where(larger, x[inputs], best[outputs])
    return best, where


def summed(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """The sum of each window."""
    add = namespace(x).add
    return _slide(_slide(x, axes[1], 3, 0, add), axes[0], 2, 0, add)


def average(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """The sum of each window, divided by its elements in the input and the padding around it.

    A window that starts beyond the input sums nothing over an area that C counts as zero or
    negative; the result is nan or -0, as there.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return summed(x, axes) / areas(axes, x)


def areas(axes: Sequence[Axis], like: AnyArray) -> AnyArray:
    """Elements of each window in the input and the padding around it, in ``like``'s dtype."""
    xp = namespace(like)
    high, wide = (xp.asarray(_lengths(axis)) for axis in axes)
    return (high[:, None] * wide[None, :]).astype(like.dtype)


def _lengths(axis: Axis) -> AnyArray:
    """Elements of each window up to the end of the padding (before it is cut to the input)."""
    starts = np.arange(axis.out, dtype=np.int64) * axis.stride - axis.pad
    ends = np.minimum(starts + axis.kernel, axis.size + axis.pad)
    return ends - starts


def _expected(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """What STOCHASTIC gives on average: each element weighted by itself (pooling_layer.cu)."""
    xp = namespace(x)
    total, squares = summed(x, axes), summed(x * x, axes)
    positive = total > 0
    return xp.where(positive, squares / xp.where(positive, total, 1), 0).astype(x.dtype)


def drawn_and_where(x: Any, axes: Sequence[Axis], share: AnyArray) -> tuple[AnyArray, AnyArray]:
    """One element of each window, drawn with its value as its weight (pooling_layer.cu).

    ``share`` in [0, 1) says for each window how far up its sum the element lies. The second array
    has the element's index in its plane, -1 where there is none.
    """
    xp = namespace(x)
    total = summed(x, axes)
    threshold: Any = share * total
    index = xp.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    running, drawn = xp.zeros_like(total), xp.zeros_like(total)
    where = xp.full(total.shape, -1, dtype=index.dtype)
    for tap in taps(axes):
        outputs = (..., *tap.outputs)
        seen = x[(..., *tap.inputs)]
        running[outputs] += seen
        now = (where[outputs] < 0) & (running[outputs] >= threshold[outputs])
        drawn[outputs] = xp.where(now, seen, drawn[outputs])
        where[outputs] = xp.where(now, index[tap.inputs], where[outputs])
    return drawn, where


def _averages_single_elements(params: PoolingParams, inputs: Sequence[Shape]) -> bool:
    """Windows of one element, each in its place. The largest of one is not nan where that is."""
    if params.method != "AVE":
        return False
    axes = pooling_axes(params, inputs[0])
    return all((axis.kernel, axis.stride, axis.pad) == (1, 1, 0) for axis in axes)


POOLING = OpDef(
    name="Pooling",
    draws=is_stochastic,
    identity=_averages_single_elements,
    arity=Arity(bottoms=(1, 1), tops=(1, 2)),
    params=_parse,
    shape=pooled_shape,
    cost=pooling_cost,
    window=_window,
    reference=pool,
    family="pooling",
    role=Role.POOLING,
)


OPS = (POOLING,)
