"""Gradients of elementwise layers as C++, and what is dropped at random: stages of chains.

A gradient is a stage that takes the top's gradient through a factor, which is worked out from what
the node is given of the forward pass. Each formula is that of the layer's gradient rule in
netc.ops.gradients; where a factor is 0 and the gradient no finite number, the result is as there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from netc.backends.cuda.chain import ChainCode
from netc.backends.shared.derived import Weights
from netc.ops.activation import ClipParams, ELUParams, SwishParams
from netc.ops.arithmetic import BaseParams, PowerParams, log_of
from netc.ops.dropout import DropoutParams, DropPathParams
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import GradientParams
from netc.ops.numbers import all_finite
from netc.ops.rectifiers import ReLU6Params, ReLUParams

Bottoms = Sequence[str | None]


@dataclass(frozen=True)
class SavedCode:
    """A gradient's operands as code.

    Args:
        chain: that is being written.
        params: the node's.
        inputs: the bottoms that it reads, by index; None is the chain's value.
        outputs: the tops that it reads, by index.
        top: the top's gradient.
        arrays: trained arrays.
    """

    chain: ChainCode
    params: GradientParams
    inputs: Mapping[int, str | None]
    outputs: Mapping[int, str | None]
    top: str | None
    arrays: Sequence[Weights]

    @property
    def x(self) -> str:
        """The first bottom."""
        return self.chain.same(self.inputs[0])

    @property
    def y(self) -> str:
        """The first top."""
        return self.chain.same(self.outputs[0])

    def number(self, value: float) -> str:
        """A constant of the layer's."""
        return self.chain.number(value)


Factor = Callable[[SavedCode], str]  # -> the factor


def slope(
    chain: ChainCode, params: GradientParams, bottoms: Bottoms, arrays: Sequence[Weights]
) -> str:
    """The gradient of a bottom of an elementwise layer."""
    given = iter(bottoms)
    inputs = {index: next(given) for index in params.inputs}
    outputs = {index: next(given) for index in params.outputs}
    code = SavedCode(chain, params, inputs, outputs, next(given), arrays)
    factor = FACTORS[params.op](code)
    return f"{chain.same(code.top)} * ({factor})"


def is_slope(params: object) -> bool:
    """True for a gradient of a bottom that has a factor here."""
    if not isinstance(params, GradientParams) or params.kind != "bottom" or params.in_place:
        return False
    if params.op not in FACTORS or params.arrived != (0,) or not all_finite(params.params):
        return False
    allowed = _ONLY.get(params.op)
    return allowed is None or allowed(params)


def _relu(code: SavedCode) -> str:
    params = code.params.params_as(ReLUParams)
    seen = code.y if code.outputs else code.x
    return f"relu_slope({seen}, {code.number(params.negative_slope)})"


def _relu6(code: SavedCode) -> str:
    params = code.params.params_as(ReLU6Params)
    slope_code = f"{code.number(params.negative_slope)}, {code.number(params.n)}"
    return f"relu6_slope({code.x}, {slope_code})"


def _prelu(code: SavedCode) -> str:
    return f"relu_slope({code.x}, {code.chain.channel(code.arrays[0])})"


def _elu(code: SavedCode) -> str:
    params = code.params.params_as(ELUParams)
    name = "elu_slope" if code.outputs else "elu_slope_of"
    return f"{name}({code.y if code.outputs else code.x}, {code.number(params.alpha)})"


def _by(name: str, *, output: bool) -> Factor:
    """A function of the prelude, of the layer's top or bottom."""
    return lambda code: f"{name}({code.y if output else code.x})"


def _swish(code: SavedCode) -> str:
    params = code.params.params_as(SwishParams)
    return f"swish_slope({code.x}, {code.number(params.beta)})"


def _clip(code: SavedCode) -> str:
    params = code.params.params_as(ClipParams)
    return f"within({code.x}, {code.number(params.min)}, {code.number(params.max)})"


def _power(code: SavedCode) -> str:
    """power * scale * (shift + scale * x) ** (power - 1)."""
    params = code.params.params_as(PowerParams)
    power, scale, shift = (np.float32(v) for v in (params.power, params.scale, params.shift))
    base = f"{code.number(float(scale))} * {code.x} + {code.number(float(shift))}"
    outer, less = code.number(float(power * scale)), float(power - np.float32(1))
    inner = f"({base})" if less == 1 else f"powf({base}, {code.number(less)})"
    return f"{outer} * {inner}"


def _exp(code: SavedCode) -> str:
    params = code.params.params_as(BaseParams)
    inner = float(np.float32(log_of(params.base)) * np.float32(params.scale))
    return f"{code.y} * {code.number(inner)}"


