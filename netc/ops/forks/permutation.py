"""Layers of forks that reorder elements: Permute, ShuffleChannel, Reorg.

permute_layer.cpp of weiliu89/caffe; ShuffleNet (Zhang et al. 2017, arXiv:1707.01083); Reorg of
YOLOv2 (reorg_layer.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, show
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import Arrays
from netc.ops.axes import need_axes, no_axis
from netc.ops.define import POINTWISE, WHOLE, LayerContext, OpDef, ShapeError, Window
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number, required_number
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class PermuteParams:
    """``order`` has the bottom's axes in the top's order; the axes not in it follow."""

    order: tuple[int, ...] = ()


def _parse_permute(layer: Message, context: LayerContext) -> PermuteParams:
    """Permute of SSD (Liu et al. 2016; permute_layer.cpp of weiliu89/caffe)."""
    message = reject_unknown_fields(layer.get("permute_param"), "order")
    order = message.get("order")
    for index, axis in enumerate(order):
        if axis in order[:index]:
            raise NetcError(
                Diagnostic(
                    "out-of-range",
                    f"`order` names axis {axis} twice",
                    message.span_of("order", index),
                    help=("name each axis once",),
                )
            )
    return PermuteParams(order)


def permutation(params: PermuteParams, axes: int) -> tuple[int, ...]:
    """All ``axes`` of the bottom in the top's order."""
    return (*params.order, *(axis for axis in range(axes) if axis not in params.order))


def _permute_shape(params: PermuteParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    for axis in params.order:
        if axis >= len(shape):
            raise no_axis(shape, axis, "permute_param.order")
    return (tuple(shape[axis] for axis in permutation(params, len(shape))),)


def _permute(params: PermuteParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    return (x.transpose(permutation(params, x.ndim)),)


def _permute_window(
    params: PermuteParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    axes = len(inputs[0])
    return POINTWISE if permutation(params, axes)[2:] == tuple(range(2, axes)) else WHOLE


def _keeps_order(params: PermuteParams, inputs: Sequence[Shape]) -> bool:
    axes = len(inputs[0])
    return permutation(params, axes) == tuple(range(axes))


PERMUTE = OpDef(
    name="Permute",
    arity=ONE_TO_ONE,
    params=_parse_permute,
    shape=_permute_shape,
    window=_permute_window,
    reference=_permute,
    identity=_keeps_order,
    family="reshaping",
    role=Role.PERMUTATION,
)


def _parse_transpose(layer: Message, context: LayerContext) -> PermuteParams:
    """Transpose of CTPN (transpose_layer.cpp of tianzhi0549/CTPN): ``dim`` for each axis."""
    message = reject_unknown_fields(layer.get("transpose_param"), "dim")
    order = tuple(message.get("dim"))
    if sorted(order) != list(range(len(order))):
        raise bad_value(message, "dim", "must name each axis once", "write `dim: 1 dim: 0`")
    return PermuteParams(order)


TRANSPOSE = replace(PERMUTE, params=_parse_transpose)


@dataclass(frozen=True, slots=True)
class ShuffleChannelParams:
    """Channels are (``group``, channels / group) and get the order of its transpose."""

    group: int = 1


def _parse_shuffle(layer: Message, context: LayerContext) -> ShuffleChannelParams:
    """ShuffleNet (Zhang et al. 2017, arXiv:1707.01083)."""
    return ShuffleChannelParams(
        number(reject_unknown_fields(layer.get("shuffle_channel_param"), "group"), "group", 1)
    )


def _shuffle_shape(params: ShuffleChannelParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    need_axes(shape, 2, "ShuffleChannel")
    if shape[1] % params.group:
        raise ShapeError(
            f"{shape[1]} channels of the bottom are not a multiple of `group` {params.group}",
            "shuffle_channel_param.group",
            ("every group has as many channels",),
        )
    return (shape,)


def _shuffle(params: ShuffleChannelParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    grouped = x.reshape(x.shape[0], params.group, x.shape[1] // params.group, *x.shape[2:])
    return (grouped.swapaxes(1, 2).reshape(x.shape),)


def _one_group(params: ShuffleChannelParams, inputs: Sequence[Shape]) -> bool:
    return params.group in (1, inputs[0][1])


SHUFFLE_CHANNEL = OpDef(
    name="ShuffleChannel",
    arity=ONE_TO_ONE,
    params=_parse_shuffle,
    shape=_shuffle_shape,
    reference=_shuffle,
    identity=_one_group,
    family="reshaping",
)


@dataclass(frozen=True, slots=True)
class ReorgParams:
    """Space to depth: blocks of ``stride`` by ``stride`` places become channels.

    ``reverse`` is depth to space.
    """

    stride: int
    reverse: bool = False


def _parse_reorg(layer: Message, context: LayerContext) -> ReorgParams:
    message = reject_unknown_fields(layer.get("reorg_param"), "stride", "reverse")
    return ReorgParams(required_number(message, "stride"), message.get("reverse"))


def _reorg_shape(params: ReorgParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape, stride = inputs[0], params.stride
    if len(shape) != 4:
        raise ShapeError(f"Reorg takes 4 axes, and the bottom is {show(shape)}")
    num, channels, height, width = shape
    if channels % stride**2:
        raise ShapeError(
            f"{channels} channels of the bottom are not a multiple of the {stride**2} places of a "
            f"block of `stride` {stride}",
            "reorg_param.stride",
        )
    if params.reverse:
        return ((num, channels // stride**2, height * stride, width * stride),)
    if height % stride or width % stride:
        raise ShapeError(
            f"`stride` {stride} does not divide the {height}x{width} places of the bottom",
            "reorg_param.stride",
        )
    return ((num, channels * stride**2, height // stride, width // stride),)


def _reorg(params: ReorgParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """As darknet does it, whose forward reads the bottom as if it were already spread out.

    The order of elements so differs from other libraries' space-to-depth; trained YOLOv2 nets
    depend on it (reorg_layer.hpp). ``reverse`` is the plain depth-to-space.
    """
    (x,) = inputs
    (shape,), s = _reorg_shape(params, (x.shape,)), params.stride
    num, channels, height, width = x.shape
    share = channels // s**2
    if params.reverse:
        blocks = x.reshape(num, s, s, share, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(num, share, height, s, width, s).transpose(0, 3, 5, 1, 2, 4)
    return (blocks.reshape(shape),)


def _reorg_window(params: ReorgParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    """Of a stride of 1 the place itself; darknet's order lets an element come from anywhere."""
    if params.stride == 1:
        return POINTWISE
    if not params.reverse:
        return WHOLE
    stride = (params.stride, params.stride)
    return Window(stride, stride, (0, 0), (1, 1), fractional=True)


REORG = OpDef(
    name="Reorg",
    arity=ONE_TO_ONE,
    params=_parse_reorg,
    shape=_reorg_shape,
    window=_reorg_window,
    reference=_reorg,
    family="reshaping",
)

OPS = (PERMUTE, SHUFFLE_CHANNEL, REORG)
OTHER_NAMES = {"Transpose": TRANSPOSE}
