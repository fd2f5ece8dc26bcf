"""Layers that take means, deviations or lengths of the values they are given, and ArgMax."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.backends.cpu.emit.elementwise import emit_elementwise, one_sweep
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.channel_sums import batch_moments_steps
from netc.backends.cpu.steps.elementwise import Operation, add, bias, divide, scale
from netc.backends.cpu.steps.statistics import greatest_step, length_step, moments_step
from netc.backends.shared.derived import Weights, derived
from netc.backends.shared.layout import has_channels
from netc.backends.shared.views import View, dense, moved
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.batch_norm import BatchNormParams
from netc.ops.forks.batch_norm import BATCHWISE_EPS, BatchwiseBNParams, RunningBNParams
from netc.ops.forks.normalize import NormalizeParams
from netc.ops.normalization import MVNParams
from netc.ops.reduction import ArgMaxParams


class Moments(NamedTuple):
    """What is done with mean and deviation: see netc.backends.cpu.kernels.statistics."""

    kind: str
    eps: float
    together: bool  # all images of a batch
    then: list[Operation]


def emit_normalization(context: EmitContext, node: Node) -> Sweeps | None:
    """By stored averages, or by the values' own mean and deviation."""
    if not takes_moments(context.graph, node):
        return emit_elementwise(context, node)
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    moments = _moments(context, node)
    if moments.together:
        x, y = (replace(v, n=1, h=v.n * v.h) for v in (x, y))
    mean = dense(scratch_of(node), x.n, 1, 1, x.c)
    deviation = dense(moved(mean.place, x.n * x.c), x.n, 1, 1, x.c)
    centred = [add(mean, -1.0), *([] if moments.kind == "none" else [divide(deviation)])]
    first = sweep_of(
        lambda: _moments_steps(context, node.name, moments, x, (mean, deviation)),
        [x],
        [mean, deviation],
        scratch=2 * x.n * x.c,
    )
    return [first, one_sweep(node.name, x, y, [*centred, *moments.then])]


def _moments_steps(
    context: EmitContext, name: str, moments: Moments, x: View, targets: tuple[View, View]
) -> list[Step]:
    mean, deviation = targets
    if moments.together and moments.kind == "inside":
        places = (mean.place, deviation.place)
        return batch_moments_steps(name, x, *places, moments.eps, context.target)
    return [moments_step(name, x, mean, deviation, moments.kind, moments.eps, context.target)]


def takes_moments(graph: Graph, node: Node) -> bool:
    """True if a node normalises channels by their own mean and deviation."""
    shape, params = graph.shape(node.inputs[0]) if node.inputs else (), node.params
    if not has_channels(shape) or len(node.outputs) != 1:
        return False
    if isinstance(params, MVNParams):
        return not params.across_channels
    if isinstance(params, BatchNormParams):
        return not params.use_global_stats
    if isinstance(params, BatchwiseBNParams):
        return not params.inference
    return isinstance(params, RunningBNParams) and not params.stored


def _moments(context: EmitContext, node: Node) -> Moments:
    params = node.params
    if isinstance(params, MVNParams):
        where = "inside" if params.eps_inside else "outside"
        return Moments(where if params.normalize_variance else "none", params.eps, False, [])
    arrays = [array.reshape(-1) for array in context.arrays(node)]
    if isinstance(params, BatchwiseBNParams):
        then = [scale(arrays[0]), bias(arrays[1])]
        return Moments("difference", BATCHWISE_EPS, True, then)
    stored = node.params_as(BatchNormParams, RunningBNParams)
    own = arrays[3:] if isinstance(stored, BatchNormParams) else arrays[:2]
    return Moments("inside", stored.eps, True, [scale(own[0]), bias(own[1])] if own else [])


def emit_normalize(context: EmitContext, node: Node) -> Sweeps | None:
    """Each pixel by its own length; a map as a whole, by its definition."""
    params = node.params_as(NormalizeParams)
    shape = context.graph.shape(node.inputs[0])
    if not has_channels(shape) or (params.across_spatial and count(shape[2:]) != 1):
        return None
    factors: Weights = np.ones(shape[1], np.float32)
    for array in context.arrays(node):
        factors = derived(np.broadcast_to, array.reshape(-1), (shape[1],))
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    step = length_step(node.name, x, y, factors, params.eps)
    return [sweep_of(lambda: [step], (), [y], pointwise=[x])]


def emit_argmax(context: EmitContext, node: Node) -> Sweeps | None:
    """The greatest channel of each pixel."""
    params = node.params_as(ArgMaxParams)
    shape = context.graph.shape(node.inputs[0])
    axes = (1, 1 - len(shape)) if has_channels(shape) else ()
    if params.top_k != 1 or params.axis not in axes:
        return None
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    return [sweep_of(lambda: [greatest_step(node.name, x, y, params.out_max_val)], [x], [y])]
