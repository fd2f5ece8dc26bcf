"""Gradients of InnerProduct and InnerDistance of two bottoms, and of ChannelScale.

inner_product_layer.cpp, inner_distance_layer.cpp and channel_scale_layer.cpp of
happynear/caffe-windows.
"""

from __future__ import annotations

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.bottom_products import (
    BOTTOM_DISTANCE,
    BOTTOM_PRODUCT,
    CHANNEL_SCALE,
    BottomDistanceParams,
    BottomProductParams,
    places_of,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of

_BOTH = Reads(inputs=(0, 1))


def _product(params: BottomProductParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """dx = dy . W, dW = dy^T . x, and the sum of dy over its rows by a bias."""
    shape, rows = saved.shapes[index], saved.shapes[1][0]
    top = tops[0].reshape(-1, rows)
    if index == 2:
        result: AnyArray = top.sum(axis=0).reshape(shape) if params.bias else top[0] * 0
        return result
    x, weights = saved.inputs[0].reshape(len(top), -1), saved.inputs[1].reshape(rows, -1)
    return (top @ weights if index == 0 else top.T @ x).reshape(shape)


def _bias(params: object, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    result: AnyArray = tops[0].reshape(-1, tops[0].shape[-1]).sum(axis=0)
    return result


def _distance(params: BottomDistanceParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Of each row's distance to each other row: twice itself, or its sign.

    That of L1 is Caffe's (inner_distance_layer.cpp): -1 where it should be -dy.
    """
    x, rows = (array.reshape(array.shape[0], -1) for array in saved.inputs)
    difference = x[:, None] - rows[None] if index == 0 else rows[None] - x[:, None]
    top = tops[0][:, :, None]
    if params.norm == "L2":
        slope = 2 * difference * top
    else:
        xp = namespace(top)
        slope = xp.where(difference > 0, top, xp.where(difference < 0, top.dtype.type(-1), 0))
    result: AnyArray = slope.sum(axis=1 - index).reshape(saved.shapes[index])
    return result


def _distance_inexact(graph: Graph, node: Node) -> str | None:
    wrong = node.params_as(BottomDistanceParams).norm == "L1"
    return "Caffe's L1 distance passes on -1 in the place of -dy" if wrong else None


def _scale(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By the map the top's times the factor; by a factor their sum over the channels."""
    data, scale = saved.inputs
    if index == 0:
        return tops[0] * places_of(scale, data)
    result: AnyArray = (tops[0] * data).sum(axis=1).reshape(scale.shape)
    return result


GRADIENTS = gradients(
    of(BOTTOM_PRODUCT, Gradient(_product, _BOTH, _bias)),
    of(BOTTOM_DISTANCE, Gradient(_distance, _BOTH, inexact=_distance_inexact)),
    of(CHANNEL_SCALE, Gradient(_scale, _BOTH)),
)
