"""Activations: one value in, one value out, some with a trained slope.

A kernel writes Caffe's formula as it stands, so infinities and NaN come out as Caffe's do: ReLU of
minus infinity is NaN where its slope is 0, since Caffe multiplies the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from netc.ir.types import Shape
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes, per_channel
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    Cost,
    Kernel,
    LayerContext,
    OpDef,
    Params,
    Parse,
    Reading,
    WeightSpec,
    same_shape,
)
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.filler import Filler, parse_filler
from netc.ops.role import Role
from netc.schema.message import Message

_COMMON = Role.ACTIVATION | Role.NONLINEARITY | Role.EPILOGUE | Role.FINISHING

ONE_TO_ONE = Arity(bottoms=(1, 1), tops=(1, 1))


def _elementwise(function: Callable[[Params, AnyArray], AnyArray]) -> Kernel:
    """A kernel that maps its one bottom to its one top."""

    def kernel(params: Params, inputs: Arrays, weights: Arrays) -> Arrays:
        with np.errstate(all="ignore"):
            return (function(params, inputs[0]),)

    return kernel


def activation(
    name: str,
    function: Callable[[Params, AnyArray], AnyArray],
    operations: int,
    params: Parse,
    role: Role = Role.NONE,
) -> OpDef:
    """A layer that maps each element by a function of its parameters and the element.

    Args:
        name: its type.
        function: (params, array) -> array of the same shape.
        operations: arithmetic operations for each element.
        params: what parses its message.
        role: what it does in a graph.
    """
    return OpDef(
        name=name,
        arity=ONE_TO_ONE,
        params=params,
        shape=same_shape,
        cost=per_output(operations),
        reference=_elementwise(function),
        in_place=True,
        role=role,
        family="activation",
    )


@dataclass(frozen=True, slots=True)
class ReLUParams:
    """``negative_slope`` multiplies what is below 0."""

    negative_slope: float = 0.0


def _parse_relu(layer: Message, context: LayerContext) -> ReLUParams:
    message = reject_unknown_fields(layer.get("relu_param"), "negative_slope", "fuse")
    return ReLUParams(message.get("negative_slope"))


def _relu(params: ReLUParams, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    return xp.maximum(x, 0) + params.negative_slope * xp.minimum(x, 0)


def _relu_cost(params: ReLUParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return per_output(2 if params.negative_slope else 1)(params, inputs, outputs)


def _bounded_reading(layer: Message) -> Reading | None:
    """Synopsys's bounds of a ReLU: a ReLU6 of another bound, or one with a least value too."""
    param = layer.get("relu_param")
    least = fork_field(param, "minimum", 0.0)
    if least == 0 and _greatest(param) == math.inf:
        return None
    return Reading(BOUNDED_RELU if least else replace(RELU6, params=_parse_bounded))


def _greatest(param: Message) -> float:
    """The least of `maximum`, where it is above 0, and 6 for `relu6`."""
    most = fork_field(param, "maximum", 0.0)
    return min(
        most if most > 0 else math.inf, 6.0 if fork_field(param, "relu6", False) else math.inf
    )


RELU = OpDef(
    name="ReLU",
    reading=_bounded_reading,
    arity=ONE_TO_ONE,
    params=_parse_relu,
    shape=same_shape,
    cost=_relu_cost,
    reference=_elementwise(_relu),
    in_place=True,
    family="activation",
    role=_COMMON | Role.RECTIFIER,
)


@dataclass(frozen=True, slots=True)
class ReLU6Params:
    """A ReLU with ``n`` as its greatest value."""

    negative_slope: float = 0.0
    n: float = 6.0


def _parse_relu6(layer: Message, context: LayerContext) -> ReLU6Params:
    """ReLU6 of the MobileNet forks; ``n`` is a field of some."""
    message = reject_unknown_fields(layer.get("relu6_param"), "negative_slope", "n")
    return ReLU6Params(message.get("negative_slope"), fork_field(message, "n", 6.0))


