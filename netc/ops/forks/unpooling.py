"""Unpooling of DeconvNet's Caffe (Noh et al. 2015; unpooling_layer.cpp of HyeonwooNoh/caffe)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import conflict, lone, number
from netc.schema.message import Message

_KINDS = ("MAX", "AVE", "TILE")


@dataclass(frozen=True, slots=True)
class UnpoolingParams:
    """Each element is put into, or spread over, a window of the top.

    Args:
        kind: "MAX" puts it at its index in the mask, the second bottom, else at its window's first
            element; "AVE" spreads it evenly over the window, "TILE" copies it to all of it.
        kernel, stride: of the window, height and width.
        size: the top's height and width; None where they follow from the window.
        exact: the windows alone give the size, also where the stride is greater than they are.
    """

    kind: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    size: tuple[int, int] | None
    exact: bool = False


def _parse(layer: Message, context: LayerContext) -> UnpoolingParams:
    names = ("kernel_size", "kernel_h", "kernel_w", "stride", "stride_h", "stride_w", "unpool_size",
             "unpool_h", "unpool_w", "unpool", "pad")  # fmt: skip
    if layer.has("pooling_param") and not layer.has("unpooling_param"):
        return _parse_pooled(layer.get("pooling_param"), context)
    p = reject_unknown_fields(layer.get("unpooling_param"), *names)
    kind = p.get("unpool") if p.has("unpool") else "MAX"
    if kind not in _KINDS or p.get("pad"):
        raise p.error(
            "pad" if kind in _KINDS else "unpool",
            "unsupported-value",
            "this unpooling is of another fork, or has padding, which none computes",
            "MAX, AVE and TILE of DeconvNet's Caffe are known",
        )
    kernel, stride = _pair(p, "kernel_size", "kernel"), _pair(p, "stride", "stride") or (1, 1)
    if kernel is None:
        raise p.error(None, "missing-field", "`kernel_size` is not given", "add `kernel_size: 2`")
    return UnpoolingParams(kind, kernel, stride, _pair(p, "unpool_size", "unpool"))


def _parse_pooled(message: Message, context: LayerContext) -> UnpoolingParams:
    """The fields of the pooling that is undone (unpooling_layer.cpp of BVLC's pull request 3376).

    It takes a mask, and knows MAX alone.
    """
    names = ("pool", "kernel_size", "kernel_h", "kernel_w", "stride", "stride_h", "stride_w")
    p = reject_unknown_fields(message, *names)
    if p.get("pool") != "MAX":
        raise bad_value(p, "pool", "must be MAX", "no other pooling is undone there")
    if context.bottoms < 2:
        raise p.error(
            None,
            "bottom-count",
            "Unpooling with `pooling_param` takes 2 bottoms, the second the mask",
            "name the second top of the pooling that it undoes",
        )
    kernel, stride = _pair(p, "kernel_size", "kernel"), _pair(p, "stride", "stride") or (1, 1)
    if kernel is None:
        raise p.error(None, "missing-field", "`kernel_size` is not given", "add `kernel_size: 2`")
    return UnpoolingParams("MAX", kernel, stride, None, exact=True)


def _pair(message: Message, both: str, each: str) -> tuple[int, int] | None:
    high, wide = f"{each}_h", f"{each}_w"
    for one, other in ((high, wide), (wide, high)):
        if message.has(one) and message.has(both):
            raise conflict(message, one, both)
        if message.has(one) and not message.has(other):
            raise lone(message, one, other)
    if message.has(high):
        return (number(message, high, 1), number(message, wide, 1))
    return (number(message, both, 1),) * 2 if message.has(both) else None


def _size(params: UnpoolingParams, shape: Shape) -> tuple[int, int]:
    if params.size:
        return params.size
    rows, columns = (
        max((size - 1) * stride + kernel, 0 if params.exact else size * stride + 1)
        for size, stride, kernel in zip(shape[2:], params.stride, params.kernel, strict=True)
    )
    return rows, columns


def _shape(params: UnpoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if len(shape) != 4:
        raise ShapeError(f"UNPOOLING takes 4 axes, and the bottom is {show(shape)}")
    if len(inputs) > 1 and inputs[1] != shape:
        raise ShapeError(f"the mask of {show(shape)} is {show(inputs[1])}")
    return ((*shape[:2], *_size(params, shape)),)


def _unpool(params: UnpoolingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    shape = _shape(params, [array.shape for array in inputs])[0]
    if params.kind != "MAX":
        return (_spread(params, x, shape),)
    top = np.zeros((x.shape[0] * x.shape[1], shape[2] * shape[3]), x.dtype)
    places = unpooled_places(params, x.shape, shape, inputs[1:])
    if ((places < 0) | (places >= top.shape[1])).any():
        raise NetcError(
            Diagnostic(
                "index-out-of-range",
                f"the mask names an element outside of planes of {show(shape[2:])}",
                help=("write the pooled layer's input size as `unpool_h` and `unpool_w`",),
            )
        )
    np.put_along_axis(top, places, x.reshape(len(top), -1), axis=1)
    return (top.reshape(shape),)


def unpooled_places(params: UnpoolingParams, shape: Shape, made: Shape, masks: Arrays) -> AnyArray:
    """The index in its plane where MAX puts each element: int64 (planes, elements).

    Args:
        params: the layer's parameters.
        shape: of the bottom.
        made: of the top.
        masks: the mask, or nothing.
    """
    planes = shape[0] * shape[1]
    if masks:
        return np.asarray(masks[0]).astype(np.int64).reshape(planes, -1)
    rows, columns = (
        np.minimum(np.arange(size) * stride, limit - 1)
        for size, stride, limit in zip(shape[2:], params.stride, made[2:], strict=True)
    )
    own = (rows[:, None] * made[3] + columns).reshape(1, -1)
    return np.broadcast_to(own, (planes, own.size))


def _spread(params: UnpoolingParams, x: AnyArray, shape: Shape) -> AnyArray:
    top = np.zeros(shape, x.dtype)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            y, z = row * params.stride[0], column * params.stride[1]
            window = top[:, :, y : y + params.kernel[0], z : z + params.kernel[1]]
            value = x[:, :, row, column, None, None]
            size = max(1, window.shape[2] * window.shape[3])
            window += value / np.float32(size) if params.kind == "AVE" else value
    return top


UNPOOLING = OpDef(
    name="Unpooling",
    arity=Arity((1, 2), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_output(1),
    window=full_extent,
    memory=copies(12),
    reference=_unpool,
    family="pooling",
    host=True,
)

OPS = (UNPOOLING,)
