"""Gradients of ROIAlign, Pooling3D, Correlation, Unpooling and FlowWarp, as in their forks."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.detection.priors import PRIOR_BOX_CLUSTERED
from netc.ops.detection.roi_align import (
    ROI_ALIGN,
    GridAlignParams,
    aligned_places,
    inside_map,
    neighbours_of,
)
from netc.ops.forks.flow import (
    CORRELATION,
    FLOW_WARP,
    CorrelationParams,
    FlowWarpParams,
    correlated_places,
    sampled_places,
)
from netc.ops.forks.pooling3d import (
    POOLING_3D,
    Pooling3DParams,
    pooled_counts,
    pooled_edges,
    tapped,
    volume_axes,
)
from netc.ops.forks.unpooling import UNPOOLING, UnpoolingParams, unpooled_places
from netc.ops.gradients.define import Gradient, Reads, Saved, every_bottom, gradients, of


def _unpooling(params: UnpoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """MAX takes the gradient from where the element was put; AVE and TILE the window's mean, though
    TILE's derivative is the sum (unpooling_layer.cpp).
    """
    shape, top = saved.shapes[0], tops[0]
    if params.kind == "MAX":
        places = unpooled_places(params, shape, top.shape, saved.inputs[1:])
        planes = top.reshape(len(places), -1)
        return np.take_along_axis(planes, places, axis=1).reshape(shape)
    x = np.zeros(shape, top.dtype)
    for row, column in np.ndindex(*shape[2:]):
        y, z = row * params.stride[0], column * params.stride[1]
        window = top[:, :, y : y + params.kernel[0], z : z + params.kernel[1]]
        size = max(1, window.shape[2] * window.shape[3])
        x[:, :, row, column] = window.sum(axis=(2, 3)) / top.dtype.type(size)
    return x


def _unpooling_inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(UnpoolingParams)
    if params.kind == "TILE":
        return "DeconvNet's TILE takes the mean where the sum is the derivative"
    return None


def _reads_mask(params: UnpoolingParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(1,) if params.kind == "MAX" and bottoms > 1 else ())


def _warp(params: FlowWarpParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By the data: each place's gradient goes to the four it lies between, by their shares; by the
    flow: their differences, summed over the channels.
    """
    data, flow = saved.inputs
    high, wide = data.shape[2:]
    x, y, inside = sampled_places(flow)
    left, upper = x.astype(np.int64), y.astype(np.int64)
    right, lower = np.minimum(left + 1, wide - 1), np.minimum(upper + 1, high - 1)
    a, b = (x - left)[:, None], (y - upper)[:, None]
    top = np.where(inside[:, None], tops[0], 0)
    image = np.arange(len(data))[:, None, None]
    corners = ((upper, left), (upper, right), (lower, left), (lower, right))
    if index == 0:
        grads = np.zeros_like(data)
        shares = ((1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a)
        for (rows, columns), share in zip(corners, shares, strict=True):
            part = (top * share).transpose(0, 2, 3, 1)
            for channel in range(data.shape[1]):
                np.add.at(grads[:, channel], (image, rows, columns), part[..., channel])
        return grads
    one, two, three, four = (data[image, :, r, c].transpose(0, 3, 1, 2) for r, c in corners)
    by_x = (1 - b) * (two - one) + b * (four - three)
    by_y = (1 - a) * (three - one) + a * (four - two)
    return np.stack([(top * by_x).sum(axis=1), (top * by_y).sum(axis=1)], axis=1)


def _align(params: GridAlignParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each corner's gradient goes to the elements it lies between, by their shares."""
    shape, top = saved.shapes[0], tops[0]
    grads = np.zeros(shape, top.dtype)
    for at, image, y, x in aligned_places(params, shape[0], saved.inputs[1]):
        down, across = _shares(y, shape[2], top), _shares(x, shape[3], top)
        grads[image] += down.T @ top[at] @ across
    return grads


def _shares(at: AnyArray, size: int, like: AnyArray) -> AnyArray:
    """How much each place takes of each element; nothing outside of the map."""
    first, last, share = neighbours_of(at, size)
    shares, rows = np.zeros((len(at), size), like.dtype), np.arange(len(at))
    np.add.at(shares, (rows, first), 1 - share)
    np.add.at(shares, (rows, last), share)
    return shares * inside_map(at, size)[:, None]


def _pooling3d(params: Pooling3DParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """To the first of the greatest of each window, or evenly to all of it."""
    shape, top = saved.shapes[0], tops[0]
    axes = volume_axes(params, shape)
    edges = pooled_edges(axes)
    sizes = [
        size + before + behind for size, (before, behind) in zip(shape[2:], edges, strict=True)
    ]
    grads = np.zeros((*shape[:2], *sizes), top.dtype)
    if params.method == "MAX":
        pads = ((0, 0), (0, 0), *edges)
        padded = np.pad(saved.inputs[0], pads, constant_values=-np.inf)
        free = np.ones(top.shape, dtype=bool)
        for seen in tapped(axes):
            hit = free & (padded[seen] == saved.outputs[0])
            grads[seen] += np.where(hit, top, 0)
            free &= ~hit
    else:
        share = top / pooled_counts(axes)
        for seen in tapped(axes):
            grads[seen] += share
    own = (slice(before, before + size) for size, (before, _) in zip(shape[2:], edges, strict=True))
    return np.ascontiguousarray(grads[(slice(None), slice(None), *own)]).astype(top.dtype)


def _reads_maxima(params: Pooling3DParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(0,), outputs=(0,)) if params.method == "MAX" else Reads()


def _correlation(params: CorrelationParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By each of two that were multiplied the other; of a difference's size the sign."""
    pad = ((0, 0), (0, 0), (params.pad,) * 2, (params.pad,) * 2)
    maps = [np.pad(array, pad) for array in saved.inputs]
    share = tops[0] / tops[0].dtype.type(params.kernel**2 * maps[0].shape[1])
    grads = np.zeros_like(maps[0])
    for channel, *places in correlated_places(params, tops[0].shape):
        own, other = maps[index][places[index]], maps[1 - index][places[1 - index]]
        slope = np.sign(own - other) if params.subtract else other
        grads[places[index]] += slope * share[:, channel, None]
    high, wide = saved.shapes[0][2:]
    return grads[:, :, params.pad : params.pad + high, params.pad : params.pad + wide].copy()


GRADIENTS = gradients(
    of(ROI_ALIGN, Gradient(_align, Reads(inputs=(1,)), ignored=(1,), host=True)),
    of(POOLING_3D, Gradient(_pooling3d, _reads_maxima, host=True)),
    of(CORRELATION, Gradient(_correlation, Reads(inputs=(0, 1)), host=True)),
    of(
        UNPOOLING,
        Gradient(_unpooling, _reads_mask, ignored=(1,), inexact=_unpooling_inexact, host=True),
    ),
    of(FLOW_WARP, Gradient(_warp, Reads(inputs=(0, 1)), host=True)),
    of(PRIOR_BOX_CLUSTERED, Gradient(ignored=every_bottom)),
)
