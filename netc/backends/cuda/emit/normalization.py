"""LRN and Softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.backends.cuda.emission import SUMMING, CudaEmitContext, element_launch
from netc.backends.cuda.program import Launch, Steps
from netc.backends.shared.layout import c_strides, has_channels, stored_strides
from netc.ir.graph import Node
from netc.ir.types import canonical_axis, count
from netc.ops.lrn import LRNParams, is_positive
from netc.ops.normalization import SoftmaxParams


def emit_lrn(emission: CudaEmitContext, node: Node) -> Steps | None:
    """Both regions."""
    params = node.params_as(LRNParams)
    if not is_positive(params):
        return None
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    constants = {
        "ACROSS": params.across,
        "SIZE": min(params.local_size, 2 * max(x.c, x.h, x.w) + 1),
        "BETA_075": params.beta == 0.75,
    }
    seen = params.local_size if params.across else params.local_size**2
    alpha = float(np.float32(params.alpha) / np.float32(seen))
    scales = (alpha, float(params.beta), float(params.k) if params.across else 1.0)
    total = x.pixels * x.c
    arguments = (x.place, y.place, x.ld, y.ld, x.c, x.h, x.w, total, *scales)
    return element_launch(emission, node.name, "lrn", constants, arguments, total, [x], [y])


def team_of(rows: int, length: int) -> int:
    """Threads that share a row's sums: a power of two, more where there are few rows."""
    team = 1
    while team < min(256, length) and rows * team < 8 * 256 * SUMMING:
        team *= 2
    return team


def emit_softmax(emission: CudaEmitContext, node: Node) -> Steps | None:
    """Along any axis but a single one of height and width."""
    shape = emission.graph.shape(node.inputs[0])
    axis = canonical_axis(node.params_as(SoftmaxParams).axis, len(shape))
    if len(shape) == 4 and axis > 1:
        return None
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    rows = count(shape) // max(1, shape[axis])
    if count(shape) == 0:
        return []
    walk_x = row_walk(shape, axis, stored_strides(shape, x))
    walk_y = row_walk(shape, axis, stored_strides(shape, y))
    team = team_of(rows, shape[axis])
    kernel = emission.kernel("softmax", {"TEAM": team})
    arguments = (x.place, y.place, rows, shape[axis], *walk_x, *walk_y[1:])
    each = 256 // team
    return [Launch(node.name, kernel, (-(-rows // each), 1, 1), 256, arguments, (x,), (y,))]


def row_walk(
    shape: tuple[int, ...], axis: int, strides: Sequence[int]
) -> tuple[int, int, int, int]:
    """The layout of rows: inner rows, and the strides of outer rows, inner rows and elements.

    Rows are numbered in an order in which two strides suffice: over pixels, over pixels of an
    image and channels, or, for values in C order, over what is before and after the axis.
    """
    if not has_channels(shape):
        inner = count(shape, axis + 1)
        return inner, c_strides(shape)[axis] * shape[axis], 1, strides[axis]
    if len(shape) == 2:
        return 1, strides[1 - axis], 0, strides[axis]
    if axis == 1:
        return 1, strides[3], 0, 1
    return shape[1], strides[3], 1, strides[0]
