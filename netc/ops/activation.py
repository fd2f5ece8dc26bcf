"""Smooth and bounded activations, and how any function of one element becomes a layer.

ELU, Sigmoid, TanH, AbsVal, BNLL, Swish, Clip and Threshold, each after BVLC's ``<name>_layer.cpp``.
A kernel writes Caffe's formula as it stands, so infinities and NaN come out as Caffe's do: ReLU of
minus infinity is NaN where its slope is 0, since Caffe multiplies the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    Kernel,
    LayerContext,
    OpDef,
    P,
    Parse,
    same_shape,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.role import Role
from netc.schema.message import Message

EPILOGUE_ACTIVATION = Role.ACTIVATION | Role.NONLINEARITY | Role.EPILOGUE | Role.FINISHING

ONE_TO_ONE = Arity(bottoms=(1, 1), tops=(1, 1))


def elementwise(function: Callable[[P, AnyArray], AnyArray]) -> Kernel[P]:
    """A kernel of one bottom and one top: ``function`` of the parameters and the bottom.

    Floating-point warnings of NumPy are silenced: infinities and NaN are results, as in Caffe.
    """

    def kernel(params: P, inputs: Arrays, weights: Arrays) -> Arrays:
        with np.errstate(all="ignore"):
            return (function(params, inputs[0]),)

    return kernel


def activation(
    name: str,
    function: Callable[[P, AnyArray], AnyArray],
    operations: int,
    params: Parse[P],
    role: Role = Role.NONE,
) -> OpDef[P]:
    """The op of an activation: one bottom, one top of its shape, one function of each element.

    Args:
        name: the layer type.
        function: (params, array) -> array of the same shape and dtype.
        operations: arithmetic operations for each element, for the cost.
        params: parse rule of the layer's message.
        role: see :class:`netc.ops.role.Role`.
    """
    return OpDef(
        name=name,
        arity=ONE_TO_ONE,
        params=params,
        shape=same_shape,
        cost=per_output(operations),
        reference=elementwise(function),
        in_place=True,
        role=role,
        family="activation",
    )


@dataclass(frozen=True, slots=True)
class ELUParams:
    """x above 0, ``alpha`` * (exp(x) - 1) below: elu_layer.cpp.

    Clevert et al. 2015, arXiv:1511.07289.
    """

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
    role=EPILOGUE_ACTIVATION,
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
    role=EPILOGUE_ACTIVATION | Role.SIGMOID | Role.NON_NEGATIVE,
)


def _parse_tanh(layer: Message, context: LayerContext) -> None:
    reject_unknown_fields(layer.get("tanh_param"))


TANH = activation(
    "TanH",
    lambda params, x: namespace(x).tanh(x),
    1,
    _parse_tanh,
    role=EPILOGUE_ACTIVATION,
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
    """x * sigmoid(``beta`` * x) (swish_layer.cpp; Ramachandran et al. 2017, arXiv:1710.05941)."""

    beta: float = 1.0


def _parse_swish(layer: Message, context: LayerContext) -> SwishParams:
    return SwishParams(reject_unknown_fields(layer.get("swish_param"), "beta").get("beta"))


SWISH = activation(
    "Swish",
    lambda params, x: x * sigmoid(params.beta * x),
    6,
    _parse_swish,
    role=EPILOGUE_ACTIVATION,
)


@dataclass(frozen=True, slots=True)
class ClipParams:
    """Clip: elements are kept within ``min`` and ``max``, both included (clip_layer.cpp)."""

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


CLIP = activation(
    "Clip", _clip, 2, _parse_clip, role=Role.ACTIVATION | Role.EPILOGUE | Role.CLIPPED
)


@dataclass(frozen=True, slots=True)
class ThresholdParams:
    """Threshold: 1 where an element is greater than ``threshold``, else 0 (threshold_layer.cpp)."""

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
    ELU,
    SIGMOID,
    TANH,
    ABSVAL,
    BNLL,
    SWISH,
    CLIP,
    THRESHOLD,
)
