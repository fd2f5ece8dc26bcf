"""Gradients of MarginInnerProduct, which in SphereFace's layer are not the exact derivatives."""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.margin import (
    LARGE_MARGIN,
    MARGIN_INNER_PRODUCT,
    MarginParams,
    angles,
    fallen,
    large_angles,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of

_ALL = Reads(inputs=(0, 1), weights=(0,))


def _bottom(params: MarginParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By the vectors: of the label's class a direction of length 1, by w and by x."""
    with np.errstate(all="ignore"):
        found = angles(params, [i for i in saved.inputs if i is not None], saved.weights[0])
        xp = namespace(found.x)
        top = tops[0].reshape(len(found.x), -1)
        plain = top @ found.unit
        if params.multiple == 1:
            return plain.reshape(saved.shapes[0])
        _, by_w, by_x = fallen(params.multiple, found.cosine)
        by_x = by_x / found.size
        length = xp.sqrt(by_w * by_w + by_x * by_x)
        others = xp.where(found.hot, top * by_w / length, top) @ found.unit
        own = xp.where(found.hot, top * by_x / length, 0).sum(axis=1, keepdims=True) * found.x
        made = (others + own + found.share * plain) / (1 + found.share)
    result: AnyArray = made.astype(found.x.dtype).reshape(saved.shapes[0])
    return result


def _weight(params: MarginParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """As an inner product's, whatever the margin."""
    rows = saved.inputs[0]
    top = tops[0].reshape(-1, params.num_output)
    return top.T @ rows.reshape(len(top), -1)


def _inexact(graph: Graph, node: Node) -> str:
    return "MarginInnerProduct learns by directions of its own, and its weights as a plain product"


def _large(params: MarginParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The derivative by the vectors."""
    by_x, _ = _large_slopes(params, saved, tops)
    return by_x.reshape(saved.shapes[0])


def _large_weight(params: MarginParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The derivative by the weights."""
    return _large_slopes(params, saved, tops)[1]


def _large_slopes(params: MarginParams, saved: Saved, tops: Arrays) -> tuple[AnyArray, AnyArray]:
    with np.errstate(all="ignore"):
        given = [array for array in saved.inputs if array is not None]
        found = large_angles(params, given, saved.weights[0])
        xp, top = namespace(found.x), tops[0].reshape(len(found.x), -1)
        if params.multiple == 1:
            return top @ found.weights, top.T @ found.x
        _, by_w, off = fallen(params.multiple, found.cosine)
        kind = found.x.dtype.type
        plain = xp.where(found.hot, by_w, 1) + kind(found.share)
        plain = top * plain / kind(1 + found.share)
        own = xp.where(found.hot, top * off, 0) / kind(1 + found.share)
        size = xp.sqrt((found.x * found.x).sum(axis=1, keepdims=True))
        length = xp.sqrt((found.weights * found.weights).sum(axis=1))
        by_x = plain @ found.weights + (own * length / size).sum(axis=1, keepdims=True) * found.x
        ratio = (own * size / length).sum(axis=0)[:, None]
        return by_x.astype(kind), (plain.T @ found.x + ratio * found.weights).astype(kind)


GRADIENTS = gradients(
    of(
        LARGE_MARGIN,
        Gradient(_large, _ALL, _large_weight, _ALL, stops=(1,), tops=(0,), host=True),
    ),
    of(
        MARGIN_INNER_PRODUCT,
        Gradient(
            _bottom,
            _ALL,
            _weight,
            Reads(inputs=(0,)),
            stops=(1,),
            tops=(0,),
            inexact=_inexact,
            host=True,
        ),
    ),
)