def _relu6(params: ReLU6Params, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    y = xp.maximum(x, 0) + params.negative_slope * xp.minimum(x, 0)
    return xp.minimum(y, np.float32(params.n))


RELU6 = activation(
    "ReLU6",
    _relu6,
    2,
    _parse_relu6,
    role=Role.FUNCTION | Role.NONLINEARITY | Role.NON_NEGATIVE | Role.EPILOGUE | Role.FINISHING,
)


@dataclass(frozen=True, slots=True)
class BoundedReLUParams:
    """A ReLU between a least and a greatest value."""

    negative_slope: float
    n: float
    least: float


_BOUNDS = ("negative_slope", "fuse", "relu6", "maximum", "minimum")


def _parse_bounded(layer: Message, context: LayerContext) -> ReLU6Params:
    param = reject_unknown_fields(layer.get("relu_param"), *_BOUNDS)
    return ReLU6Params(param.get("negative_slope"), _greatest(param))


def _parse_bounded_below(layer: Message, context: LayerContext) -> BoundedReLUParams:
    param = reject_unknown_fields(layer.get("relu_param"), *_BOUNDS)
    return BoundedReLUParams(param.get("negative_slope"), _greatest(param), param.get("minimum"))


def _bounded_relu(params: BoundedReLUParams, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    y = _relu6(ReLU6Params(params.negative_slope, params.n), x)
    return xp.maximum(y, np.float32(params.least))


BOUNDED_RELU = activation("BoundedReLU", _bounded_relu, 3, _parse_bounded_below)
READINGS = (BOUNDED_RELU,)


_QUARTER = Filler(value=0.25)


@dataclass(frozen=True, slots=True)
class PReLUParams:
    """One trained slope a channel, or one for all (He et al. 2015, arXiv:1502.01852)."""

    channel_shared: bool = False
    filler: Filler = _QUARTER


def _parse_prelu(layer: Message, context: LayerContext) -> PReLUParams:
    message = reject_unknown_fields(layer.get("prelu_param"), "filler", "channel_shared")
    shared = message.get("channel_shared")
    if not message.has("filler"):
        return PReLUParams(shared)
    return PReLUParams(shared, parse_filler(message.get("filler")))


def _prelu_shape(params: PReLUParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "PReLU")
    return (inputs[0],)


def _prelu_weights(params: PReLUParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    shape = () if params.channel_shared else (inputs[0][1],)
    return (WeightSpec(shape, params.filler),)


def _prelu(params: PReLUParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """max(x, 0) + slope * min(x, 0) (prelu_layer.cpp)."""
    (x,), (slope,) = inputs, weights
    xp = namespace(x)
    with np.errstate(all="ignore"):
        return (xp.maximum(x, 0) + per_channel(slope, x.ndim) * xp.minimum(x, 0),)


PRELU = OpDef(
    name="PReLU",
    arity=ONE_TO_ONE,
    params=_parse_prelu,
    shape=_prelu_shape,
    weights=_prelu_weights,
    cost=per_output(2),
    reference=_prelu,
    in_place=True,
    family="activation",
    role=_COMMON | Role.CHANNEL_VECTORS,
)


@dataclass(frozen=True, slots=True)
class ELUParams:
    """``alpha`` is minus the value far below 0 (Clevert et al. 2015, arXiv:1511.07289)."""

    alpha: float = 1.0


def _parse_elu(layer: Message, context: LayerContext) -> ELUParams:
    return ELUParams(reject_unknown_fields(layer.get("elu_param"), "alpha").get("alpha"))


def _elu(params: ELUParams, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    return xp.maximum(x, 0) + params.alpha * (xp.exp(xp.minimum(x, 0)) - 1)


ELU = activation(
    "ELU",
    _elu,
    4,
    _parse_elu,
    role=_COMMON,
)


def _parse_sigmoid(layer: Message, context: LayerContext) -> None:
    reject_unknown_fields(layer.get("sigmoid_param"))


def sigmoid(x: AnyArray) -> AnyArray:
    """The logistic function as sigmoid_layer.cpp has it, by tanh, which cannot overflow."""
    return 0.5 * namespace(x).tanh(0.5 * x) + 0.5


SIGMOID = activation(
    "Sigmoid",
    lambda params, x: sigmoid(x),
    4,
    _parse_sigmoid,
    role=_COMMON | Role.SIGMOID | Role.NON_NEGATIVE,
)


def _parse_tanh(layer: Message, context: LayerContext) -> None:
    reject_unknown_fields(layer.get("tanh_param"))


TANH = activation(
    "TanH",
    lambda params, x: namespace(x).tanh(x),
    1,
    _parse_tanh,
    role=_COMMON,
)


def _no_fields(layer: Message, context: LayerContext) -> None:
    """Parse rule of an activation that has no message of its own."""


ABSVAL = activation(
    "AbsVal",
    lambda params, x: namespace(x).abs(x),
    1,
    _no_fields,
    role=Role.FUNCTION | Role.NON_NEGATIVE | Role.EPILOGUE | Role.FINISHING,
)


def _bnll(params: None, x: AnyArray) -> AnyArray:
    """log(1 + exp(x)), from the side where exp cannot overflow (bnll_layer.cpp)."""
    xp = namespace(x)
    return xp.maximum(x, 0) + xp.log(1 + xp.exp(-xp.abs(x)))


BNLL = activation(
    "BNLL",
    _bnll,
    5,
    _no_fields,
    role=Role.FUNCTION | Role.NONLINEARITY | Role.NON_NEGATIVE | Role.EPILOGUE | Role.FINISHING,
)


@dataclass(frozen=True, slots=True)
class SwishParams:
    """x * sigmoid(beta * x) (Ramachandran et al. 2017, arXiv:1710.05941)."""

    beta: float = 1.0


def _parse_swish(layer: Message, context: LayerContext) -> SwishParams:
    return SwishParams(reject_unknown_fields(layer.get("swish_param"), "beta").get("beta"))


SWISH = activation(
    "Swish",
    lambda params, x: x * sigmoid(params.beta * x),
    6,
    _parse_swish,
    role=_COMMON,
)


@dataclass(frozen=True, slots=True)
class ClipParams:
    """The least and the greatest value that come out."""

    min: float
    max: float


def _parse_clip(layer: Message, context: LayerContext) -> ClipParams:
    message = reject_unknown_fields(layer.get("clip_param"), "min", "max")
    for bound in ("min", "max"):
        if not message.has(bound):
            raise layer.error(
                "clip_param" if layer.has("clip_param") else "type",
                "missing-field",
                f"Clip needs `min` and `max`, and `{bound}` is not given",
                "write `clip_param { min: 0 max: 6 }`",
            )
    return ClipParams(message.get("min"), message.get("max"))


def _clip(params: ClipParams, x: AnyArray) -> AnyArray:
    """std::max(min, std::min(x, max)): the lower bound wins, and NaN becomes it."""
    xp = namespace(x)
    low, high = np.float32(params.min), np.float32(params.max)
    below = xp.where(high < x, high, x)
    return xp.where(low < below, below, low)


CLIP = activation("Clip", _clip, 2, _parse_clip, role=Role.ACTIVATION | Role.EPILOGUE)


@dataclass(frozen=True, slots=True)
class ThresholdParams:
    """What must be exceeded for a 1."""

    threshold: float = 0.0


def _parse_threshold(layer: Message, context: LayerContext) -> ThresholdParams:
    return ThresholdParams(
        reject_unknown_fields(layer.get("threshold_param"), "threshold").get("threshold")
    )


def _threshold(params: ThresholdParams, x: AnyArray) -> AnyArray:
    return (x > np.float32(params.threshold)).astype(x.dtype)


THRESHOLD = activation(
    "Threshold", _threshold, 1, _parse_threshold, role=Role.FUNCTION | Role.EPILOGUE
)

OPS = (
    RELU,
    RELU6,
    PRELU,
    ELU,
    SIGMOID,
    TANH,
    ABSVAL,
    BNLL,
    SWISH,
    CLIP,
    THRESHOLD,
)
