"""Gradients of the layers of netc.ops.forks.maps, and of BiasChannel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.label_maps import BIAS_CHANNEL
from netc.ops.forks.maps import (
    CHANNEL_NORM,
    FLIP,
    GRN,
    INNER_DISTANCE,
    SPATIAL_PRODUCT,
    UPSAMPLE_DARKNET,
    DarknetUpsampleParams,
    GRNParams,
    InnerDistanceParams,
)
from netc.ops.gradients.define import INPUT, Build, Gradient, Reads, Saved, alias, gradients, of

Tops = Sequence[str | None]


def _flip(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    top = tops[0]
    assert top is not None
    return {0: build.node("Flip", node.params, (top,))[0]}


def _channel_norm(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """dy * x / y; where y is 0 so are all x (channel_norm_layer.cu adds 1e-9 to y)."""
    x, y = saved.inputs[0], saved.outputs[0]
    result: AnyArray = x * (tops[0] / (y + y.dtype.type(1e-9)))
    return result


def _product(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    if index == 0:
        return tops[0] * saved.inputs[1]
    result: AnyArray = (tops[0] * saved.inputs[0]).sum(axis=1, keepdims=True)
    return result


def _reads_other(params: None, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(1 - index,))


def _grn(params: GRNParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(dy - y sum(dy y)) / norm, over the channels of each place."""
    x, top = saved.inputs[0], tops[0]
    squares = (x * x).sum(axis=1, keepdims=True) + x.dtype.type(params.bias)
    norm = namespace(x).sqrt(squares)
    y = x / norm
    result: AnyArray = (top - y * (top * y).sum(axis=1, keepdims=True)) / norm
    return result


def _add_bias(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    return alias(build, node, tops, [index for index in wanted if index == 0])


def _slopes(params: InnerDistanceParams, difference: AnyArray, top: AnyArray) -> AnyArray:
    """Of each item and centre the gradient by their difference: (items, centres, numbers).

    That of L1 is Caffe's (inner_distance_layer.cpp): -1 where it should be -dy.
    """
    if params.norm == "L2":
        return 2 * difference * top[..., None]
    xp = namespace(top)
    return xp.where(difference > 0, top[..., None], xp.where(difference < 0, top.dtype.type(-1), 0))


def _distance(params: InnerDistanceParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    result: AnyArray = (
        _slopes(params, _differences(saved), tops[0]).sum(axis=1).reshape(saved.shapes[0])
    )
    return result


def _centres(params: InnerDistanceParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    result: AnyArray = _slopes(params, -_differences(saved), tops[0]).sum(axis=0)
    return result


def _differences(saved: Saved) -> AnyArray:
    x, centres = saved.inputs[0], saved.weights[0]
    return x.reshape(x.shape[0], 1, -1) - centres[None]


def _distance_inexact(graph: Graph, node: Node) -> str | None:
    wrong = node.params_as(InnerDistanceParams).norm == "L1"
    return "Caffe's L1 distance passes on -1 in the place of -dy" if wrong else None


_X_AND_CENTRES = Reads(inputs=(0,), weights=(0,))


def _darknet(params: DarknetUpsampleParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    num, channels, height, width = saved.shapes[0]
    blocks = tops[0].reshape(num, channels, height, params.stride, width, params.stride)
    result: AnyArray = blocks.sum(axis=(3, 5))
    return result


GRADIENTS = gradients(
    of(FLIP, Gradient(build=_flip)),
    of(CHANNEL_NORM, Gradient(_channel_norm, Reads(inputs=(0,), outputs=(0,)))),
    of(SPATIAL_PRODUCT, Gradient(_product, _reads_other)),
    of(GRN, Gradient(_grn, INPUT)),
    of(BIAS_CHANNEL, Gradient(build=_add_bias, stops=(1,))),
    of(
        INNER_DISTANCE,
        Gradient(_distance, _X_AND_CENTRES, _centres, _X_AND_CENTRES, inexact=_distance_inexact),
    ),
    of(UPSAMPLE_DARKNET, Gradient(_darknet)),
)
