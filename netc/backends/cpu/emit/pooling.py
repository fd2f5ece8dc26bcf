"""Pooling: largest, largest and where, average."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.steps.pooling import Window, average_pool_step, max_pool_step
from netc.ir.graph import Node
from netc.ops.pooling import PoolingParams, pooling_axes


def emit_pooling(emission: Emission, node: Node) -> Steps | None:
    """A pooling step; STOCHASTIC, which nobody runs, has no kernel."""
    params: PoolingParams = node.params
    if params.method == "STOCHASTIC":
        return None
    y, x = pooling_axes(params, emission.graph.shape(node.inputs[0]))
    window = Window((y.kernel, x.kernel), (y.stride, x.stride), (y.pad, x.pad))
    source = emission.view(node.inputs[0])
    target, *mask = (emission.view(v) for v in node.outputs)
    if params.method == "AVE":
        return [average_pool_step(node.name, source, target, window)]
    return [max_pool_step(node.name, source, target, window, mask[0] if mask else None)]
