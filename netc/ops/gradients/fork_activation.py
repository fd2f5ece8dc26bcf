"""Gradients of the activations of netc.ops.forks.activation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.activation import (
    HARD_SIGMOID,
    LOG_SOFTMAX,
    PLAIN,
    SELUS,
    HardSigmoidParams,
    LogSoftmaxParams,
    SELUParams,
)
from netc.ops.gradients.activation import by_input, by_output
from netc.ops.gradients.define import OUTPUT, Gradient, Saved, gradients, of


def _softsign(params: None, x: AnyArray) -> AnyArray:
    size = 1 + namespace(x).abs(x)
    result: AnyArray = 1 / (size * size)
    return result


def _mish(params: None, y: AnyArray) -> AnyArray:
    """t + y (1 - t^2) sigmoid(y) with t = tanh(log(1 + exp(y))).

    That would be the derivative at x; Synopsys's mish_layer.cpp takes the output for the input.
    """
    xp = namespace(y)
    t = xp.tanh(xp.maximum(y, 0) + xp.log1p(xp.exp(-xp.abs(y))))
    result: AnyArray = t + y * (1 - t * t) * sigmoid(y)
    return result


def _mish_inexact(graph: Graph, node: Node) -> str:
    return "Synopsys's Mish takes its derivative at the output"


def _hard_swish(params: None, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    inside = (2 * x + 3) / x.dtype.type(6)
    return xp.where(x <= -3, 0, xp.where(x >= 3, 1, inside)).astype(x.dtype)


def _hard_sigmoid(params: HardSigmoidParams, y: AnyArray) -> AnyArray:
    result: AnyArray = ((y > 0) & (y < 1)) * y.dtype.type(params.alpha)
    return result


def _selu(params: SELUParams, x: AnyArray) -> AnyArray:
    xp, kind = namespace(x), x.dtype.type
    below = kind(np.float32(params.alpha)) * xp.exp(xp.minimum(x, 0))
    result: AnyArray = kind(np.float32(params.scale)) * xp.where(x > 0, kind(1), below)
    return result


def _log_softmax(params: LogSoftmaxParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """dy - softmax(x) * the sum of dy."""
    y = saved.outputs[0]
    result: AnyArray = tops[0] - namespace(y).exp(y) * tops[0].sum(axis=params.axis, keepdims=True)
    return result


GRADIENTS = gradients(
    of(PLAIN["Atan"], by_input(lambda params, x: 1 / (1 + x * x))),
    of(PLAIN["Sin"], by_input(lambda params, x: namespace(x).cos(x))),
    of(PLAIN["Cos"], by_input(lambda params, x: -namespace(x).sin(x))),
    of(PLAIN["Softplus"], by_input(lambda params, x: sigmoid(x))),
    of(PLAIN["Softsign"], by_input(_softsign)),
    of(PLAIN["HardSwish"], by_input(_hard_swish)),
    of(PLAIN["HardTanH"], by_output(lambda params, y: ((y > -1) & (y < 1)).astype(y.dtype))),
    of(HARD_SIGMOID, by_output(_hard_sigmoid)),
    of(PLAIN["Mish"], replace(by_output(_mish), inexact=_mish_inexact)),
    *(of(op, by_input(_selu)) for op in SELUS),
    of(LOG_SOFTMAX, Gradient(_log_softmax, OUTPUT)),
)
