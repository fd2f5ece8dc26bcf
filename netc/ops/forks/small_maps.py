"""Layers of forks, with one definition each, that make of a map another in its shape.

SpatialSoftmax (cbfinn/caffe; Finn et al. 2016, deep spatial autoencoders), GroupNorm (Wu and He
2018, without trained arrays), Norm (xiaolonw/caffe-video_triplet), Normalization and Transformation
(Zhou et al. 2016, appearance flow).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import need_axes
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
    no_params,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class SpatialSoftmaxParams:
    """The softmax over the last two axes of a bottom that is divided by ``temperature``."""

    temperature: float


def _parse_spatial(layer: Message, context: LayerContext) -> SpatialSoftmaxParams:
    p = reject_unknown_fields(layer.get("spatial_softmax_param"), "temperature", "engine")
    if p.get("temperature") == 0:
        raise bad_value(p, "temperature", "must not be 0, the bottom is divided by it")
    return SpatialSoftmaxParams(p.get("temperature"))


def _spatial_shape(params: object, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "SpatialSoftmax")
    return (inputs[0],)


def spatial_softmax(params: SpatialSoftmaxParams, x: AnyArray) -> AnyArray:
    """The greatest of a map is taken off before the division, as in the fork."""
    xp = namespace(x)
    raised = (x - x.max(axis=(-2, -1), keepdims=True)) * x.dtype.type(1 / params.temperature)
    power = xp.exp(raised)
    result: AnyArray = power / power.sum(axis=(-2, -1), keepdims=True)
    return result


@quietly
def _spatial(params: SpatialSoftmaxParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (spatial_softmax(params, inputs[0]),)


SPATIAL_SOFTMAX = OpDef(
    name="SpatialSoftmax",
    arity=ONE_TO_ONE,
    params=_parse_spatial,
    shape=_spatial_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(3),
    reference=_spatial,
    in_place=True,
    family="normalization",
)


@dataclass(frozen=True, slots=True)
class GroupNormParams:
    """``groups`` of channels of an item have mean 0 and variance 1, ``eps`` added to the latter."""

    groups: int
    eps: float


def _parse_group_norm(layer: Message, context: LayerContext) -> GroupNormParams:
    p = reject_unknown_fields(layer.get("group_norm_param"), "group_num", "eps")
    if p.get("eps") < 0:
        raise bad_value(p, "eps", "must be at least 0")
    return GroupNormParams(number(p, "group_num", 1), p.get("eps"))


def _group_norm_shape(params: GroupNormParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    need_axes(shape, 2, "GroupNorm")
    if shape[1] % params.groups:
        raise ShapeError(
            f"the channels must be a multiple of `group_num` {params.groups}, the bottom is "
            f"{show(shape)}",
            "group_norm_param.group_num",
        )
    return (shape,)


def group_norm(params: GroupNormParams, x: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The result and the divisors, (items * groups, elements) and (items * groups, 1)."""
    rows = x.reshape(x.shape[0] * params.groups, count(x.shape, 1) // params.groups)
    apart = rows - rows.mean(axis=1, keepdims=True)
    variance = (apart * apart).mean(axis=1, keepdims=True)
    size = namespace(x).sqrt(variance + x.dtype.type(params.eps))
    return apart / size, size


@quietly
def _group_norm(params: GroupNormParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (group_norm(params, inputs[0])[0].reshape(inputs[0].shape),)


GROUP_NORM = OpDef(
    name="GroupNorm",
    arity=ONE_TO_ONE,
    params=_parse_group_norm,
    shape=_group_norm_shape,
    cost=per_output(6),
    window=full_extent,
    memory=copies(3),
    reference=_group_norm,
    in_place=True,
    family="normalization",
)

NORM_EPSILON = 1e-6


def _norm_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The top has the four axes of old Caffe, whatever the bottom has."""
    shape = inputs[0]
    if not 1 <= len(shape) <= 4:
        raise ShapeError(f"Norm takes up to 4 axes, and the bottom is {show(shape)}")
    return ((*shape, *(1,) * (4 - len(shape))),)


@quietly
def _norm(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Over its channels each place has length 1: x / (|x| + 1e-6)."""
    x = inputs[0].reshape(_norm_shape(None, [inputs[0].shape])[0])
    size = namespace(x).sqrt((x * x).sum(axis=1, keepdims=True)) + x.dtype.type(NORM_EPSILON)
    return (x / size,)


NORM = OpDef(
    name="Norm",
    arity=ONE_TO_ONE,
    params=no_params,
    shape=_norm_shape,
    cost=per_output(3),
    reference=_norm,
    memory=copies(2),
    family="normalization",
)


def _items_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 1, "Normalization")
    return (inputs[0],)


def item_shares(x: AnyArray) -> AnyArray:
    """One over the length of each item, (n, 1 ...); infinite where all its elements are 0."""
    square = (x * x).reshape(len(x), -1).sum(axis=1)
    shares: AnyArray = (square ** x.dtype.type(-0.5)).reshape(-1, *(1,) * (x.ndim - 1))
    return shares


@quietly
def _normalization(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (inputs[0] * item_shares(inputs[0]),)


NORMALIZATION = OpDef(
    name="Normalization",
    arity=ONE_TO_ONE,
    params=no_params,
    shape=_items_shape,
    cost=per_output(3),
    window=full_extent,
    memory=copies(2),
    reference=_normalization,
    family="normalization",
)


@dataclass(frozen=True, slots=True)
class TransformationParams:
    """Each bottom is taken its channels' ``means`` off and multiplied by ``scale``."""

    scale: float
    means: tuple[float, ...]


def _parse_transformation(layer: Message, context: LayerContext) -> TransformationParams:
    p = reject_unknown_fields(layer.get("transform_param"), "scale", "mean_value")
    return TransformationParams(p.get("scale"), tuple(p.get("mean_value")))


def _transformation_shape(
    params: TransformationParams, inputs: Sequence[Shape]
) -> tuple[Shape, ...]:
    for shape in inputs:
        need_axes(shape, 3, "Transformation")
        if 1 < len(params.means) < shape[-3]:
            raise ShapeError(
                f"{len(params.means)} values of `mean_value` do not do for the channels of "
                f"{show(shape)}",
                "transform_param.mean_value",
            )
    return tuple(inputs)


def _transformation(
    params: TransformationParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    made = []
    for x in inputs:
        means = np.resize(np.asarray(params.means or (0,), x.dtype), x.shape[-3])
        mean = namespace(x).asarray(means).reshape(-1, 1, 1)
        made.append(x.dtype.type(params.scale) * (x - mean))
    return tuple(made)


TRANSFORMATION = OpDef(
    name="Transformation",
    arity=Arity((1, None), (1, None), same=True),
    params=_parse_transformation,
    shape=_transformation_shape,
    cost=per_output(2),
    reference=_transformation,
    family="other",
)

OPS = (SPATIAL_SOFTMAX, GROUP_NORM, NORM, NORMALIZATION, TRANSFORMATION)
