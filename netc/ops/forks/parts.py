"""Small layers of forks that have one definition each.

Sparsify (wenwei202/caffe), SignedSqrt and L2Normalize (gy20073/compact_bilinear_pooling),
ScaleFilter (opencv/training_toolbox_caffe), MIL (visual concepts, Fang et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_four_axes
from netc.ops.cost import per_input, per_output
from netc.ops.define import (
    LayerContext,
    OpDef,
    ShapeError,
    full_extent,
    no_params,
    same_shape,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number
from netc.ops.random import layer_number, uniform
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class SparsifyParams:
    """Numbers come nearer to 0 by ``threshold``; ``push`` is the slope of |y| in the gradient."""

    threshold: float
    push: float


def _parse_sparsify(layer: Message, context: LayerContext) -> SparsifyParams:
    p = reject_unknown_fields(layer.get("sparsify_param"), "thre", "coef")
    for name in ("thre", "coef"):
        if p.get(name) < 0:
            raise bad_value(p, name, "must be at least 0")
    return SparsifyParams(p.get("thre"), p.get("coef"))


def _sparsify(params: SparsifyParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, xp = inputs[0], namespace(inputs[0])
    near = x.dtype.type(params.threshold)
    return (xp.where(x > near, x - near, xp.where(x < -near, x + near, 0)).astype(x.dtype),)


SPARSIFY = OpDef(
    name="Sparsify",
    arity=ONE_TO_ONE,
    params=_parse_sparsify,
    shape=same_shape,
    cost=per_output(3),
    reference=_sparsify,
    in_place=True,
    family="activation",
)


def _signed_sqrt(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, xp = inputs[0], namespace(inputs[0])
    return (xp.copysign(xp.sqrt(xp.abs(x)), x),)


SIGNED_SQRT = OpDef(
    name="SignedSqrt",
    arity=ONE_TO_ONE,
    params=no_params,
    shape=same_shape,
    cost=per_output(2),
    reference=_signed_sqrt,
    family="activation",
)

L2_EPS = 1e-7


def item_norms(x: AnyArray) -> AnyArray:
    """The Euclidean length of each item, (n, 1 ...): the root of its square plus 1e-7."""
    xp = namespace(x)
    square = (x * x).reshape(len(x), -1).sum(axis=1) + x.dtype.type(L2_EPS)
    return xp.sqrt(square).reshape(-1, *(1,) * (x.ndim - 1))


def _l2_normalize(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (inputs[0] / item_norms(inputs[0]),)


def _items_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if not inputs[0]:
        raise ShapeError("the bottom has no axis of items")
    return (inputs[0],)


L2_NORMALIZE = OpDef(
    name="L2Normalize",
    arity=ONE_TO_ONE,
    params=no_params,
    shape=_items_shape,
    cost=per_output(3),
    window=full_extent,
    reference=_l2_normalize,
    family="normalization",
)


@dataclass(frozen=True, slots=True)
class ScaleFilterParams:
    """In TRAIN each item's channel is scaled by a number drawn from ``low`` to ``high``."""

    low: float
    high: float
    train: bool
    seed: int


def _parse_scale_filter(layer: Message, context: LayerContext) -> ScaleFilterParams:
    p = reject_unknown_fields(layer.get("scale_filter_param"), "min_scale", "max_scale")
    low, high = p.get("min_scale"), p.get("max_scale")
    if not 0 < low < high:
        raise bad_value(p, "max_scale", f"must be above `min_scale` {low:g}, and that above 0")
    return ScaleFilterParams(low, high, context.phase == "TRAIN", layer_number(layer.get("name")))


def _four_axes(params: object, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_four_axes(inputs[0], "ScaleFilter")
    return (inputs[0],)


def drawn_scales(params: ScaleFilterParams, like: AnyArray, key: AnyArray | None) -> AnyArray:
    """A factor for each channel of each item, (num, channels, 1, 1); netc's own numbers."""
    drawn = uniform(like, (*like.shape[:2], 1, 1), params.seed, key)
    kind = like.dtype.type
    result: AnyArray = (kind(params.low) + kind(params.high - params.low) * drawn).astype(
        like.dtype
    )
    return result


def _scale_filter(
    params: ScaleFilterParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    x = inputs[0]
    if not params.train:
        return (x,)
    return (x * drawn_scales(params, x, inputs[1] if len(inputs) > 1 else None),)


SCALE_FILTER = OpDef(
    name="ScaleFilter",
    arity=ONE_TO_ONE,
    params=_parse_scale_filter,
    shape=_four_axes,
    cost=per_output(1),
    reference=_scale_filter,
    draws=lambda params: params.train,
    identity=lambda params, inputs: not params.train,
    family="other",
)


@dataclass(frozen=True, slots=True)
class MILParams:
    """Of a map of instances the greatest, or with ``noisy`` 1 less the product of all (1 - p).

    With ``rows`` the greatest of so many rows, one after the other: R*CNN's regions around one.
    """

    noisy: bool
    rows: int = 0


def _parse_mil(layer: Message, context: LayerContext) -> MILParams:
    p = reject_unknown_fields(layer.get("mil_param"), "type", "context_per_roi")
    rows = number(p, "context_per_roi", 1) if p.has("context_per_roi") else 0
    return MILParams(p.get("type") == "NOR", rows)


def _mil_shape(params: MILParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if params.rows:
        if len(shape) < 2 or count(shape, 2) != 1 or shape[0] % params.rows:
            raise ShapeError(
                f"rows of scores, a multiple of {params.rows}, are wanted: {show(shape)}",
                "mil_param.context_per_roi",
            )
        return ((shape[0] // params.rows, shape[1], 1, 1),)
    need_four_axes(shape, "MIL")
    return ((*shape[:2], 1, 1),)


def grouped(params: MILParams, x: AnyArray) -> AnyArray:
    """The rows of each group, (groups, rows, channels)."""
    return x.reshape(-1, params.rows, x.shape[1])


def _mil(params: MILParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, xp = inputs[0], namespace(inputs[0])
    if params.rows:
        return (grouped(params, x).max(axis=1)[:, :, None, None],)
    largest = x.max(axis=(2, 3), keepdims=True)
    if not params.noisy:
        return (largest,)
    none = (1 - x).reshape(*x.shape[:2], -1).prod(axis=2).reshape(largest.shape)
    return (xp.maximum(1 - none, largest),)


MIL = OpDef(
    name="MIL",
    arity=ONE_TO_ONE,
    params=_parse_mil,
    shape=_mil_shape,
    cost=per_input(2),
    window=full_extent,
    reference=_mil,
    family="pooling",
)


OPS = (SPARSIFY, SIGNED_SQRT, L2_NORMALIZE, SCALE_FILTER, MIL)
