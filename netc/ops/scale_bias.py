"""Scale and Bias: a factor and a summand that broadcast (scale_layer.cpp, bias_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.axes import aligned, axis_in
from netc.ops.define import (
    Affine,
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ONE, CONSTANT_ZERO, Filler, parse_filler
from netc.ops.numbers import number
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class OperandParams:
    """Which axes of the bottom the factor or summand belongs to.

    Args:
        message: "scale_param" or "bias_param", for messages.
        axis: the bottom's axis that the operand's first axis belongs to.
        num_axes: how many axes the layer's own operand covers; -1 for all from ``axis`` on.
        filler: of the operand, where it is a trained array and not the second bottom.
        bias_filler: of the bias after a Scale; None without one.
    """

    message: str
    axis: int = 1
    num_axes: int = 1
    filler: Filler = CONSTANT_ZERO
    bias_filler: Filler | None = None


def _parse_operand(layer: Message, context: LayerContext, field: str) -> OperandParams:
    message = layer.get(field)
    # With a second bottom its own axes count, and Caffe does not look at `num_axes`.
    own = context.bottoms == 1
    num_axes = number(message, "num_axes", -1) if own else message.get("num_axes")
    return OperandParams(field, message.get("axis"), num_axes, parse_filler(message.get("filler")))


def _parse_bias(layer: Message, context: LayerContext) -> OperandParams:
    reject_unknown_fields(layer.get("bias_param"), "axis", "num_axes", "filler")
    return _parse_operand(layer, context, "bias_param")


def _parse_scale(layer: Message, context: LayerContext) -> OperandParams:
    message = reject_unknown_fields(
        layer.get("scale_param"), "axis", "num_axes", "filler", "bias_term", "bias_filler"
    )
    base = _parse_operand(layer, context, "scale_param")
    return OperandParams(
        base.message,
        base.axis,
        base.num_axes,
        base.filler if message.has("filler") else CONSTANT_ONE,
        parse_filler(message.get("bias_filler")) if message.get("bias_term") else None,
    )


def operand_shape(params: OperandParams, inputs: Sequence[Shape]) -> Shape:
    """Shape of the factor or summand: the second bottom's, or that of the layer's own array.

    Raises:
        ShapeError: ``axis`` or ``num_axes`` reach past the bottom's axes.
    """
    x = inputs[0]
    if len(inputs) > 1:
        return inputs[1]
    start = axis_in(x, params.axis, f"{params.message}.axis")
    end = len(x) if params.num_axes == -1 else start + params.num_axes
    if end > len(x):
        raise ShapeError(
            f"`axis` {params.axis} and `num_axes` {params.num_axes} reach past the {len(x)} axes "
            f"of {show(x)}",
            f"{params.message}.num_axes",
            ("use `num_axes: -1` for all axes from `axis` on",),
        )
    return x[start:end]


def operand_start(params: OperandParams, x: Shape, operand: Shape) -> int:
    """The axis of ``x`` that the operand's first axis belongs to; 0 for a scalar.

    Raises:
        ShapeError: ``x`` has no such axis.
    """
    return axis_in(x, params.axis, f"{params.message}.axis") if operand else 0


def _fit_operand(params: OperandParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    x, operand = inputs[0], operand_shape(params, inputs)
    start = operand_start(params, x, operand)
    covered = x[start : start + len(operand)]
    if covered != operand:
        raise ShapeError(
            f"bottom 1 is {show(operand)}, and from axis {start} on bottom 0, {show(x)}, has "
            f"{show(covered)}",
            f"{params.message}.axis",
            ("bottom 1 must equal the axes of bottom 0 that `axis` begins at",),
        )
    return (x,)


def _bias_weights(params: OperandParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    if len(inputs) > 1:
        return ()
    return (WeightSpec(operand_shape(params, inputs), params.filler),)


def _scale_weights(params: OperandParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """The factor unless it is a bottom, and the bias: of the same axes (scale_layer.cpp)."""
    own = _bias_weights(params, inputs)
    if params.bias_filler is None:
        return own
    return (*own, WeightSpec(operand_shape(params, inputs), params.bias_filler))


def _on(params: OperandParams, x: AnyArray, operand: AnyArray) -> AnyArray:
    """The operand with axes of 1 added, so that it broadcasts over ``x``."""
    return aligned(operand, operand_start(params, x.shape, operand.shape), x.ndim)


def _bias(params: OperandParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x, summand = (*inputs, *weights)
    with np.errstate(all="ignore"):
        return (x + _on(params, x, summand),)


def _scale(params: OperandParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x, factor, *bias = (*inputs, *weights)
    with np.errstate(all="ignore"):
        y = x * _on(params, x, factor)
        return (y + _on(params, x, bias[0]) if bias else y,)


def _operand_cost(params: OperandParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    each = 1 if params.bias_filler is None else 2
    return Cost(operations=each * count(outputs[0]))


def _covers_channels(params: OperandParams, inputs: Sequence[Shape]) -> bool:
    """Whether the operand is one value a channel (axis 1), or one for all."""
    operand = operand_shape(params, inputs)
    return operand == () or (operand == inputs[0][1:2] and params.axis in (1, 1 - len(inputs[0])))


def _bias_affine(params: OperandParams, inputs: Sequence[Shape], weights: Arrays) -> Affine | None:
    if not _covers_channels(params, inputs):
        return None
    channels = inputs[0][1]
    shift = np.broadcast_to(weights[0].astype(np.float64), (channels,))
    return Affine(np.ones(channels), shift)


def _scale_affine(params: OperandParams, inputs: Sequence[Shape], weights: Arrays) -> Affine | None:
    if not _covers_channels(params, inputs):
        return None
    channels = inputs[0][1]
    factors = [np.broadcast_to(w.astype(np.float64), (channels,)) for w in weights]
    return Affine(factors[0], factors[1] if len(factors) > 1 else np.zeros(channels))


BIAS = OpDef(
    name="Bias",
    affine=_bias_affine,
    arity=Arity(bottoms=(1, 2), tops=(1, 1)),
    params=_parse_bias,
    shape=_fit_operand,
    weights=_bias_weights,
    cost=_operand_cost,
    reference=_bias,
    in_place=True,
    family="normalization",
    role=Role.BIAS | Role.CHANNEL_VECTORS | Role.EPILOGUE | Role.FINISHING,
)

SCALE = OpDef(
    name="Scale",
    affine=_scale_affine,
    arity=Arity(bottoms=(1, 2), tops=(1, 1)),
    params=_parse_scale,
    shape=_fit_operand,
    weights=_scale_weights,
    cost=_operand_cost,
    reference=_scale,
    in_place=True,
    family="normalization",
    role=Role.SCALE | Role.CHANNEL_VECTORS | Role.EPILOGUE | Role.FINISHING,
)

OPS = (BIAS, SCALE)
