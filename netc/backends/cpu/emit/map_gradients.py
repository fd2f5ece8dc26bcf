"""Gradients of elementwise layers: chains of operations on the top's gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from netc.backends.cpu.emit.channel_gradients import channel_sums
from netc.backends.cpu.emit.elementwise import one_sweep
from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.steps.elementwise import (
    SQUARE,
    Operation,
    add,
    affine,
    elu_slope,
    multiply,
    rectified_by,
    sloped_by,
    threshold,
    within,
)
from netc.backends.shared.derived import derived
from netc.backends.shared.layout import has_channels
from netc.ir.graph import Node
from netc.ops.activation import ClipParams, ELUParams
from netc.ops.array import AnyArray
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import GradientParams
from netc.ops.rectifiers import PReLUParams, ReLU6Params, ReLUParams

Emit = Callable[[EmitContext, Node], Sweeps | None]


def _relu(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of ReLU's bottom, by the sign of its bottom or top."""
    params = node.params_as(GradientParams)
    seen, top = (context.view(value) for value in node.inputs)
    operation = rectified_by(seen, params.params_as(ReLUParams).negative_slope)
    return [one_sweep(node.name, top, context.view(node.outputs[0]), [operation])]


def _by_output(*factor: Operation) -> Emit:
    """The gradient of a layer whose derivative is a chain of operations on its top."""

    def emit(context: EmitContext, node: Node) -> Sweeps:
        y, top = (context.view(value) for value in node.inputs[-2:])
        operations = [*factor, multiply(top)]
        return [one_sweep(node.name, y, context.view(node.outputs[0]), operations)]

    return emit


def _sigmoid(context: EmitContext, node: Node) -> Sweeps:
    """y * (1 - y), times the top's gradient."""
    y, top = (context.view(value) for value in node.inputs[-2:])
    operations = [affine(-1.0, 1.0), multiply(y), multiply(top)]
    return [one_sweep(node.name, y, context.view(node.outputs[0]), operations)]


def _relu6(context: EmitContext, node: Node) -> Sweeps:
    """The gradient of ReLU6's bottom: that of ReLU below the limit, 0 from there on."""
    layer = node.params_as(GradientParams).params_as(ReLU6Params)
    x, top = (context.view(value) for value in node.inputs[-2:])
    below = [affine(-1.0, 0.0), threshold(-float(layer.n))]
    operations = [*below, multiply(top), rectified_by(x, layer.negative_slope)]
    return [one_sweep(node.name, x, context.view(node.outputs[0]), operations)]


def _elu(context: EmitContext, node: Node) -> Sweeps | None:
    """By the output, as long as it tells the sign of the input."""
    alpha = float(node.params_as(GradientParams).params_as(ELUParams).alpha)
    if alpha < 0:
        return None
    return _by_output(elu_slope(alpha))(context, node)


def _clip(context: EmitContext, node: Node) -> Sweeps | None:
    """The top's gradient where the bottom is within the bounds."""
    layer = node.params_as(GradientParams).params_as(ClipParams)
    low, high = (float(np.float32(bound)) for bound in (layer.min, layer.max))
    return _by_output(within(low, high))(context, node)


def _prelu(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of PReLU's bottom, by the sign of it."""
    params = node.params_as(GradientParams)
    shape = params.shapes[0]
    if not has_channels(shape):
        return None
    x, top = (context.view(value) for value in node.inputs)
    slopes = derived(_spread, context.array(node.parameters[0]), shape[1])
    return [one_sweep(node.name, top, context.view(node.outputs[0]), [sloped_by(x, slopes)])]


def _spread(slopes: AnyArray, channels: int) -> AnyArray:
    return np.ascontiguousarray(np.broadcast_to(slopes.reshape(-1), (channels,)))


def _prelu_slopes(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of PReLU's slopes, one for each channel."""
    params = node.params_as(GradientParams)
    if params.params_as(PReLUParams).channel_shared or not has_channels(params.shapes[0]):
        return None
    x, top = (context.view(value) for value in node.inputs)
    return channel_sums(context, node, x, top, negative=True)


def _eltwise(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of a bottom of a product or a maximum."""
    layer = node.params_as(GradientParams).params_as(EltwiseParams)
    rule = {"PROD": _product, "MAX": _maximum}.get(layer.operation)
    return None if rule is None else rule(context, node)


def _maximum(context: EmitContext, node: Node) -> Sweeps | None:
    """Of two bottoms: the top's gradient where this one is chosen, the second of equal ones.

    Their difference is above 0 where the first is greater, denormal numbers and infinity too; it is
    none of the two where either is no number, and the second is chosen there.
    """
    params = node.params_as(GradientParams)
    if len(params.shapes) != 2:
        return None
    first, second, top = (context.view(value) for value in node.inputs)
    chosen = [add(second, -1.0), threshold(0.0)]
    if params.index == 1:
        chosen.append(affine(-1.0, 1.0))
    out = context.view(node.outputs[0])
    return [one_sweep(node.name, first, out, [*chosen, multiply(top)])]


def _product(context: EmitContext, node: Node) -> Sweeps:
    """The gradient of a bottom of a PROD: the top's gradient times the other bottoms."""
    params = node.params_as(GradientParams)
    *read, top = (context.view(value) for value in node.inputs)
    given = zip(params.inputs, read, strict=True)
    others = [multiply(view) for index, view in given if index != params.index]
    return [one_sweep(node.name, top, context.view(node.outputs[0]), others)]


MAP_GRADIENTS: Mapping[tuple[str, str], Emit] = MappingProxyType(
    {
        ("Clip", "bottom"): _clip,
        ("ELU", "bottom"): _elu,
        ("Eltwise", "bottom"): _eltwise,
        ("PReLU", "bottom"): _prelu,
        ("PReLU", "weight"): _prelu_slopes,
        ("ReLU", "bottom"): _relu,
        ("ReLU6", "bottom"): _relu6,
        ("Sigmoid", "bottom"): _sigmoid,
        ("TanH", "bottom"): _by_output(SQUARE, affine(-1.0, 1.0)),
    }
)
