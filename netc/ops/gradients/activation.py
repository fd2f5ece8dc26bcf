"""Gradients of activations, and of powers, exponentials and logarithms.

Of the layers of netc.ops.activation, rectifiers and arithmetic, as the ``Backward_cpu`` of BVLC's
``<name>_layer.cpp``. A gradient that can be computed from the output reads the output alone, so
that an activation in place needs nothing else kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.activation import (
    ABSVAL,
    BNLL,
    CLIP,
    ELU,
    SIGMOID,
    SWISH,
    TANH,
    ClipParams,
    ELUParams,
    SwishParams,
    sigmoid,
)
from netc.ops.arithmetic import EXP, LOG, POWER, BaseParams, PowerParams, log_of
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import per_channel
from netc.ops.define import P
from netc.ops.gradients.define import INPUT, OUTPUT, Build, Gradient, Reads, Saved, gradients, of
from netc.ops.rectifiers import (
    BOUNDED_RELU,
    PRELU,
    RELU,
    RELU6,
    RELU_MASK,
    BoundedReLUParams,
    PReLUParams,
    ReLU6Params,
    ReLUParams,
)

Factor = Callable[[P, AnyArray], AnyArray]


def by_output(factor: Factor[P]) -> Gradient[P]:
    """The gradient dx = dy * factor(params, y) of a function of each element; y is the top."""

    def define(params: P, saved: Saved, tops: Arrays, index: int) -> AnyArray:
        return tops[0] * factor(params, saved.outputs[0])

    return Gradient(define, OUTPUT, reads_left=True)


def by_input(factor: Factor[P]) -> Gradient[P]:
    """The gradient dx = dy * factor(params, x) of a function of each element; x is the bottom."""

    def define(params: P, saved: Saved, tops: Arrays, index: int) -> AnyArray:
        return tops[0] * factor(params, saved.inputs[0])

    return Gradient(define, INPUT)


def _rectified(slope: float, seen: AnyArray) -> AnyArray:
    """1 above 0, the slope at 0 and below; not a number counts as neither (relu_layer.cpp)."""
    kind = seen.dtype.type
    result: AnyArray = (seen > 0) * kind(1) + kind(slope) * (seen <= 0)
    return result


def _relu(params: ReLUParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    seen = saved.outputs[0] if saved.outputs[0] is not None else saved.inputs[0]
    return tops[0] * _rectified(params.negative_slope, seen)


def _reads_sign(params: ReLUParams | ReLU6Params, index: int, bottoms: int) -> Reads:
    """The output has the input's sign unless the slope turns it."""
    return OUTPUT if params.negative_slope >= 0 else INPUT


def _relu6(params: ReLU6Params, x: AnyArray) -> AnyArray:
    return (x < np.float32(params.n)) * _rectified(params.negative_slope, x)


def _bounded_relu(params: BoundedReLUParams, x: AnyArray) -> AnyArray:
    """The input is held against both bounds, as Synopsys's layer does it."""
    slope = _relu6(ReLU6Params(params.negative_slope, params.n), x)
    return slope * (x > np.float32(params.least))


