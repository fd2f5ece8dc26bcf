"""Gradients that are sums over pixels, or need such sums: of BatchNorm, Scale, Bias; statistics."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np

from netc.backends.cpu.emit.elementwise import one_sweep
from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.emit.operations import batch_norm_factor
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.channel_sums import (
    Average,
    SumTarget,
    normalize_back_steps,
    running_steps,
    slope_steps,
    sum_steps,
)
from netc.backends.cpu.steps.elementwise import affine, chain_step, padded, scale
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.shared.derived import derived
from netc.backends.shared.layout import has_channels, view_of
from netc.backends.shared.views import Place, View
from netc.ir.graph import Node
from netc.ops.axes import axis_in
from netc.ops.batch_norm import BatchNormParams
from netc.ops.forks.batch_norm import BATCHWISE_EPS, BatchwiseBNParams, RunningBNParams
from netc.ops.gradient import GradientParams
from netc.ops.scale_bias import OperandParams
from netc.ops.update import RunningParams

_STATISTICS = 3  # BatchNorm's arrays before a scale and a bias of its own
_READ_AND_TOP = 2  # values of a gradient that reads the bottom, of a layer with one top


def emit_batch_norm_back(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of BatchNorm's bottom, by the batch's own statistics or by stored ones."""
    params = node.params_as(GradientParams)
    layer = params.params_as(BatchNormParams)
    if not has_channels(params.shapes[0]):
        return None
    out, arrays = context.view(node.outputs[0]), context.arrays(node)
    top = context.view(node.inputs[-1])
    if layer.use_global_stats:
        variance, factor, *own = arrays
        back = derived(partial(batch_norm_factor, layer.eps), variance, variance, factor, *own)
        return [one_sweep(node.name, top, out, [scale(back)])]
    factors = arrays[0] if layer.fillers else None
    x = context.view(node.inputs[0])

    def steps() -> list[Step]:
        own = None if factors is None else padded(factors)
        return normalize_back_steps(node.name, x, top, out, layer.eps, own, context.target)

    return [sweep_of(steps, [x, top], [out])]


def emit_batch_norm_own(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradients of a BatchNorm's own scale and bias."""
    params = node.params_as(GradientParams)
    layer = params.params_as(BatchNormParams)
    if not has_channels(params.shapes[0]):
        return None
    out, top = context.view(node.outputs[0]), context.view(node.inputs[-1])
    if params.index > _STATISTICS:
        return channel_sums(context, node, top)
    if layer.use_global_stats:
        return None
    x = context.view(node.inputs[0])

    def steps() -> list[Step]:
        return slope_steps(node.name, x, top, out.place, layer.eps, context.target)

    return [sweep_of(steps, [x, top], [out])]


def emit_bn_back(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of BN's bottom by the batch's own statistics (SegNet's and PSPNet's BN)."""
    eps = _own_eps(node)
    if eps is None or len(node.inputs) != _READ_AND_TOP:
        return None
    x, top = (context.view(value) for value in node.inputs)
    out, factors = context.view(node.outputs[0]), context.arrays(node)[0]

    def steps() -> list[Step]:
        own = padded(factors.reshape(-1))
        return normalize_back_steps(node.name, x, top, out, eps, own, context.target)

    return [sweep_of(steps, [x, top], [out])]


def emit_bn_own(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradients of BN's scale and shift."""
    params = node.params_as(GradientParams)
    eps, top = _own_eps(node), context.view(node.inputs[-1])
    if eps is None:
        return None
    if params.index:
        return channel_sums(context, node, top)
    x, out = context.view(node.inputs[0]), context.view(node.outputs[0])

    def steps() -> list[Step]:
        return slope_steps(node.name, x, top, out.place, eps, context.target)

    return [sweep_of(steps, [x, top], [out])]


def _own_eps(node: Node) -> float | None:
    """What a BN adds to the variance of its batch; None where it takes stored statistics."""
    params = node.params_as(GradientParams)
    layer = params.params_as(BatchwiseBNParams, RunningBNParams)
    if not has_channels(params.shapes[0]):
        return None
    if isinstance(layer, BatchwiseBNParams):
        return None if layer.inference else float(BATCHWISE_EPS)
    return None if layer.stored else float(layer.eps)


def channel_sums(
    context: EmitContext, node: Node, x: View, y: View | None = None, *, negative: bool = False
) -> Sweeps:
    """The sums of x or of x * y over all pixels, as a vector of channels.

    With ``negative`` of those x alone that are not above 0.
    """
    out = context.view(node.outputs[0])
    target = SumTarget(out.place)

    def steps() -> list[Step]:
        return sum_steps(node.name, x, y, target, context.target, negative=negative)

    return [sweep_of(steps, [x, y], [out])]


def emit_operand(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of the factor of Scale, or the term of Bias, of each channel."""
    params = node.params_as(GradientParams)
    shape = params.shapes[0]
    if len(params.shapes) != 1 or not _per_channel(params.params_as(OperandParams), shape):
        return None
    views = [context.view(value) for value in node.inputs]
    if context.graph.shape(node.outputs[0]) != (shape[1],):
        return None
    return channel_sums(context, node, *views)


def _per_channel(params: OperandParams, shape: tuple[int, ...]) -> bool:
    return has_channels(shape) and axis_in(shape, params.axis, "") == 1


def emit_running(context: EmitContext, node: Node) -> Sweeps | None:
    """The averages that BatchNorm keeps (batch_norm_layer.cpp)."""
    params = node.params_as(RunningParams)
    layer = params.params
    shape = context.graph.shape(node.inputs[0])
    if not isinstance(layer, BatchNormParams) or layer.use_global_stats or not has_channels(shape):
        return None
    x = context.view(node.inputs[0])
    old = [cast(Place, array) for array in context.arrays(node)]  # either has an address
    new = [context.view(value) for value in node.outputs]
    keep = np.float32(layer.moving_average_fraction)
    if layer.fillers:
        share, unbiased, term = float(1 - keep), float(1 - keep), layer.eps
    else:
        share, term = 1.0, 0.0
        unbiased = x.pixels / (x.pixels - 1) if x.pixels > 1 else 1.0
    mean = Average(old[0], new[0].place, share)
    variance = Average(old[1], new[1].place, unbiased, term)

    def steps() -> list[Step]:
        made = running_steps(node.name, x, float(keep), mean, variance, context.target)
        return [*made, *_others(context, node, old, new, float(keep))]

    return [sweep_of(steps, [x], new)]


def _others(
    context: EmitContext, node: Node, old: list[Place], new: list[View], keep: float
) -> list[Step]:
    """The weight of all batches so far; a layer's own arrays as they are."""
    found = []
    for place, view, value in zip(old[2:], new[2:], node.outputs[2:], strict=True):
        before = view_of(context.graph.shape(value), place)
        if len(old) > _STATISTICS:
            found.append(copy_step(node.name, before, view))
        else:
            found.append(chain_step(node.name, before, view, [affine(keep, 1.0)]))
    return found
