"""Layers of forks that work place by place: Flip, ChannelNorm, SpatialProduct, GRN, InnerDistance.

Flip and InnerDistance are happynear/caffe-windows's, GRN is opencv/training_toolbox_caffe's,
ChannelNorm lmb-freiburg/flownet2's, SpatialProduct that of DeepLab's Caffe. UpsampleDarknet repeats
elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes, need_four_axes
from netc.ops.cost import per_input, per_output
from netc.ops.define import (
    FLOAT,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    WeightSpec,
    Window,
    copies,
    erased,
    full_extent,
    no_params,
    same_shape,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ZERO, Filler, parse_filler
from netc.ops.forks.bottom_products import BOTTOM_DISTANCE, parse_distance_norm
from netc.ops.numbers import required_number
from netc.schema.message import Message

_TWO_TO_ONE = Arity(bottoms=(2, 2), tops=(1, 1))


@dataclass(frozen=True, slots=True)
class FlipParams:
    """Whether ``height``, ``width`` or both are reversed."""

    height: bool
    width: bool


def _parse_flip(layer: Message, context: LayerContext) -> FlipParams:
    message = reject_unknown_fields(layer.get("flip_param"), "flip_width", "flip_height")
    return FlipParams(message.get("flip_height"), message.get("flip_width"))


def _flip_shape(params: FlipParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_four_axes(inputs[0], "Flip")
    return (inputs[0],)


def _flip(params: FlipParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    xp = namespace(inputs[0])
    axes = [axis for axis, on in ((2, params.height), (3, params.width)) if on]
    return (xp.ascontiguousarray(xp.flip(inputs[0], axes)),)


FLIP = OpDef(
    "Flip", ONE_TO_ONE, _flip_shape, _flip, params=_parse_flip, window=full_extent, family="joining"
)


def _channel_norm_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "ChannelNorm")
    return ((inputs[0][0], 1, *inputs[0][2:]),)


def _channel_norm(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    (x,) = inputs
    with np.errstate(all="ignore"):
        return (namespace(x).sqrt((x * x).sum(axis=1, keepdims=True)),)


CHANNEL_NORM = OpDef(
    "ChannelNorm",
    ONE_TO_ONE,
    _channel_norm_shape,
    _channel_norm,
    no_params,
    cost=per_input(2),
    family="joining",
)


def _product_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    first, second = inputs
    if len(first) != 4 or second != (first[0], 1, *first[2:]):
        raise ShapeError(
            f"SpatialProduct multiplies {show(first)} by one channel of the same places, and the "
            f"second bottom is {show(second)}"
        )
    return (first,)


def _product(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (inputs[0] * inputs[1],)


SPATIAL_PRODUCT = OpDef(
    "SpatialProduct",
    _TWO_TO_ONE,
    _product_shape,
    _product,
    no_params,
    cost=per_output(1),
    family="joining",
)


@dataclass(frozen=True, slots=True)
class GRNParams:
    """Each place's channels divided by sqrt(sum of their squares + ``bias``)."""

    bias: float


def _parse_grn(layer: Message, context: LayerContext) -> GRNParams:
    return GRNParams(reject_unknown_fields(layer.get("grn_param"), "bias").get("bias"))


def _grn(params: GRNParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    (x,) = inputs
    with np.errstate(all="ignore"):
        squares = (x * x).sum(axis=1, keepdims=True) + np.float32(params.bias)
        return (x / namespace(x).sqrt(squares),)


GRN = OpDef(
    "GRN", ONE_TO_ONE, same_shape, _grn, params=_parse_grn, cost=per_output(4), family="joining"
)


@dataclass(frozen=True, slots=True)
class InnerDistanceParams:
    """Distances of each item to ``num_output`` trained centres, (num_output, length).

    ``norm`` is "L1", or "L2" for the squared Euclidean distance. The top is (num, num_output).
    """

    num_output: int
    norm: str
    filler: Filler = CONSTANT_ZERO


def _parse_distance(layer: Message, context: LayerContext) -> InnerDistanceParams:
    names = ("num_output", "distance_type", "bias_term", "bias_filler", "weight_filler", "axis")
    message = reject_unknown_fields(layer.get("inner_distance_param"), *names)
    norm = parse_distance_norm(message)
    filler = parse_filler(message.get("weight_filler"))
    return InnerDistanceParams(required_number(message, "num_output"), norm, filler)


def _distance_shape(params: InnerDistanceParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "InnerDistance")
    return ((inputs[0][0], params.num_output),)


def _distance_weights(
    params: InnerDistanceParams, inputs: Sequence[Shape]
) -> tuple[WeightSpec, ...]:
    return (WeightSpec((params.num_output, count(inputs[0], 1)), params.filler),)


def _distance(params: InnerDistanceParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, (centres,) = inputs[0], weights
    xp = namespace(x)
    difference = x.reshape(x.shape[0], 1, -1) - centres[None]
    if params.norm == "L1":
        return (xp.abs(difference).sum(axis=2),)
    return ((difference * difference).sum(axis=2),)


def _distance_memory(
    params: InnerDistanceParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> int:
    return copies(2)(params, inputs, outputs) + 3 * FLOAT * count(inputs[0]) * params.num_output


def _by_bottom(layer: Message) -> TypeReading | None:
    """With two bottoms the centres are the second (NormFace)."""
    return TypeReading(erased(BOTTOM_DISTANCE)) if len(layer.get("bottom")) == 2 else None


INNER_DISTANCE = OpDef(
    "InnerDistance",
    ONE_TO_ONE,
    _distance_shape,
    _distance,
    params=_parse_distance,
    weights=_distance_weights,
    window=full_extent,
    memory=_distance_memory,
    family="joining",
    reading=_by_bottom,
)


@dataclass(frozen=True, slots=True)
class DarknetUpsampleParams:
    """Each element is repeated ``stride`` times in height and in width."""

    stride: int


def _parse_darknet(layer: Message, context: LayerContext) -> DarknetUpsampleParams:
    message = reject_unknown_fields(layer.get("upsample_darknet_param"), "stride")
    return DarknetUpsampleParams(required_number(message, "stride"))


def _darknet_shape(params: DarknetUpsampleParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_four_axes(inputs[0], "UpsampleDarknet")
    num, channels, height, width = inputs[0]
    return ((num, channels, height * params.stride, width * params.stride),)


def _darknet(
    params: DarknetUpsampleParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    return (inputs[0].repeat(params.stride, axis=2).repeat(params.stride, axis=3),)


def _darknet_window(
    params: DarknetUpsampleParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    stride = (params.stride, params.stride)
    return Window(stride, stride, (0, 0), (1, 1), fractional=True)


UPSAMPLE_DARKNET = OpDef(
    "UpsampleDarknet",
    ONE_TO_ONE,
    _darknet_shape,
    _darknet,
    params=_parse_darknet,
    window=_darknet_window,
    family="joining",
)

OPS = (
    FLIP,
    CHANNEL_NORM,
    SPATIAL_PRODUCT,
    GRN,
    INNER_DISTANCE,
    UPSAMPLE_DARKNET,
)
