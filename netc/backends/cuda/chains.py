"""Elementwise layers as C++: the epilogues of kernels, and kernels that are nothing else.

A chain takes a value through stages (see netc.ops.fused); each stage becomes a statement over
``v``. What it reads besides, other values and trained arrays, becomes fields of ``Operands``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from netc.backends.cuda.chain import ChainCode, FusedOutput
from netc.backends.cuda.program import Argument
from netc.backends.cuda.slopes import Bottoms, dropped, is_slope, slope
from netc.backends.cuda.source import Code
from netc.backends.shared.derived import Weights, derived
from netc.ir.types import Shape
from netc.ops.activation import ClipParams, ELUParams, SwishParams, ThresholdParams
from netc.ops.arithmetic import BaseParams, PowerParams
from netc.ops.array import AnyArray
from netc.ops.batch_norm import BatchNormParams, uses_batch_statistics
from netc.ops.catalog import CATALOG, has_role
from netc.ops.dropout import DropoutParams, DropPathParams
from netc.ops.elementwise import EltwiseParams
from netc.ops.fused import BoundStage, Stage
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams
from netc.ops.numbers import all_finite
from netc.ops.rectifiers import ReLU6Params, ReLUParams
from netc.ops.role import Role
from netc.ops.scale_bias import OperandParams


def chain_code(
    chain: ChainCode, targets: Sequence[FusedOutput]
) -> tuple[Code, tuple[Argument, ...]]:
    """The code of a kernel's outputs, and the arguments that follow the kernel's own."""
    functions, calls = [], []
    for index, target in enumerate(targets):
        chain.shape, chain.row = target.shape, target.view.c
        lines = [] if target.bias is None else [f"    v += {chain.bias(target.bias)};\n"]
        lines += [f"    v = {statement(chain, bound)};\n" for bound in target.stages]
        if chain.beside:
            functions.append(_beside(chain, lines))
            break
        functions.append(
            f"DEVICE float chain{index}(float v, int pixel, int channel, const Operands& with) {{\n"
            f"{''.join(lines)}    return v;\n}}\n"
        )
        condition = f"if (branch == {index}) " if index < len(targets) - 1 else ""
        calls.append(f"    {condition}return chain{index}(v, pixel, channel, with);\n")
    many = len(targets)
    members = "".join(f"    {kind} {name};\n" for kind, name in chain.fields)
    text = (
        f"constexpr int BRANCHES = {many};\n"
        f"struct Outputs {{\n    value_t* y[{many}];\n    int ld[{many}];\n    int count[{many}];\n"
        f"}};\nstruct Operands {{\n{members}}};\n{''.join(functions)}{_choice(calls)}"
    )
    ys = [f"y{i}" for i in range(many)]
    declared = [f"value_t* y{i}, int ldy{i}, int count{i}" for i in range(many)]
    declared += [f"{kind} {name}" for kind, name in chain.fields]
    lists = (ys, [f"ldy{i}" for i in range(many)], [f"count{i}" for i in range(many)])
    outputs = ", ".join(f"{{{', '.join(names)}}}" for names in lists)
    code = Code(
        text,
        "".join(f", {d}" for d in declared),
        f"{{{outputs}}}",
        f"{{{', '.join(name for _, name in chain.fields)}}}",
    )
    return code, (*_output_arguments(targets), *chain.arguments)


def _choice(calls: Sequence[str]) -> str:
    """The function that goes through an output's chain; none where there are no such functions."""
    if not calls:
        return ""
    head = "DEVICE float chain(float v, int pixel, int channel, int branch, const Operands& with)"
    return f"{head} {{\n{''.join(calls)}}}\n"


def _beside(chain: ChainCode, lines: Sequence[str]) -> str:
    """The function that takes neighbouring channels through a chain."""
    n = chain.beside
    loads = (
        f"    float seen{i}[{n}];\n    load_all(seen{i}, {place});\n"
        for i, place in enumerate(chain.loads)
    )
    body = "".join(f"    {line}" for line in lines)
    return (
        f"DEVICE void chain_all(float (&all)[{n}], int pixel, int first, const Operands& with) {{\n"
        f"{''.join(loads)}#pragma unroll\n    for (int e = 0; e < {n}; e++) {{\n"
        f"        const int channel = first + e;\n        float v = all[e];\n{body}"
        "        all[e] = v;\n    }\n}\n"
    )


def _output_arguments(targets: Sequence[FusedOutput]) -> list[Argument]:
    found: list[Argument] = []
    for target in targets:
        found += [target.view.place, target.view.ld, target.view.c]
    return found


Rule = Callable[[ChainCode, Stage, Bottoms, Sequence[Weights]], str]  # -> the stage, of ``v``

P = TypeVar("P")


