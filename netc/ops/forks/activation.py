"""Activations of forks: Mish, HardSwish, SELU and others, most of them of synopsys-caffe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE, activation
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.cost import per_output
from netc.ops.define import LayerContext, OpDef, Window, table
from netc.ops.fields import reject_unknown_fields
from netc.schema.message import Message


def _no_fields(layer: Message, context: LayerContext) -> None:
    """Parse rule of an activation that has no message of its own."""


def _softplus(params: None, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def _rounded(params: None, x: AnyArray) -> AnyArray:
    """To the nearest whole number, of two the even one, as C's ``rint`` (round_layer.cpp)."""
    return namespace(x).rint(x)


def _mish(params: None, x: AnyArray) -> AnyArray:
    """x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)."""
    return x * namespace(x).tanh(_softplus(None, x))


def _hard_swish(params: None, x: AnyArray) -> AnyArray:
    """x * min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, arXiv:1905.02244)."""
    xp = namespace(x)
    return x * xp.minimum(xp.maximum(x + 3, 0), 6) / np.float32(6)


_PLAIN: Mapping[str, Callable[[None, AnyArray], AnyArray]] = {
    "Atan": lambda params, x: namespace(x).arctan(x),
    "Ceil": lambda params, x: namespace(x).ceil(x),
    "Floor": lambda params, x: namespace(x).floor(x),
    "Round": _rounded,
    "Sin": lambda params, x: namespace(x).sin(x),
    "Cos": lambda params, x: namespace(x).cos(x),
    "Softplus": _softplus,
    "Softsign": lambda params, x: x / (1 + namespace(x).abs(x)),
    "HardSwish": _hard_swish,
    "HardTanH": lambda params, x: namespace(x).clip(x, -1, 1),
    "Mish": _mish,
}


@dataclass(frozen=True, slots=True)
class HardSigmoidParams:
    """``alpha`` * x + ``beta``, clipped to 0 and 1."""

    alpha: float = 0.2
    beta: float = 0.5


def _parse_hard_sigmoid(layer: Message, context: LayerContext) -> HardSigmoidParams:
    message = reject_unknown_fields(layer.get("hard_sigmoid_param"), "alpha", "beta")
    return HardSigmoidParams(message.get("alpha"), message.get("beta"))


def _hard_sigmoid(params: HardSigmoidParams, x: AnyArray) -> AnyArray:
    return namespace(x).clip(np.float32(params.alpha) * x + np.float32(params.beta), 0, 1)


@dataclass(frozen=True, slots=True)
class SELUParams:
    """``scale`` * x above 0, ``scale`` * ``alpha`` * (exp(x) - 1) below (Klambauer et al. 2017)."""

    scale: float = 1.05070102
    alpha: float = 1.67326319


def _parse_selu(name: str) -> Callable[[Message, LayerContext], SELUParams]:
    def parse(layer: Message, context: LayerContext) -> SELUParams:
        message = reject_unknown_fields(layer.get(name), "lambda", "alpha")
        return SELUParams(message.get("lambda"), message.get("alpha"))

    return parse


def _selu(params: SELUParams, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    below = np.float32(params.alpha) * xp.expm1(xp.minimum(x, 0))
    return np.float32(params.scale) * xp.where(x > 0, x, below)


@dataclass(frozen=True, slots=True)
class LogSoftmaxParams:
    """x less the logarithm of the sum of exp(x) along ``axis``, which holds the classes."""

    axis: int = 1


def _parse_log_softmax(layer: Message, context: LayerContext) -> LogSoftmaxParams:
    """``axis`` of ``softmax_param``, or of Synopsys's ``log_softmax_param``."""
    own = "log_softmax_param" if layer.has("log_softmax_param") else "softmax_param"
    return LogSoftmaxParams(reject_unknown_fields(layer.get(own), "axis").get("axis"))


def _log_softmax_shape(params: LogSoftmaxParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    axis_in(inputs[0], params.axis, "softmax_param.axis")
    return (inputs[0],)


def _log_softmax(params: LogSoftmaxParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    (x,) = inputs
    xp = namespace(x)
    with np.errstate(all="ignore"):
        shifted = x - x.max(axis=params.axis, keepdims=True)
        return (shifted - xp.log(xp.exp(shifted).sum(axis=params.axis, keepdims=True)),)


def _log_softmax_window(
    params: LogSoftmaxParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return Window(whole=params.axis % len(inputs[0]) >= 2)


LOG_SOFTMAX = OpDef(
    name="LogSoftmax",
    arity=ONE_TO_ONE,
    params=_parse_log_softmax,
    shape=_log_softmax_shape,
    cost=per_output(5),
    window=_log_softmax_window,
    reference=_log_softmax,
    in_place=True,
    family="activation",
)

PLAIN: Mapping[str, OpDef[None]] = {
    name: activation(name, function, 4, _no_fields) for name, function in _PLAIN.items()
}
HARD_SIGMOID = activation("HardSigmoid", _hard_sigmoid, 4, _parse_hard_sigmoid)
SELUS = tuple(
    activation(name, _selu, 5, _parse_selu("selu_param")) for name in ("SeLU", "SeLu", "SELU")
)

OPS = tuple(table(*PLAIN.values(), HARD_SIGMOID, *SELUS, LOG_SOFTMAX).values())
