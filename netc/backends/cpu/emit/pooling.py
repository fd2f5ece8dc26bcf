"""Pooling: largest, largest and where, average; alone and over a pyramid."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.arrange import arrange_steps
from netc.backends.cpu.steps.moving import Strided
from netc.backends.cpu.steps.pooling import (
    average_pool_step,
    max_pool_step,
    norm_pool_step,
)
from netc.backends.shared.geometry import Geometry, pixel_window
from netc.backends.shared.views import View, dense
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.forks.lp_pooling import LpPoolingParams
from netc.ops.pooling import PoolingParams, pooling_axes
from netc.ops.spp import SPPParams, pyramid


def emit_pooling(context: EmitContext, node: Node) -> Sweeps | None:
    """A pooling step; STOCHASTIC, which nobody runs, has no kernel."""
    params = node.params_as(PoolingParams)
    if params.method == "STOCHASTIC":
        return None
    window = window_of_pooling(params, context.graph.shape(node.inputs[0]))
    source = context.view(node.inputs[0])
    target, *mask = (context.view(v) for v in node.outputs)
    step = pool_step(node.name, params, source, target, window, mask[0] if mask else None)
    return [sweep_of(lambda: [step], [source], [target, *mask])]


def emit_lp_pooling(context: EmitContext, node: Node) -> Sweeps | None:
    """The p-norm of windows."""
    params = node.params_as(LpPoolingParams)
    window = window_of_pooling(params.pooling, context.graph.shape(node.inputs[0]))
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    return [sweep_of(lambda: [norm_pool_step(node.name, x, y, window, params.p)], [x], [y])]


def pool_step(
    name: str, params: PoolingParams, x: View, y: View, window: Geometry, mask: View | None = None
) -> Step:
    """The step of MAX or AVE."""
    if params.method == "AVE":
        return average_pool_step(name, x, y, window)
    return max_pool_step(name, x, y, window, mask)


def window_of_pooling(params: PoolingParams, shape: Shape) -> Geometry:
    """A pooling's window in the kernels' terms."""
    return pixel_window(pooling_axes(params, shape))


def emit_spp(context: EmitContext, node: Node) -> Sweeps | None:
    """Each level pooled by itself and turned into its part of the output."""
    params = node.params_as(SPPParams)
    shape, place = context.graph.shape(node.inputs[0]), scratch_of(node)
    if params.method == "STOCHASTIC":
        return None
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    sweeps: Sweeps = []
    first = 0
    for level in pyramid(params, shape):
        axes = pooling_axes(level, shape)
        pooled = dense(place, x.n, axes[0].out, axes[1].out, x.c)
        part = y.channels(first, first + x.c * pooled.h * pooled.w)
        turned = _planes_in_rows(node.name, pooled, part)
        if turned is None:
            return None
        window = window_of_pooling(level, shape)
        steps = [pool_step(node.name, level, x, pooled, window), *turned]
        sweeps.append(_level(steps, x, pooled, part))
        first += part.c
    return sweeps


def _level(steps: list[Step], x: View, pooled: View, part: View) -> Sweep:
    return sweep_of(lambda: steps, [x], [pooled, part], scratch=pooled.span)


def _planes_in_rows(name: str, pooled: View, part: View) -> list[Step] | None:
    """Pixels as rows of planes."""
    bins = pooled.h * pooled.w
    source = Strided(pooled.place, (bins * pooled.c, 1, pooled.c))
    target = Strided(part.place, (part.ld, bins, 1))
    return arrange_steps(name, (pooled.n, pooled.c, bins), source, target)
