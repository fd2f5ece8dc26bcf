"""Gradients of the small layers of netc.ops.forks.parts, as their forks have them."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.parts import (
    L2_NORMALIZE,
    MIL,
    SCALE_FILTER,
    SIGNED_SQRT,
    SPARSIFY,
    MILParams,
    ScaleFilterParams,
    SparsifyParams,
    drawn_scales,
    grouped,
    item_norms,
)
from netc.ops.gradients.define import (
    INPUT,
    OUTPUT,
    Gradient,
    Reads,
    Saved,
    gradients,
    of,
)


def _sparsify(params: SparsifyParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    y, xp = saved.outputs[0], namespace(saved.outputs[0])
    made = tops[0] + y.dtype.type(params.push) * xp.sign(y)
    result: AnyArray = made * (y != 0) if params.threshold > 0 else made
    return result


def _sparsify_inexact(graph: Graph, node: Node) -> str | None:
    return "Sparsify adds the slope of a penalty" if node.params_as(SparsifyParams).push else None


_SQRT_EPS = 0.03  # signed_sqrt_layer.hpp


def _signed_sqrt(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """dy / (2 (|y| + 0.03)): the fork keeps off the pole at 0."""
    y, xp = saved.outputs[0], namespace(saved.outputs[0])
    kind = y.dtype.type
    result: AnyArray = kind(0.5) * tops[0] / (xp.abs(y) + kind(_SQRT_EPS))
    return result


def _sqrt_inexact(graph: Graph, node: Node) -> str:
    return "SignedSqrt adds to the divisor of its gradient"


def _l2_normalize(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    x = saved.inputs[0]
    norms = item_norms(x)
    y = x / norms
    axes = tuple(range(1, x.ndim))
    result: AnyArray = (tops[0] - y * (y * tops[0]).sum(axis=axes, keepdims=True)) / norms
    return result


def _scale_filter(params: ScaleFilterParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    if not params.train:
        return tops[0]
    key = saved.inputs[1] if len(saved.inputs) > 1 else None
    return tops[0] * drawn_scales(params, tops[0], key)


def _mil(params: MILParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Every greatest instance learns, or all by (1 - P) / (1 - p), at most 1."""
    x, y = saved.inputs[0], saved.outputs[0]
    if params.rows:
        rows = grouped(params, x)
        shape = (len(rows), 1, rows.shape[2])
        result: AnyArray = ((rows == y.reshape(shape)) * tops[0].reshape(shape)).reshape(x.shape)
        return result
    if not params.noisy:
        result = tops[0] * (x == y)
        return result
    with np.errstate(all="ignore"):
        return tops[0] * namespace(x).minimum(1, (1 - y) / (1 - x))


GRADIENTS = gradients(
    of(SPARSIFY, Gradient(_sparsify, OUTPUT, reads_left=True, inexact=_sparsify_inexact)),
    of(SIGNED_SQRT, Gradient(_signed_sqrt, OUTPUT, inexact=_sqrt_inexact)),
    of(L2_NORMALIZE, Gradient(_l2_normalize, INPUT)),
    of(SCALE_FILTER, Gradient(_scale_filter)),
    of(MIL, Gradient(_mil, Reads(inputs=(0,), outputs=(0,)))),
)
