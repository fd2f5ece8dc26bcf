"""Elementwise layers as operations of one chain: a rule a layer type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.emit.epilogues import activation_of
from netc.backends.cpu.steps.elementwise import (
    ABSOLUTE,
    EXPONENTIAL,
    LOGARITHM,
    ROOT,
    SOFTPLUS,
    SQUARE,
    Operation,
    activate,
    add,
    affine,
    at_most,
    bias,
    constant,
    exceeding,
    maximum,
    multiply,
    power,
    scale,
    threshold,
)
from netc.backends.cpu.steps.epilogue import Activation
from netc.backends.shared.derived import Weights, derived
from netc.backends.shared.layout import has_channels
from netc.backends.shared.views import View
from netc.ir.graph import Array
from netc.ir.params import HasParams
from netc.ir.types import Shape, count
from netc.ops.activation import ThresholdParams
from netc.ops.arithmetic import BaseParams, PowerParams
from netc.ops.array import AnyArray
from netc.ops.axes import aligned, axis_in
from netc.ops.batch_norm import BatchNormParams, stored_statistics
from netc.ops.elementwise import EltwiseParams
from netc.ops.forks.batch_norm import BatchwiseBNParams, RunningBNParams
from netc.ops.fused import BoundStage
from netc.ops.numbers import all_finite
from netc.ops.rectifiers import ReLU6Params
from netc.ops.scale_bias import OperandParams


@dataclass(frozen=True, slots=True)
class ChainLayer(HasParams):
    """One layer of a chain.

    Args:
        params: the layer's.
        position: at which of its bottoms the chain's value stands.
        others: its other bottoms, in order.
        arrays: its trained arrays.
        shape: of the chain's value.
    """

    params: object
    position: int
    others: list[View]
    arrays: list[Weights]
    shape: Shape


Operations = list[Operation]
Rule = Callable[[ChainLayer], Operations | None]


def operations_of(context: EmitContext, bound: BoundStage, shape: Shape) -> Operations | None:
    """A stage as operations on the chain's value; None where no operations do it."""
    stage = bound.stage
    if not all_finite(stage.params):
        return None
    rule = _RULES.get(stage.op)
    if rule is not None:
        arrays = [context.array(name) for name in bound.parameters]
        others = [context.view(v) for v in bound.inputs]
        return rule(ChainLayer(stage.params, stage.position, others, arrays, shape))
    if stage.op == "PReLU" and not has_channels(shape):
        return None
    activation = activation_of(context, bound, shape[1] if len(shape) > 1 else 1)
    return None if activation is None else [activate(activation)]


def _power(link: ChainLayer) -> Operations:
    params = link.params_as(PowerParams)
    exponent, factor, term = (
        float(np.float32(v)) for v in (params.power, params.scale, params.shift)
    )
    if exponent * factor == 0:
        with np.errstate(all="ignore"):
            return [constant(1.0 if exponent == 0 else float(np.float32(term) ** exponent))]
    return [*_affine(factor, term), *_raised(exponent)]


def _raised(exponent: float) -> Operations:
    known = {1.0: [], 2.0: [SQUARE], 0.5: [ROOT], 4.0: [SQUARE, SQUARE]}
    return known.get(exponent, [power(exponent)])


def _affine(factor: float, term: float = 0.0) -> Operations:
    if (factor, term) == (1.0, 0.0):
        return []
    return [affine(factor, term or -0.0)]  # Caffe adds no zero, and -0 + -0 is -0


def _logarithm_of(base: float) -> float:
    return 1.0 if base == -1 else float(np.log(np.float32(base)))


def _exp(link: ChainLayer) -> Operations:
    params = link.params_as(BaseParams)
    base = _logarithm_of(params.base)
    outer = float(np.float32(np.exp(base * params.shift)))
    return [*_affine(base * params.scale), EXPONENTIAL, *_affine(outer)]


def _log(link: ChainLayer) -> Operations:
    params = link.params_as(BaseParams)
    inner = _affine(params.scale, params.shift)
    return [*inner, LOGARITHM, *_affine(1.0 / _logarithm_of(params.base))]


def _relu6(link: ChainLayer) -> Operations:
    params = link.params_as(ReLU6Params)
    slope = params.negative_slope
    relu = Activation("leaky", slope) if slope else Activation("relu")
    return [activate(relu), at_most(params.n)]


def _eltwise(link: ChainLayer) -> Operations | None:
    params = link.params_as(EltwiseParams)
    if params.operation == "PROD":
        return [multiply(x) for x in link.others]
    if params.operation == "MAX":
        return _maximum(link)
    factors = list(params.coeff or (1.0,) * (len(link.others) + 1))
    own = factors.pop(link.position)
    sums = [add(x, factor) for x, factor in zip(link.others, factors, strict=True)]
    return [*_affine(own), *sums]