def _prelu(params: PReLUParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    x, (slope,) = saved.inputs[0], saved.weights
    result: AnyArray = tops[0] * ((x > 0) + per_channel(slope, x.ndim) * (x <= 0))
    return result


def _prelu_slope(params: PReLUParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The sum of dy * x where x is not above 0, over all that share a slope (prelu_layer.cpp)."""
    x = saved.inputs[0]
    terms = tops[0] * x * (x <= 0)
    if params.channel_shared:
        result: AnyArray = terms.sum().reshape(())
        return result
    result = terms.sum(axis=(0, *range(2, x.ndim)))
    return result


def _elu(params: ELUParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """1 above 0, alpha * exp(x) = alpha + y below (elu_layer.cpp)."""
    if saved.outputs[0] is not None:
        y = saved.outputs[0]
        return tops[0] * ((y > 0) + (params.alpha + y) * (y <= 0))
    x, xp = saved.inputs[0], namespace(saved.inputs[0])
    return tops[0] * xp.where(x > 0, 1, params.alpha * xp.exp(xp.minimum(x, 0))).astype(x.dtype)


def _reads_elu(params: ELUParams, index: int, bottoms: int) -> Reads:
    return OUTPUT if params.alpha >= 0 else INPUT


_FIFTY = 50  # kBNLL_THRESHOLD, bnll_layer.cpp: exp is cut there


def _bnll(params: None, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    power = xp.exp(xp.minimum(x, _FIFTY))
    result: AnyArray = power / (power + 1)
    return result


def _swish(params: SwishParams, x: AnyArray) -> AnyArray:
    share, kind = sigmoid(params.beta * x), x.dtype.type
    result: AnyArray = share + kind(params.beta) * x * share * (1 - share)
    return result


def _clip(params: ClipParams, x: AnyArray) -> AnyArray:
    """Both bounds belong to what passes (clip_layer.cpp)."""
    inside = (x >= np.float32(params.min)) & (x <= np.float32(params.max))
    return inside.astype(x.dtype)


def scaled(build: Build, top: str, scale: float) -> str:
    """The value of a gradient times a number: a new node, or ``top`` itself where that is 1."""
    if scale == 1:
        return top
    return build.node("Power", PowerParams(scale=scale), (top,))[0]


def _power_built(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    """A linear one is a factor; of a constant the gradient is 0."""
    params = node.params_as(PowerParams)
    top = tops[0]
    assert top is not None
    if params.power * params.scale == 0:
        return {0: build.zeros(node.inputs[0])}
    return {0: scaled(build, top, params.scale)} if params.power == 1 else {}


def _power(params: PowerParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """power * scale * (shift + scale * x) ** (power - 1)."""
    x, kind = saved.inputs[0], saved.inputs[0].dtype.type
    power, scale, shift = (kind(v) for v in (params.power, params.scale, params.shift))
    base = scale * x + shift
    result: AnyArray = tops[0] * (power * scale * base ** (power - kind(1)))
    return result


def _power_in_place(params: PowerParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Caffe's numbers, though no gradient: power_layer.cpp writes the slope over the top's
    gradient, which is the same memory then, and multiplies it by itself; and the slope is taken at
    the output, which has overwritten the input.
    """
    y, kind = saved.outputs[0], saved.outputs[0].dtype.type
    power, scale, shift = (kind(v) for v in (params.power, params.scale, params.shift))
    if power * scale == 0:
        return tops[0] * 0
    if power == 1:
        slope = namespace(y).full_like(y, scale)
    elif power == 2:
        slope = power * scale * (scale * y + shift)
    else:
        slope = power * (y / y if shift == 0 else scale * y / (scale * y + shift))
    return slope * slope


def _power_inexact(graph: Graph, node: Node) -> str | None:
    bottom, top = (graph.values[v].blob for v in (node.inputs[0], node.outputs[0]))
    return "Caffe's Power in place overwrites what it reads" if bottom == top else None


def _exp(params: BaseParams, y: AnyArray) -> AnyArray:
    return y * (log_of(params.base) * np.float32(params.scale))


def _log(params: BaseParams, x: AnyArray) -> AnyArray:
    scale, shift = np.float32(params.scale), np.float32(params.shift)
    return scale / (log_of(params.base) * (scale * x + shift))


def _sign(params: None, x: AnyArray) -> AnyArray:
    return namespace(x).sign(x)


GRADIENTS = gradients(
    of(RELU, Gradient(_relu, _reads_sign)),
    of(RELU_MASK, Gradient(_relu, INPUT, tops=(0,))),
    of(RELU6, by_input(_relu6)),
    of(BOUNDED_RELU, by_input(_bounded_relu)),
    of(PRELU, Gradient(_prelu, Reads(inputs=(0,), weights=(0,)), _prelu_slope, INPUT)),
    of(ELU, Gradient(_elu, _reads_elu)),
    of(SIGMOID, by_output(lambda params, y: y * (1 - y))),
    of(TANH, by_output(lambda params, y: 1 - y * y)),
    of(ABSVAL, by_input(_sign)),
    of(BNLL, by_input(_bnll)),
    of(SWISH, by_input(_swish)),
    of(CLIP, by_input(_clip)),
    of(
        POWER,
        Gradient(
            _power,
            INPUT,
            build=_power_built,
            in_place=Gradient(_power_in_place, OUTPUT),
            inexact=_power_inexact,
        ),
    ),
    of(EXP, by_output(_exp)),
    of(LOG, by_input(_log)),
)
