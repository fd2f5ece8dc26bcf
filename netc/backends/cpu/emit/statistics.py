"""Layers that take means, deviations or lengths of the values they are given, and ArgMax."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.backends.cpu.emit.elementwise import emit_elementwise, sweep
from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.rules import takes_moments
from netc.backends.cpu.steps.elementwise import Operation, add, bias, divide, scale
from netc.backends.cpu.steps.statistics import greatest_step, length_step, moments_step
from netc.backends.shared.derived import Weights, derived
from netc.backends.shared.layout import has_channels
from netc.backends.shared.views import dense, moved
from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.fork_normalization import BATCHWISE_EPS, BatchwiseBNParams, NormalizeParams
from netc.ops.normalization import BatchNormParams, MVNParams
from netc.ops.selection import ArgMaxParams


class Moments(NamedTuple):
    """What is done with mean and deviation: see netc.backends.cpu.kernels.statistics."""

    kind: str
    eps: float
    together: bool  # all images of a batch
    then: list[Operation]


def emit_normalization(emission: Emission, node: Node) -> Steps | None:
    """By stored averages, or by the values' own mean and deviation."""
    place = emission.scratch(node)
    if not takes_moments(emission.graph, node):
        return emit_elementwise(emission, node)
    if place is None:
        return None
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    moments = _moments(emission, node)
    if moments.together:
        x, y = (replace(v, n=1, h=v.n * v.h) for v in (x, y))
    mean = dense(place, x.n, 1, 1, x.c)
    deviation = dense(moved(place, x.n * x.c), x.n, 1, 1, x.c)
    first = moments_step(node.name, x, mean, deviation, moments.kind, moments.eps, emission.target)
    centred = [add(mean, -1.0), *([] if moments.kind == "none" else [divide(deviation)])]
    return [first, *sweep(node.name, x, y, [*centred, *moments.then])]


def _moments(emission: Emission, node: Node) -> Moments:
    params = node.params
    if isinstance(params, MVNParams):
        return Moments("outside" if params.normalize_variance else "none", params.eps, False, [])
    arrays = [array.reshape(-1) for array in emission.arrays(node)]
    if isinstance(params, BatchwiseBNParams):
        then = [scale(arrays[0]), bias(arrays[1])]
        return Moments("difference", BATCHWISE_EPS, True, then)
    own = arrays[3:] if isinstance(params, BatchNormParams) else arrays[:2]
    return Moments("inside", params.eps, True, [scale(own[0]), bias(own[1])] if own else [])


def emit_normalize(emission: Emission, node: Node) -> Steps | None:
    """Each pixel by its own length; a map as a whole, by its definition."""
    params: NormalizeParams = node.params
    shape = emission.graph.shape(node.inputs[0])
    if not has_channels(shape) or (params.across_spatial and count(shape[2:]) != 1):
        return None
    factors: Weights = np.ones(shape[1], np.float32)
    for array in emission.arrays(node):
        factors = derived(np.broadcast_to, array.reshape(-1), (shape[1],))
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    return [length_step(node.name, x, y, factors, params.eps)]


def emit_argmax(emission: Emission, node: Node) -> Steps | None:
    """The greatest channel of each pixel."""
    params: ArgMaxParams = node.params
    shape = emission.graph.shape(node.inputs[0])
    axes = (1, 1 - len(shape)) if has_channels(shape) else ()
    if params.top_k != 1 or params.axis not in axes:
        return None
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    return [greatest_step(node.name, x, y, params.out_max_val)]
