"""Layers that combine blobs element by element: Eltwise, and Axpy of SENet's fork.

eltwise_layer.cpp of BVLC, axpy_layer.cpp of hujie-frank/SENet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import one_of
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class EltwiseParams:
    """Parameters of Eltwise (eltwise_layer.cpp).

    Args:
        operation: "PROD", "SUM" or "MAX" of the bottoms' elements.
        coeff: a factor of each bottom for a SUM; empty for 1. Caffe accepts ``coeff`` for MAX too
            and does not read it.
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
    pairs = zip(factors, inputs, strict=True)
    terms = (x if factor == 1 else np.float32(factor) * x for factor, x in pairs)
    total: AnyArray = np.float32(0) + next(terms)
    for term in terms:
        total = total + term
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


def _parse_add(layer: Message, context: LayerContext) -> EltwiseParams:
    """Add of Cambricon's Caffe and of others: the sum of two bottoms (add_layer.cpp).

    Another fork's Add is a convolution of distances.
    """
    reject_unknown_fields(layer.get("convolution_param"))
    return EltwiseParams()


# Sum of R*CNN's Caffe and of others: Eltwise that only adds.
OTHER_NAMES = {
    "Sum": replace(ELTWISE, params=lambda layer, context: EltwiseParams()),
    "Add": replace(ELTWISE, params=_parse_add, arity=Arity((2, 2), (1, 1))),
}


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

OPS = (ELTWISE, AXPY)