def _maximum(link: ChainLayer) -> Operations | None:
    """Caffe compares bottoms 0 and 1, then later ones with the best: of nan, the order tells."""
    if link.position > 1:
        return None
    first = exceeding if link.position == 0 else maximum
    return [first(link.others[0]), *(maximum(x) for x in link.others[1:])]


def _batch_norm(link: ChainLayer) -> Operations | None:
    params = link.params_as(BatchNormParams)
    if not params.use_global_stats or not has_channels(link.shape):
        return None
    vectors = link.arrays
    return [
        bias(derived(_minus_mean, *vectors[:3])),
        scale(derived(partial(batch_norm_factor, params.eps), *vectors[:4])),
        *(bias(term.reshape(-1)) for term in vectors[4:]),
    ]


def _minus_mean(*statistics: Array) -> Array:
    return _single(-_statistics(statistics)[0])


def batch_norm_factor(eps: float, *arrays: Array) -> Array:
    """1 / deviation, times a factor of its own where there is one."""
    _, variance, *own = _statistics(arrays)
    with np.errstate(all="ignore"):
        factor = 1 / np.sqrt(variance + eps)
    return _single(factor * own[0] if own else factor)


def _bn(link: ChainLayer) -> Operations | None:
    params = link.params_as(BatchwiseBNParams, RunningBNParams)
    if not has_channels(link.shape):
        return None
    vectors = [array.reshape(-1) for array in link.arrays]
    if isinstance(params, BatchwiseBNParams):
        return [scale(vectors[0]), bias(vectors[1])] if params.inference else None
    if not params.stored:
        return None
    slope, term, mean, variance = vectors
    factor = derived(partial(_bn_factor, params.eps), slope, variance)
    return [bias(derived(np.negative, mean)), scale(factor), bias(term)]


def _bn_factor(eps: float, slope: Array, variance: Array) -> Array:
    with np.errstate(all="ignore"):
        return _single(1 / np.sqrt(variance.astype(np.float64) + eps) * slope)


def _statistics(arrays: Sequence[Array]) -> list[AnyArray]:
    precise = [a.astype(np.float64) for a in arrays]
    return [*stored_statistics(*precise[:3]), *precise[3:]]


def _single(values: object) -> Array:
    return np.asarray(values, np.float32)


def _scale(link: ChainLayer) -> Operations | None:
    return _operand(link, multiply, scale)


def _bias(link: ChainLayer) -> Operations | None:
    return _operand(link, add, bias)


def _operand(
    link: ChainLayer, by_view: Callable[[View], Operation], by_array: Callable[[Weights], Operation]
) -> Operations | None:
    """By the second bottom or an own array; then perhaps a Scale's own bias."""
    params = link.params_as(OperandParams)
    if link.position != 0:
        return None
    arrays = list(link.arrays)
    if link.others:
        view = link.others[0]
        if not _fits(params, view, link.shape):
            return None
        found = [by_view(view)]
    else:
        first = _per_channel(params, arrays.pop(0), link.shape)
        if first is None:
            return None
        found = [by_array(first)]
    rest = [_per_channel(params, array, link.shape) for array in arrays]
    terms = [bias(r) for r in rest if r is not None]
    return [*found, *terms] if len(terms) == len(rest) else None


def _fits(params: OperandParams, view: View, shape: Shape) -> bool:
    """True if a bottom is of the whole shape, or has a value for each channel of each image."""
    if not has_channels(shape) or params.axis not in (0, -len(shape)):
        return False
    return view.n == shape[0] and view.c == shape[1] and _fit_pixels(view, shape)


def _fit_pixels(view: View, shape: Shape) -> bool:
    return view.h * view.w in (1, count(shape[2:]))


def _per_channel(params: OperandParams, array: Weights, shape: Shape) -> Weights | None:
    """An operand as one value for each stored channel."""
    start = axis_in(shape, params.axis, "") if array.ndim else 0
    spread = derived(aligned, array, start, len(shape))
    if not has_channels(shape):
        return derived(np.broadcast_to, spread, shape).reshape(-1)
    if any(size != 1 for axis, size in enumerate(spread.shape) if axis != 1):
        return None
    return derived(np.broadcast_to, spread.reshape(-1), (shape[1],))


_RULES: Mapping[str, Rule] = {
    "AbsVal": lambda link: [ABSOLUTE],
    "BN": _bn,
    "BNLL": lambda link: [SOFTPLUS],
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Log": _log,
    "Power": _power,
    "ReLU6": _relu6,
    "Scale": _scale,
    "Threshold": lambda link: [threshold(link.params_as(ThresholdParams).threshold)],
}
