"""Gradients of Resize and Remap (resize_layer.cpp and remap_layer.cpp of appearance flow)."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.appearance_flow import (
    REMAP,
    RESIZE,
    ResizeParams,
    along,
    both_axes,
    corners,
    values_at,
)
from netc.ops.gradients.define import NOTHING, Gradient, Reads, Saved, gradients, of


def _resize(params: ResizeParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Back through each axis, the height's first; the blur is applied once more, as there."""
    made = tops[0]
    for axis, shares, blur in reversed(both_axes(params, saved.shapes)):
        made = along(along(made, shares.T, axis), blur, axis)
    return made


def _resize_inexact(graph: Graph, node: Node) -> str | None:
    shapes = [graph.values[name].shape or () for name in node.inputs]
    blurred = any(b is not None for _, _, b in both_axes(node.params_as(ResizeParams), shapes))
    return "Resize blurs the gradient as it blurred the values" if blurred else None


def _remap(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, places = (np.asarray(array) for array in saved.inputs)
    top = np.asarray(tops[0])
    found = corners(places, *data.shape[2:])
    with np.errstate(invalid="ignore"):
        if index == 0:
            by_data = np.zeros_like(np.moveaxis(data, 1, 3))
            image = np.arange(len(data))[:, None, None]
            for c in found:
                given = np.where(c.kept[:, None], c.share[:, None] * top, 0)
                np.add.at(by_data, (image, c.rows, c.columns), np.moveaxis(given, 1, 3))
            return np.moveaxis(by_data, 3, 1)
        by_place = np.zeros_like(places)
        for c in found:
            inner = (values_at(data, c) * top).sum(axis=1)
            by_place[:, 0] += c.by_column * inner
            by_place[:, 1] += c.by_row * inner
        return by_place


GRADIENTS = gradients(
    of(RESIZE, Gradient(_resize, NOTHING, ignored=(1,), inexact=_resize_inexact)),
    of(REMAP, Gradient(_remap, Reads(inputs=(0, 1)), host=True)),
)
