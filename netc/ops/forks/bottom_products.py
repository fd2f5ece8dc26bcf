"""InnerProduct and InnerDistance with their weights as a bottom, and ChannelScale.

inner_product_layer.cpp and inner_distance_layer.cpp of happynear/caffe-windows (NormFace, Wang et
al. 2017) and of opencv/training_toolbox_caffe; channel_scale_layer.cpp of the former.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.cost import per_output
from netc.ops.define import (
    FLOAT,
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    copies,
    full_extent,
)
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.filler import CONSTANT_ZERO, Filler, parse_filler
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class BottomProductParams:
    """InnerProduct with its weights as the second bottom, (num_output, length).

    Args:
        axis: the first bottom's axes from here on are the vector.
        bias: whether a bias is added: the third bottom where there are three, else a trained array.
        bottoms: 2 or 3.
        bias_filler: of the trained bias, (num_output,).
    """

    axis: int
    bias: bool
    bottoms: int
    bias_filler: Filler = CONSTANT_ZERO


def _parse_product(layer: Message, context: LayerContext) -> BottomProductParams:
    """`num_output` and `normalize` say nothing here: the second bottom has the rows."""
    names = ("num_output", "axis", "bias_term", "weight_filler", "bias_filler", "normalize")
    p = reject_unknown_fields(layer.get("inner_product_param"), *names)
    return BottomProductParams(
        p.get("axis"), p.get("bias_term"), context.bottoms, parse_filler(p.get("bias_filler"))
    )


def _product_shape(params: BottomProductParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, rows = inputs[:2]
    axis = axis_in(data, params.axis, "inner_product_param.axis")
    if not rows or count(rows, 1) != count(data, axis):
        raise ShapeError(
            f"the second bottom must have rows of {count(data, axis)} weights, as many as "
            f"{show(data)} has from axis {axis} on, it is {show(rows)}"
        )
    if len(inputs) == 3 and count(inputs[2]) != rows[0]:
        raise ShapeError(f"{rows[0]} rows need as many biases, they are {show(inputs[2])}")
    return ((*data[:axis], rows[0]),)


def _product_weights(
    params: BottomProductParams, inputs: Sequence[Shape]
) -> tuple[WeightSpec, ...]:
    own = params.bias and params.bottoms == 2
    return (WeightSpec((inputs[1][0],), params.bias_filler),) if own else ()


def _product_cost(
    params: BottomProductParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Cost:
    return Cost(count(inputs[0]) * inputs[1][0])


def _product(params: BottomProductParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, rows, *bias = inputs
    top = x.reshape(-1, count(rows.shape, 1)) @ rows.reshape(rows.shape[0], -1).T
    for added in (*bias[: params.bias], *weights):
        top = top + added.reshape(-1)
    return (top.reshape(_product_shape(params, [x.shape, rows.shape])[0]),)


BOTTOM_PRODUCT = OpDef(
    name="InnerProductOfBottoms",
    arity=Arity((2, 3), (1, 1)),
    params=_parse_product,
    shape=_product_shape,
    weights=_product_weights,
    cost=_product_cost,
    window=full_extent,
    memory=copies(3),
    reference=_product,
    family="linear",
)


@dataclass(frozen=True, slots=True)
class BottomDistanceParams:
    """Distances of the first bottom's rows to the second's: "L1", or "L2", which is squared."""

    norm: str


def parse_distance_norm(message: Message) -> str:
    """``distance_type`` of an InnerDistance: "L1" or "L2".

    Raises:
        NetcError: unsupported-value, for another, at the field.
    """
    norm: str = message.get("distance_type")
    if norm not in ("L1", "L2"):
        raise message.error(
            "distance_type", "unsupported-value", f"`distance_type` {norm} is no L1 or L2"
        )
    return norm


def _parse_distance(layer: Message, context: LayerContext) -> BottomDistanceParams:
    names = ("num_output", "distance_type", "bias_term", "bias_filler", "weight_filler", "axis",
             "update_center_only", "normalize")  # fmt: skip
    p = reject_unknown_fields(layer.get("inner_distance_param"), *names)
    if fork_field(p, "update_center_only", False):
        raise bad_value(p, "update_center_only", "is not computed with two bottoms")
    return BottomDistanceParams(parse_distance_norm(p))


def _distance_shape(params: BottomDistanceParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, rows = inputs
    if not data or not rows or count(rows, 1) != count(data, 1):
        raise ShapeError(
            f"both bottoms must have rows of one length: {show(data)} and {show(rows)}"
        )
    return ((data[0], rows[0]),)


def _distance(
    params: BottomDistanceParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """No bias is added, whatever `bias_term` says: the fork reads the field nowhere."""
    x, rows = (array.reshape(array.shape[0], -1) for array in inputs)
    difference = x[:, None] - rows[None]
    size = namespace(x).abs(difference) if params.norm == "L1" else difference * difference
    return (size.sum(axis=2),)


def _distance_memory(
    params: BottomDistanceParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> int:
    return copies(2)(params, inputs, outputs) + 3 * FLOAT * count(inputs[0]) * inputs[1][0]


BOTTOM_DISTANCE = OpDef(
    name="InnerDistanceOfBottoms",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_distance,
    shape=_distance_shape,
    window=full_extent,
    memory=_distance_memory,
    reference=_distance,
    family="linear",
)


def _parse_scale(layer: Message, context: LayerContext) -> None:
    reject_unknown_fields(
        layer.get("channel_scale_param"), *("init_global_scale", "max_global_scale",
        "min_global_scale")
    )  # fmt: skip


def _scale_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, scale = inputs
    if len(data) < 2 or not scale or scale[0] != data[0] or count(scale) * data[1] != count(data):
        raise ShapeError(
            f"{show(data)} needs a factor for each of its places, the second bottom is "
            f"{show(scale)}"
        )
    return (data,)


def places_of(scale: AnyArray, data: AnyArray | Shape) -> AnyArray:
    """One factor for each place of each image, reshaped to broadcast over the channels of ``data``.

    Args:
        scale: num times the number of places, in any shape.
        data: (num, channels, ...), or its shape.
    """
    shape = data if isinstance(data, tuple) else data.shape
    return scale.reshape(shape[0], 1, *shape[2:])


def _scale(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (inputs[0] * places_of(inputs[1], inputs[0]),)


CHANNEL_SCALE = OpDef(
    name="ChannelScale",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_scale,
    shape=_scale_shape,
    cost=per_output(1),
    reference=_scale,
    family="joining",
)

READINGS = (BOTTOM_PRODUCT, BOTTOM_DISTANCE)
OPS = (CHANNEL_SCALE,)
