"""Which stages of a fused chain a kernel's epilogue can do, and which are left over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.steps.epilogue import NONE, Activation, Epilogue
from netc.backends.shared.derived import Weights, derived
from netc.ir.graph import Array
from netc.ops.activation import ClipParams, ELUParams, SwishParams
from netc.ops.elementwise import EltwiseParams
from netc.ops.fused import BoundStage, Stage
from netc.ops.numbers import all_finite
from netc.ops.rectifiers import ReLU6Params, ReLUParams


class Matched(NamedTuple):
    """An epilogue and the stages that come after it."""

    epilogue: Epilogue
    rest: list[BoundStage]


def match_epilogue(
    context: EmitContext, bias: Weights | None, stages: Sequence[BoundStage], channels: int
) -> Matched:
    """The longest beginning of the stages that is ``activation(result + bias + residual)``.

    Args:
        context: knows where the residual lies.
        bias: of the product, or None.
        stages: after the product, bound to value and parameter names.
        channels: of the output.
    """
    rest = list(stages)
    residual = None
    if rest and is_sum(rest[0]):
        residual = context.view(rest.pop(0).inputs[0])
    activation = NONE
    if rest:
        found = activation_of(context, rest[0], channels)
        if found is not None:
            activation = found
            rest.pop(0)
    return Matched(Epilogue(bias, residual, activation), rest)


def is_sum(bound: BoundStage) -> bool:
    """True if a stage adds one value of the same shape to the chain."""
    params = bound.stage.params
    return (
        isinstance(params, EltwiseParams)
        and params.operation == "SUM"
        and len(bound.inputs) == 1
        and set(params.coeff) <= {1.0}
    )


def activation_of(context: EmitContext, bound: BoundStage, channels: int) -> Activation | None:
    """The kernel's activation that a stage is, None where it is none of them."""
    rule = _ACTIVATIONS.get(bound.stage.op)
    arrays = [context.array(name) for name in bound.parameters]
    if rule is None or not all_finite(bound.stage.params):
        return None
    return rule(bound.stage, arrays, channels)


def _relu(stage: Stage, arrays: list[Weights], channels: int) -> Activation:
    slope = stage.params_as(ReLUParams).negative_slope
    return Activation("leaky", slope) if slope else Activation("relu")


def _relu6(stage: Stage, arrays: list[Weights], channels: int) -> Activation | None:
    params = stage.params_as(ReLU6Params)
    return None if params.negative_slope else Activation("relu6", params.n)


def _prelu(stage: Stage, arrays: list[Weights], channels: int) -> Activation:
    return Activation("prelu", slopes=derived(_spread, arrays[0], channels))


def _spread(slopes: Array, channels: int) -> Array:
    return np.ascontiguousarray(np.broadcast_to(slopes.reshape(-1), (channels,)))


def _elu(stage: Stage, arrays: list[Weights], channels: int) -> Activation:
    return Activation("elu", stage.params_as(ELUParams).alpha)


def _clip(stage: Stage, arrays: list[Weights], channels: int) -> Activation:
    params = stage.params_as(ClipParams)
    return Activation("clip", params.min, params.max)


def _swish(stage: Stage, arrays: list[Weights], channels: int) -> Activation:
    return Activation("swish", stage.params_as(SwishParams).beta)


_ACTIVATIONS: Mapping[str, Callable[[Stage, list[Weights], int], Activation | None]] = {
    "ReLU": _relu,
    "ReLU6": _relu6,
    "PReLU": _prelu,
    "ELU": _elu,
    "Sigmoid": lambda stage, arrays, channels: Activation("sigmoid"),
    "TanH": lambda stage, arrays, channels: Activation("tanh"),
    "Clip": _clip,
    "Swish": _swish,
}
