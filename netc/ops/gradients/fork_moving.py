"""Gradients of Unpooling and FlowWarp; and of layers of forks whose gradient is 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.gradients.define import Gradient, Reads, Saved, every_bottom
from netc.ops.unpooling import UnpoolingParams, unpooled_places


def _unpooling(params: UnpoolingParams, saved: Saved, tops: Sequence[Any], index: int) -> Any:
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
    params: UnpoolingParams = node.params
    if params.kind == "TILE":
        return "DeconvNet's TILE takes the mean where the sum is the derivative"
    return None


def _reads_mask(params: UnpoolingParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(1,) if params.kind == "MAX" and bottoms > 1 else ())


def _warp(params: None, saved: Saved, tops: Sequence[Any], index: int) -> Any:
    """By the data: each place's gradient goes to the four it lies between, by their shares; by the
    flow: their differences, summed over the channels.
    """
    data, flow = saved.inputs
    high, wide = data.shape[2:]
    across, down = np.meshgrid(np.arange(wide), np.arange(high))
    x, y = flow[:, 0] + across, flow[:, 1] + down
    inside = (x >= 0) & (y >= 0) & (x < wide) & (y < high)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
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


GRADIENTS = {
    "Unpooling": Gradient(
        _unpooling, _reads_mask, ignored=(1,), inexact=_unpooling_inexact, host=True
    ),
    "FlowWarp": Gradient(_warp, Reads(inputs=(0, 1)), host=True),
    "PriorBoxClustered": Gradient(ignored=every_bottom),
}
