"""Layers that combine blobs element by element: Eltwise, Scale, Bias; Axpy of SENet's fork."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import aligned, axis_in
from netc.ops.cost import per_output
from netc.ops.define import (
    Affine,
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ONE, CONSTANT_ZERO, Filler, parse_filler
from netc.ops.numbers import number, one_of
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class EltwiseParams:
    """``operation`` is PROD, SUM or MAX; a SUM's ``coeff`` has one factor a bottom, or none.

    Caffe takes a ``coeff`` for MAX too, and does not look at it.
    """

    operation: str = "SUM"
    coeff: tuple[float, ...] = ()


def _parse_eltwise(layer: Message, context: LayerContext) -> EltwiseParams:
    message = reject_unknown_fields(
        layer.get("eltwise_param"), "operation", "coeff", "stable_prod_grad"
    )
    operation, coeff = one_of(message, "operation", tuple(_COMBINE)), message.get("coeff")
    _check_bottoms(layer, operation, context)
    if coeff and operation == "PROD":
        raise message.error(
            "coeff",
            "conflicting-fields",
            "`coeff` is given, and `operation: PROD` takes none",
            "multiply afterwards with a Power layer's `scale`",
        )
    if coeff and len(coeff) != context.bottoms:
        raise message.error(
            "coeff",
            "value-count",
            f"`coeff` has {len(coeff)} values for {context.bottoms} bottoms",
            "give one for each bottom, in order",
        )
    return EltwiseParams(operation, coeff if operation == "SUM" else ())


def _check_bottoms(layer: Message, operation: str, context: LayerContext) -> None:
    """Caffe asks for two bottoms; a weighted sum of one is what FlowNet's forks scale by."""
    weighted = operation == "SUM" and layer.get("eltwise_param").has("coeff")
    if context.bottoms < 2 and not weighted:
        raise layer.error(
            "bottom",
            "bottom-count",
            f"Eltwise takes at least 2 bottoms, and there are {context.bottoms}",
            "name the blobs to combine, or give a `coeff` to multiply one by",
        )


def _eltwise_shape(params: EltwiseParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for index, shape in enumerate(inputs[1:], 1):
        if shape != inputs[0]:
            raise ShapeError(
                f"all bottoms must have one shape: bottom 0 is {show(inputs[0])} and bottom "
                f"{index} is {show(shape)}",
                help=("Eltwise does not broadcast; Scale and Bias do",),
            )
    return (inputs[0],)


def _eltwise(params: EltwiseParams, inputs: Arrays, weights: Arrays) -> Arrays:
    with np.errstate(all="ignore"):
        return (_COMBINE[params.operation](params, inputs),)


def _product(params: EltwiseParams, inputs: Arrays) -> AnyArray:
    total = inputs[0] * inputs[1]
    for x in inputs[2:]:
        total = total * x
    return total


def _sum(params: EltwiseParams, inputs: Arrays) -> AnyArray:
    factors = params.coeff or (1.0,) * len(inputs)
    total: Any = np.float32(0)
    for factor, x in zip(factors, inputs, strict=True):
        total = total + (x if factor == 1 else np.float32(factor) * x)
    return total


def _maximum(params: EltwiseParams, inputs: Arrays) -> AnyArray:
    """A later NaN is not greater and is passed over, except in bottom 1 (eltwise_layer.cpp)."""
    xp = namespace(*inputs)
    best = xp.where(inputs[0] > inputs[1], inputs[0], inputs[1])
    for x in inputs[2:]:
        best = xp.where(x > best, x, best)
    return best


_COMBINE = {"PROD": _product, "SUM": _sum, "MAX": _maximum}


def _eltwise_cost(params: EltwiseParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    multiplied = sum(factor != 1 for factor in params.coeff)
    return Cost(operations=(len(inputs) - 1 + multiplied) * count(outputs[0]))


def _one_summand(params: EltwiseParams, inputs: Sequence[Shape]) -> bool:
    return len(inputs) == 1 and set(params.coeff) <= {1.0}


ELTWISE = OpDef(
    name="Eltwise",
    identity=_one_summand,
    arity=Arity(bottoms=(1, None), tops=(1, 1)),
    params=_parse_eltwise,
    shape=_eltwise_shape,
    cost=_eltwise_cost,
    reference=_eltwise,
    family="joining",
    role=Role.ELTWISE | Role.EPILOGUE,
)


@dataclass(frozen=True, slots=True)
class OperandParams:
    """Where the factor or summand of Scale and Bias lies in the bottom.

    Args:
        message: the parameter message's field, for complaints.
        axis: the bottom's axis at which the operand's first one lies.
        num_axes: how many axes an operand of the layer's own covers; -1 for all that follow.
        filler: of the operand where it is the layer's own.
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
    """Shape of the factor or summand: the second bottom's, or the layer's own parameter's."""
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
    """The axis of ``x`` that the operand's first lies on; a scalar goes anywhere."""
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


def _axpy_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    factor, x, y = inputs
    if x != y or len(x) < 2:
        raise ShapeError(
            f"bottoms 1 and 2 must have one shape of at least 2 axes: they are {show(x)} and "
            f"{show(y)}"
        )
    if factor[:2] != x[:2] or count(factor[2:]) != 1:
        raise ShapeError(
            f"bottom 0 must have a factor for each of the {show(x[:2])} channels of bottom 1, "
            f"and it is {show(factor)}",
            help=("pool it over all places first",),
        )
    return (x,)


def _axpy(params: None, inputs: Arrays, weights: Arrays) -> Arrays:
    """a * x + y, a factor for each channel of each item (axpy_layer.cpp of hujie-frank/SENet)."""
    factor, x, y = inputs
    with np.errstate(all="ignore"):
        return (factor.reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) * x + y,)


AXPY = OpDef(
    name="Axpy",
    arity=Arity(bottoms=(3, 3), tops=(1, 1)),
    shape=_axpy_shape,
    cost=per_output(2),
    reference=_axpy,
    params=no_params,
    family="joining",
)

OPS = (ELTWISE, BIAS, SCALE, AXPY)
