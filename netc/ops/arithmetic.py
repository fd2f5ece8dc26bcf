"""Powers, exponentials and logarithms of each element: Power, Exp, Log.

power_layer.cpp, exp_layer.cpp and log_layer.cpp. Constants are worked out in float32, as Caffe's
``Dtype`` arithmetic does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from netc.diagnostics import NetcError
from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cost import per_output
from netc.ops.define import Affine, LayerContext, OpDef, P, Parse, same_shape
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.role import Role
from netc.schema.message import Message


def _op(
    name: str,
    function: Callable[[P, AnyArray], AnyArray],
    operations: int,
    params: Parse[P],
    role: Role = Role.NONE,
) -> OpDef[P]:
    def kernel(params: P, inputs: Arrays, weights: Arrays) -> Arrays:
        with np.errstate(all="ignore"):
            return (function(params, inputs[0]),)

    return OpDef(
        name=name,
        arity=ONE_TO_ONE,
        params=params,
        shape=same_shape,
        cost=per_output(operations),
        reference=kernel,
        in_place=True,
        role=role,
        family="activation",
    )


@dataclass(frozen=True, slots=True)
class PowerParams:
    """(``shift`` + ``scale`` * x) ** ``power`` (power_layer.cpp)."""

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0


def _parse_power(layer: Message, context: LayerContext) -> PowerParams:
    message = reject_unknown_fields(layer.get("power_param"), "power", "scale", "shift")
    return PowerParams(message.get("power"), message.get("scale"), message.get("shift"))


def _power(params: PowerParams, x: AnyArray) -> AnyArray:
    """A power or scale of 0 gives a constant whatever x is, infinities too (power_layer.cpp)."""
    xp = namespace(x)
    power, scale, shift = (np.float32(v) for v in (params.power, params.scale, params.shift))
    if power * scale == 0:
        value = np.float32(1) if power == 0 else shift**power
        return xp.full_like(x, value)
    y = x if scale == 1 else scale * x
    y = y if shift == 0 else y + shift
    if power == 0.5:  # NumPy takes the square root, which differs from C's pow in -inf and -0
        y = xp.where(y == -np.inf, np.float32(np.inf), y) + np.float32(0)
    return y if power == 1 else xp.power(y, power)


def _power_is_one(params: PowerParams, inputs: Sequence[Shape]) -> bool:
    return params == PowerParams()


def _power_affine(params: PowerParams, inputs: Sequence[Shape], weights: Arrays) -> Affine | None:
    """Linear with power 1; a scale of 0 is none, since it makes constants of infinities too."""
    if params.power != 1 or params.scale == 0:
        return None
    channels = inputs[0][1]
    return Affine(np.full(channels, params.scale), np.full(channels, params.shift))


POWER = replace(
    _op("Power", _power, 3, _parse_power, role=Role.FUNCTION | Role.EPILOGUE | Role.FINISHING),
    identity=_power_is_one,
    affine=_power_affine,
)


@dataclass(frozen=True, slots=True)
class BaseParams:
    """Parameters of Exp and Log (exp_layer.cpp, log_layer.cpp).

    Exp is ``base`` ** (``shift`` + ``scale`` * x), and Log is the logarithm of ``shift`` +
    ``scale`` * x to ``base``. A ``base`` of -1 stands for e.
    """

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0


def _parse_base(message: Message) -> BaseParams:
    reject_unknown_fields(message, "base", "scale", "shift")
    base = message.get("base")
    if base != -1 and not (base > 0 and math.isfinite(base)):
        raise _bad_base(message, "must be positive and finite, or -1 for e")
    return BaseParams(base, message.get("scale"), message.get("shift"))


def _bad_base(message: Message, rule: str) -> NetcError:
    return bad_value(message, "base", rule, "leave `base` out for the natural one")


def _parse_exp(layer: Message, context: LayerContext) -> BaseParams:
    return _parse_base(layer.get("exp_param"))


def _parse_log(layer: Message, context: LayerContext) -> BaseParams:
    message = layer.get("log_param")
    params = _parse_base(message)
    if np.float32(params.base) == 1:
        raise _bad_base(message, "must not be 1, whose logarithm is 0 and would divide by it")
    return params


def log_of(base: float) -> np.float32:
    """The natural logarithm of a base, where -1 stands for e."""
    return np.float32(1) if base == -1 else np.log(np.float32(base))


def _exp(params: BaseParams, x: AnyArray) -> AnyArray:
    """base ** (shift + scale * x) as base ** shift * exp(log(base) * scale * x) (exp_layer.cpp)."""
    inner = log_of(params.base) * np.float32(params.scale)
    shift = np.float32(params.shift)
    base = np.float32(params.base)
    outer = np.exp(shift) if params.base == -1 else base**shift
    y = namespace(x).exp(x if inner == 1 else inner * x)
    return y if shift == 0 else y * outer


EXP = _op("Exp", _exp, 3, _parse_exp, role=Role.FUNCTION | Role.EPILOGUE)


def _log(params: BaseParams, x: AnyArray) -> AnyArray:
    """log(shift + scale * x) / log(base) (log_layer.cpp)."""
    scale, shift = np.float32(params.scale), np.float32(params.shift)
    y = x if scale == 1 else scale * x
    y = y if shift == 0 else y + shift
    factor = np.float32(1) / log_of(params.base)
    return namespace(x).log(y) * factor


LOG = _op("Log", _log, 4, _parse_log, role=Role.FUNCTION | Role.EPILOGUE)

OPS = (POWER, EXP, LOG)
