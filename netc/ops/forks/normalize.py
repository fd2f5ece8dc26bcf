"""Normalize of SSD (normalize_layer.cpp of weiliu89/caffe) and of happynear/caffe-windows.

It is SSD's where ``norm_param`` is written; else happynear's, which has no weights, in its first
version, which adds nothing to the sum; `normalize_param` says its later one (normalize_places.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import Arrays, namespace
from netc.ops.axes import need_axes, per_channel
from netc.ops.cost import per_output
from netc.ops.define import (
    POINTWISE,
    WHOLE,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    Window,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ONE, Filler, parse_filler
from netc.ops.forks.normalize_places import places_reading
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class NormalizeParams:
    """Each item divided by its Euclidean norm, times a trained scale.

    Args:
        across_spatial: one norm for each item; else one at each place, over the channels.
        scaled: whether there is a trained scale.
        channel_shared: the scale is of shape (), for all channels; else (channels,).
        eps: added to the sum of squares.
        filler: of the scale.
    """

    across_spatial: bool = True
    scaled: bool = True
    channel_shared: bool = True
    eps: float = 1e-10
    filler: Filler = CONSTANT_ONE


def _parse_normalize(layer: Message, context: LayerContext) -> NormalizeParams:
    if not layer.has("norm_param"):
        return NormalizeParams(scaled=False, eps=0.0)
    message = reject_unknown_fields(
        layer.get("norm_param"),
        *("across_spatial", "scale_filler", "channel_shared", "eps", "fix_scale"),
    )
    filler = parse_filler(message.get("scale_filler")) if message.has("scale_filler") else None
    return NormalizeParams(
        message.get("across_spatial"),
        True,
        message.get("channel_shared"),
        message.get("eps"),
        filler or CONSTANT_ONE,
    )


def _normalize_shape(params: NormalizeParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    need_axes(shape, 2, "Normalize")
    if not params.scaled and count(shape[2:]) != 1:
        raise ShapeError(
            f"Normalize without `norm_param` means different things in different forks at the "
            f"{show(shape[2:])} places of {show(shape)}",
            help=("write `norm_param { across_spatial: true }` or `false`",),
        )
    return (shape,)


def _normalize_weights(params: NormalizeParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    if not params.scaled:
        return ()
    return (WeightSpec(() if params.channel_shared else (inputs[0][1],), params.filler),)


def _normalize(params: NormalizeParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """x / sqrt(sum of squares + eps) * scale (normalize_layer.cpp of weiliu89/caffe)."""
    (x,) = inputs
    axes = tuple(range(1, x.ndim)) if params.across_spatial else (1,)
    with np.errstate(all="ignore"):
        squares = (x * x).sum(axis=axes, keepdims=True) + np.float32(params.eps)
        y = x / namespace(x).sqrt(squares)
        return (y * per_channel(weights[0], x.ndim) if params.scaled else y,)


def _normalize_window(
    params: NormalizeParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return WHOLE if params.across_spatial and len(inputs[0]) > 2 else POINTWISE


NORMALIZE = OpDef(
    name="Normalize",
    arity=ONE_TO_ONE,
    params=_parse_normalize,
    shape=_normalize_shape,
    weights=_normalize_weights,
    cost=per_output(4),
    window=_normalize_window,
    reference=_normalize,
    in_place=True,
    family="normalization",
    role=Role.CHANNEL_VECTORS | Role.WIDE_ARRAYS,
    reading=places_reading,
)

OPS = (NORMALIZE,)