def supported(bound: BoundStage, shapes: Sequence[Shape]) -> bool:
    """True if a stage can be written as a statement of C++.

    Args:
        bound: the stage.
        shapes: of its bottoms, in order.
    """
    op = bound.stage.op
    if op == GRADIENT:
        return is_slope(bound.stage.params)
    if not all_finite(bound.stage.params):
        return False
    if uses_batch_statistics(bound.stage.params):
        return False
    if op in RULES:
        return True
    identity = CATALOG[op].identity
    return identity is not None and len(shapes) == 1 and identity(bound.stage.params, shapes)


def is_elementwise(stage: Stage) -> bool:
    """True if each element of a stage's output depends on elements at the same place alone."""
    if stage.op == GRADIENT:
        return is_slope(stage.params)
    return has_role(stage.op, Role.EPILOGUE) or stage.op in ("Dropout", "DropPath")


def statement(chain: ChainCode, bound: BoundStage) -> str:
    """A stage as a C++ expression of ``v``."""
    stage = bound.stage
    bottoms = [*bound.inputs[: stage.position], None, *bound.inputs[stage.position :]]
    arrays = [chain.array(name) for name in bound.parameters]
    rule = RULES.get(stage.op)
    return "v" if rule is None else rule(chain, stage, bottoms, arrays)


def _with_params(
    kind: type[P], rule: Callable[[ChainCode, P, Bottoms, Sequence[Weights]], str]
) -> Rule:
    """A rule for stages with parameters of a type."""
    return lambda chain, stage, bottoms, arrays: rule(chain, stage.params_as(kind), bottoms, arrays)


def _function(kind: type[P], rule: Callable[[ChainCode, P], str]) -> Rule:
    """A rule for functions of one element that have parameters of a type."""
    return lambda chain, stage, bottoms, arrays: rule(chain, stage.params_as(kind))


def _always(text: str) -> Rule:
    """A rule for stages without parameters."""
    return lambda chain, stage, bottoms, arrays: text


def _relu(chain: ChainCode, params: ReLUParams | ReLU6Params) -> str:
    slope = params.negative_slope
    return f"leaky(v, {chain.number(slope) if slope else '0.0f'})"


def _relu6(chain: ChainCode, params: ReLU6Params) -> str:
    return f"smaller({_relu(chain, params)}, {chain.number(params.n)})"


def _clip(chain: ChainCode, params: ClipParams) -> str:
    """std::max(min, std::min(x, max)): the lower bound wins, and NaN becomes it."""
    return f"clipped(v, {chain.number(params.min)}, {chain.number(params.max)})"


def _power(chain: ChainCode, params: PowerParams) -> str:
    power, scale, shift = (np.float32(v) for v in (params.power, params.scale, params.shift))
    with np.errstate(all="ignore"):
        if power * scale == 0:
            return chain.number(float(np.float32(1) if power == 0 else shift**power))
    inner = "v" if scale == 1 else f"{chain.number(float(scale))} * v"
    inner = inner if shift == 0 else f"{inner} + {chain.number(float(shift))}"
    return inner if power == 1 else f"powf({inner}, {chain.number(float(power))})"


def _log_of(base: float) -> np.float32:
    return np.float32(1) if base == -1 else np.float32(np.log(np.float32(base)))


def _exp(chain: ChainCode, params: BaseParams) -> str:
    inner = _log_of(params.base) * np.float32(params.scale)
    shift = np.float32(params.shift)
    y = "expf(v)" if inner == 1 else f"expf({chain.number(float(inner))} * v)"
    if shift == 0:
        return y
    with np.errstate(all="ignore"):
        outer = np.exp(shift) if params.base == -1 else np.float32(params.base) ** shift
    return f"{y} * {chain.number(float(outer))}"


def _log(chain: ChainCode, params: BaseParams) -> str:
    y = "v" if params.scale == 1 else f"{chain.number(params.scale)} * v"
    y = y if params.shift == 0 else f"{y} + {chain.number(params.shift)}"
    factor = np.float32(1) / _log_of(params.base)
    return f"logf({y}) * {chain.number(float(factor))}"


def _prelu(chain: ChainCode, stage: Stage, bottoms: Bottoms, arrays: Sequence[Weights]) -> str:
    return f"leaky(v, {chain.channel(arrays[0])})"


def _batch_norm(
    chain: ChainCode,
    params: BatchNormParams,
    bottoms: Bottoms,
    arrays: Sequence[Weights],
) -> str:
    mean = derived(_corrected, arrays[0], arrays[2])
    deviation = derived(_deviation, arrays[1], arrays[2], params.eps)
    y = f"(v - {chain.channel(mean)}) / {chain.channel(deviation)}"
    if not params.fillers:
        return y
    return f"{chain.channel(arrays[3])} * ({y}) + {chain.channel(arrays[4])}"