def _log(code: SavedCode) -> str:
    params = code.params.params_as(BaseParams)
    base, scale = code.number(float(log_of(params.base))), code.number(params.scale)
    return f"{scale} / ({base} * ({scale} * {code.x} + {code.number(params.shift)}))"


def _eltwise(code: SavedCode) -> str:
    """The other bottoms of a product; of a maximum whether it is this one's."""
    params = code.params.params_as(EltwiseParams)
    terms = {index: code.chain.same(value) for index, value in code.inputs.items()}
    if params.operation == "MAX":
        listed = ", ".join(terms[index] for index in sorted(terms))
        return f"chosen<{len(terms)}>({{{listed}}}) == {code.params.index} ? 1.0f : 0.0f"
    others = [terms[index] for index in sorted(terms) if index != code.params.index]
    return " * ".join(others)


def _axpy(code: SavedCode) -> str:
    factor = code.inputs[0]
    assert factor is not None
    return code.chain.spread_value(factor, 0)


def _drawn(code: SavedCode) -> str:
    params = code.params.params_as(DropoutParams, DropPathParams)
    return drawn(code.chain, params, code.inputs.get(1))


def dropped(
    chain: ChainCode,
    params: DropoutParams | DropPathParams,
    bottoms: Bottoms,
    arrays: Sequence[Weights],
) -> str:
    """Dropout and DropPath: the value times what is drawn, or times one factor for all."""
    if not params.sample:
        return "v" if params.scale == 1 else f"v * {chain.number(params.scale)}"
    return f"v * {drawn(chain, params, (*bottoms, None)[1])}"


def drawn(chain: ChainCode, params: DropoutParams | DropPathParams, key: str | None) -> str:
    """What an element is multiplied by: 0 or the scale, by its random number (netc.ops.random).

    Args:
        chain: that is being written.
        params: the layer's.
        key: the value with the generator's key; None for that of seed 0 and iteration 0.
    """
    if isinstance(params, DropoutParams):
        limit, element = np.float32(params.ratio), chain.element()
    else:
        limit = np.float32(1 - params.survival)
        element = chain.item() if params.per_sample else "0"
    place = "(const value_t*)nullptr" if key is None else chain.pointer(key)
    numbers = f"{chain.number(float(limit))}, {chain.number(params.scale)}"
    return f"drawn({place}, {params.seed & 0xFFFFFFFF}u, {element}, {numbers})"


def _reads_bottom(*indices: int) -> Callable[[GradientParams], bool]:
    return lambda params: params.inputs == indices and not params.outputs


def _reads_top(params: GradientParams) -> bool:
    return params.outputs == (0,) and not params.inputs


def _reads_either(params: GradientParams) -> bool:
    return len(params.outputs) + len(params.inputs) == 1


def _of_linear(params: GradientParams) -> bool:
    """A Power that is no constant, of what it reads alone."""
    layer = params.params_as(PowerParams)
    return params.inputs == (0,) and layer.power * layer.scale != 0


def _of_eltwise(params: GradientParams) -> bool:
    operation = params.params_as(EltwiseParams).operation
    wanted = len(params.shapes) - (operation == "PROD")
    return operation in ("PROD", "MAX") and len(params.inputs) == wanted


FACTORS: Mapping[str, Factor] = {
    "AbsVal": _by("sign_of", output=False),
    "Axpy": _axpy,
    "BNLL": _by("bnll_slope", output=False),
    "Clip": _clip,
    "Dropout": _drawn,
    "DropPath": _drawn,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Log": _log,
    "Power": _power,
    "PReLU": _prelu,
    "ReLU": _relu,
    "ReLU6": _relu6,
    "Sigmoid": _by("sigmoid_slope", output=True),
    "Swish": _swish,
    "TanH": _by("tanh_slope", output=True),
}
_ONLY: Mapping[str, Callable[[GradientParams], bool]] = {
    "AbsVal": _reads_bottom(0),
    "Axpy": lambda params: params.index == 1 and params.inputs == (0,),
    "BNLL": _reads_bottom(0),
    "Clip": _reads_bottom(0),
    "Dropout": lambda params: 0 not in params.inputs and not params.outputs,
    "DropPath": lambda params: 0 not in params.inputs and not params.outputs,
    "ELU": _reads_either,
    "Eltwise": _of_eltwise,
    "Exp": _reads_top,
    "Log": _reads_bottom(0),
    "Power": _of_linear,
    "PReLU": _reads_bottom(0),
    "ReLU": _reads_either,
    "ReLU6": _reads_bottom(0),
    "Sigmoid": _reads_top,
    "Swish": _reads_bottom(0),
    "TanH": _reads_top,
}
