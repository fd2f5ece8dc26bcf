"""Gradients that have kernels. One without an entry here runs by its definition."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from netc.backends.cuda.emission import (
    THREADS,
    CudaEmitContext,
    Emitter,
    element_launch,
    side,
)
from netc.backends.cuda.emit.elementwise import opened, run_chain
from netc.backends.cuda.emit.losses import emit_pair_slope, emit_softmax_slope
from netc.backends.cuda.emit.normalization import row_walk, team_of
from netc.backends.cuda.emit.pooling import window_constants
from netc.backends.cuda.emit.sums import (
    emit_batch_norm_back,
    emit_batch_norm_own,
    emit_operand,
    emit_slopes_of_prelu,
)
from netc.backends.cuda.emit.weight_gradients import (
    emit_convolution_back,
    emit_convolution_weight,
    emit_deconvolution_weight,
    emit_inner_product_weight,
)
from netc.backends.cuda.program import Launch, Steps
from netc.backends.cuda.slopes import is_slope
from netc.backends.shared.layout import stored_strides
from netc.ir.graph import Node
from netc.ir.types import canonical_axis, count
from netc.ops.fused import bind_stages
from netc.ops.gradient import GradientParams
from netc.ops.lrn import LRNParams, is_positive
from netc.ops.normalization import SoftmaxParams
from netc.ops.pooling import PoolingParams, pooling_axes
from netc.passes.epilogue import chain_of


def emit_gradient(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A gradient's steps; None where it has no kernel."""
    first, *rest = bind_stages(chain_of(node), node.inputs, node.parameters)
    params = first.stage.params_as(GradientParams)
    if is_slope(params):
        position = len(first.inputs) - 1  # the chain's value is the top's gradient
        return run_chain(emission, node, first.inputs[-1], [opened(first, position), *rest])
    emitter = _EMITTERS.get((params.op, params.kind))
    return None if emitter is None else emitter(emission, node)


def _pooling(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of the bottom of a MAX or AVE pooling."""
    params = node.params_as(GradientParams)
    layer = params.params_as(PoolingParams)
    read = (1,) if layer.method == "MAX" else ()
    if layer.method == "STOCHASTIC" or params.outputs != read or params.inputs:
        return None
    *where, top = (emission.view(value) for value in node.inputs)
    out = emission.view(node.outputs[0])
    each = side(emission, out.count, (*where, top, out))
    constants = window_constants(pooling_axes(layer, params.shapes[0]))
    constants |= {"AVERAGE": layer.method == "AVE", "VEC": each}
    mask = where[0] if where else top
    size = out.count // each
    arguments = (
        *(top.place, mask.place, out.place, top.ld, mask.ld, out.ld),
        *(out.c, out.h, out.w, top.h, top.w, size),
    )
    reads = [top, *where]
    return element_launch(
        emission, node.name, "pool_back", constants, arguments, size, reads, [out]
    )


def _lrn(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of the bottom of an LRN."""
    params = node.params_as(GradientParams)
    layer = params.params_as(LRNParams)
    if not is_positive(layer) or params.inputs != (0,):
        return None
    x, *left, top = (emission.view(value) for value in node.inputs)
    y, out = left[0] if left else x, emission.view(node.outputs[0])
    constants = {
        "ACROSS": layer.across,
        "SIZE": min(layer.local_size, 2 * max(x.c, x.h, x.w) + 1),
        "BETA_075": layer.beta == 0.75,
        "LEFT": bool(left) and layer.across,
    }
    seen = layer.local_size if layer.across else layer.local_size**2
    alpha = float(np.float32(layer.alpha) / np.float32(seen))
    scales = (alpha, float(layer.beta), float(layer.k) if layer.across else 1.0)
    arguments = (
        *(x.place, y.place, top.place, out.place, x.ld, y.ld, top.ld, out.ld),
        *(x.c, x.h, x.w, x.count, *scales),
    )
    reads = [x, *left, top]
    return element_launch(
        emission, node.name, "lrn_back", constants, arguments, x.count, reads, [out]
    )


def _softmax(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of the bottom of a Softmax along any axis but one of height and width."""
    params = node.params_as(GradientParams)
    shape = params.shapes[0]
    axis = canonical_axis(params.params_as(SoftmaxParams).axis, len(shape))
    if (len(shape) == 4 and axis > 1) or params.outputs != (0,) or params.inputs:
        return None
    if count(shape) == 0:
        return []
    views = [emission.view(value) for value in (*node.inputs, node.outputs[0])]
    walks = [row_walk(shape, axis, stored_strides(shape, view)) for view in views]
    rows = count(shape) // shape[axis]
    team = team_of(rows, shape[axis])
    strides = (n for walk in walks for n in walk[1:])
    arguments = (*(view.place for view in views), rows, shape[axis], walks[0][0], *strides)
    grid = (-(-rows // (256 // team)), 1, 1)
    kernel = emission.kernel("softmax_back", {"TEAM": team})
    return [Launch(node.name, kernel, grid, THREADS, arguments, tuple(views[:2]), (views[2],))]


_EMITTERS: Mapping[tuple[str, str], Emitter] = MappingProxyType(
    {
        ("BatchNorm", "bottom"): emit_batch_norm_back,
        ("BatchNorm", "weight"): emit_batch_norm_own,
        ("Bias", "weight"): emit_operand,
        ("Convolution", "bottom"): emit_convolution_back,
        ("Convolution", "weight"): emit_convolution_weight,
        ("Deconvolution", "weight"): emit_deconvolution_weight,
        ("EuclideanLoss", "bottom"): emit_pair_slope,
        ("InnerProduct", "weight"): emit_inner_product_weight,
        ("LRN", "bottom"): _lrn,
        ("Pooling", "bottom"): _pooling,
        ("PReLU", "weight"): emit_slopes_of_prelu,
        ("Scale", "weight"): emit_operand,
        ("SigmoidCrossEntropyLoss", "bottom"): emit_pair_slope,
        ("Softmax", "bottom"): _softmax,
        ("SoftmaxWithLoss", "bottom"): emit_softmax_slope,
    }
)