def _corrected(sums: AnyArray, factor: AnyArray) -> AnyArray:
    """Running sums as averages (batch_norm_layer.cpp)."""
    count = factor.reshape(-1)[:1]
    with np.errstate(all="ignore"):
        averages: AnyArray = sums * np.where(count == 0, count, np.float32(1) / count)
        return averages


def _deviation(sums: AnyArray, factor: AnyArray, eps: float) -> AnyArray:
    with np.errstate(all="ignore"):
        deviation: AnyArray = np.sqrt(_corrected(sums, factor) + np.float32(eps))
        return deviation


def _operand(
    chain: ChainCode, params: OperandParams, bottom: str | None, arrays: list[Weights]
) -> str:
    """The factor or summand of Scale and Bias: their second bottom, or else their own array."""
    axes = len(chain.shape)
    if bottom is not None:
        shape = chain.graph.shape(bottom)
        return chain.spread_value(bottom, params.axis % axes if shape else 0)
    array = arrays.pop(0)
    return chain.spread_array(array, params.axis % axes if array.shape else 0)


def _scale(
    chain: ChainCode,
    params: OperandParams,
    bottoms: Bottoms,
    arrays: Sequence[Weights],
) -> str:
    own = list(arrays)
    y = _paired(chain, params, bottoms, own, "*")
    return f"{y} + {_operand(chain, params, None, own)}" if own else y


def _bias(
    chain: ChainCode,
    params: OperandParams,
    bottoms: Bottoms,
    arrays: Sequence[Weights],
) -> str:
    return _paired(chain, params, bottoms, list(arrays), "+")


def _paired(
    chain: ChainCode,
    params: OperandParams,
    bottoms: Bottoms,
    arrays: list[Weights],
    sign: str,
) -> str:
    if len(bottoms) == 2 and bottoms[1] is None:  # the chain's value is the operand
        return f"{chain.same(bottoms[0])} {sign} v"
    return f"v {sign} {_operand(chain, params, (*bottoms, None)[1], arrays)}"


def _eltwise(
    chain: ChainCode,
    params: EltwiseParams,
    bottoms: Bottoms,
    arrays: Sequence[Weights],
) -> str:
    terms = [chain.same(bottom) for bottom in bottoms]
    if params.operation == "PROD":
        return " * ".join(terms)
    if params.operation == "MAX":
        best = f"larger({terms[0]}, {terms[1]})"
        for term in terms[2:]:  # a NaN is passed over, except in bottom 1 (eltwise_layer.cpp)
            best = f"larger({term}, {best})"
        return best
    factors = params.coeff or (1.0,) * len(terms)
    return " + ".join(
        term if factor == 1 else f"{chain.number(factor)} * {term}"
        for factor, term in zip(factors, terms, strict=True)
    )


def _axpy(chain: ChainCode, stage: Stage, bottoms: Bottoms, arrays: Sequence[Weights]) -> str:
    factor, x, y = bottoms
    assert factor is not None
    return f"{chain.spread_value(factor, 0)} * {chain.same(x)} + {chain.same(y)}"


RULES: Mapping[str, Rule] = {
    "AbsVal": _always("fabsf(v)"),
    "Axpy": _axpy,
    "BatchNorm": _with_params(BatchNormParams, _batch_norm),
    "Bias": _with_params(OperandParams, _bias),
    "BNLL": _always("fmaxf(v, 0.0f) + logf(1.0f + expf(-fabsf(v)))"),
    "Clip": _function(ClipParams, _clip),
    "Dropout": _with_params(DropoutParams, dropped),
    "DropPath": _with_params(DropPathParams, dropped),
    "Eltwise": _with_params(EltwiseParams, _eltwise),
    "ELU": _function(
        ELUParams,
        lambda chain, params: f"v > 0.0f ? v : {chain.number(params.alpha)} * (expf(v) - 1.0f)",
    ),
    "Exp": _function(BaseParams, _exp),
    GRADIENT: _with_params(GradientParams, slope),
    "Log": _function(BaseParams, _log),
    "Power": _function(PowerParams, _power),
    "PReLU": _prelu,
    "ReLU": _function(ReLUParams, _relu),
    "ReLU6": _function(ReLU6Params, _relu6),
    "Scale": _with_params(OperandParams, _scale),
    "Sigmoid": _always("sigmoid(v)"),
    "Swish": _function(
        SwishParams, lambda chain, params: f"v * sigmoid({chain.number(params.beta)} * v)"
    ),
    "TanH": _always("tanhf(v)"),
    "Threshold": _function(
        ThresholdParams, lambda chain, params: f"v > {chain.number(params.threshold)} ? 1.0f : 0.0f"
    ),
}
