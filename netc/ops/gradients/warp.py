"""Gradients of PWC-Net's Warp (warp_layer.cu of NVlabs/PWC-Net) and of Tiling."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.warp import (
    TILING,
    WARP,
    Neighbours,
    TilingParams,
    at_places,
    neighbours,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _warp(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, flow = saved.inputs
    found = neighbours(np.asarray(flow))
    top = np.where(found.inside[:, None], tops[0], 0)
    if index == 0:
        return _by_map(found, top, saved.shapes[0])
    slopes = _across(found, np.asarray(data)), _down(found, np.asarray(data))
    return np.stack([(top * slope).sum(axis=1) for slope in slopes], axis=1).astype(top.dtype)


def _by_map(found: Neighbours, top: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    grads = np.zeros((shape[0], *shape[2:], shape[1]), top.dtype)
    image = np.arange(shape[0])[:, None, None]
    moved = np.moveaxis(top, 1, 3)
    for rows, down in ((found.upper, 1 - found.down), (found.lower, found.down)):
        for columns, across in ((found.left, 1 - found.across), (found.right, found.across)):
            np.add.at(grads, (image, rows, columns), moved * (down * across)[..., None])
    return np.moveaxis(grads, 3, 1)


def _across(n: Neighbours, data: AnyArray) -> AnyArray:
    """By x: the step to the right; where x is whole, the mean of the steps on both sides."""
    wide = data.shape[3]
    whole = n.left == n.right
    left, right = np.where(whole, n.left - 1, n.left), np.where(whole, n.left + 1, n.right)
    return _mixed(n.down, [
        _steps(data, (rows, n.left), (rows, left), (rows, right), whole, (left >= 0, right < wide))
        for rows in (n.upper, n.lower)
    ])  # fmt: skip


def _down(n: Neighbours, data: AnyArray) -> AnyArray:
    """By y, likewise."""
    high = data.shape[2]
    whole = n.upper == n.lower
    up, low = np.where(whole, n.upper - 1, n.upper), np.where(whole, n.upper + 1, n.lower)
    return _mixed(n.across, [
        _steps(data, (n.upper, at), (up, at), (low, at), whole, (up >= 0, low < high))
        for at in (n.left, n.right)
    ])  # fmt: skip


Place = tuple[AnyArray, AnyArray]


def _steps(
    data: AnyArray,
    here: Place,
    before: Place,
    behind: Place,
    whole: AnyArray,
    there: tuple[AnyArray, AnyArray],
) -> AnyArray:
    """From one element to the next; half of each step about a whole place, 0 beyond the edge."""
    value, first, second = (_taken(data, place) for place in (here, before, behind))
    halves = np.where(there[0][:, None], value - first, 0) + np.where(
        there[1][:, None], second - value, 0
    )
    return np.where(whole[:, None], halves / 2, second - first)


def _taken(data: AnyArray, place: Place) -> AnyArray:
    rows, columns = place
    return at_places(data, rows.clip(0, data.shape[2] - 1), columns.clip(0, data.shape[3] - 1))


def _mixed(part: AnyArray, both: list[AnyArray]) -> AnyArray:
    result: AnyArray = (1 - part[:, None]) * both[0] + part[:, None] * both[1]
    return result


def _warp_inexact(graph: Graph, node: Node) -> str:
    return "a place that a whole flow points to has no derivative; Warp takes a mean of both sides"


def _tiling(params: TilingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each block's elements back to their channels."""
    num, channels, high, wide = saved.shapes[0]
    side = params.side
    blocks = tops[0].reshape(num, channels // side**2, high, side, wide, side)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(saved.shapes[0])


GRADIENTS = gradients(
    of(WARP, Gradient(_warp, Reads(inputs=(0, 1)), inexact=_warp_inexact, host=True)),
    of(TILING, Gradient(_tiling)),
)
