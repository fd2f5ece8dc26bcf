"""Gradient of DenseBlock (DenseBlock_layer.cpp of senlinuc/caffe_ocr), back through its steps."""

from __future__ import annotations

from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.forks.dense_block import (
    DENSE_BLOCK,
    DenseBlockParams,
    Norm,
    arrays_of,
    convolved,
    steps_of,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _turned(filters: AnyArray) -> AnyArray:
    """Filters of the convolution that takes a gradient back, (in, out, rows, columns)."""
    return filters.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


def _by_filters(x: AnyArray, top: AnyArray, side: int) -> AnyArray:
    """The gradient of a convolution by its filters, (out, in, side, side)."""
    xp, pad = namespace(x), side // 2
    high, wide = x.shape[2:]
    padded = xp.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    made = xp.zeros((top.shape[1], x.shape[1], side, side), x.dtype)
    rows = top.transpose(1, 0, 2, 3).reshape(top.shape[1], -1)
    for i in range(side):
        for j in range(side):
            part = padded[:, :, i : i + high, j : j + wide]
            made[:, :, i, j] = rows @ part.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    return made


class _Back(NamedTuple):
    bottom: AnyArray
    scale: AnyArray
    shift: AnyArray


def _norm(params: DenseBlockParams, norm: Norm, scale: AnyArray, top: AnyArray) -> _Back:
    """Through ReLU and BatchNorm; the variance counts as the biased one, as in the fork."""
    axes = (0, 2, 3)
    top = top * (norm.output > 0)
    shift = top.sum(axis=axes, keepdims=True)
    by_scale = (top * norm.centred * norm.inverse).sum(axis=axes, keepdims=True)
    slope = top * scale * norm.inverse
    if params.training:
        samples = top.dtype.type(top.size // top.shape[1])
        variance = -(slope * norm.centred).sum(axis=axes, keepdims=True) * norm.inverse**2
        mean = slope.sum(axis=axes, keepdims=True)
        slope = slope + (variance * norm.centred - mean) / samples
    return _Back(slope, by_scale, shift)


@quietly
def _all(
    params: DenseBlockParams, saved: Saved, tops: Arrays, until: int
) -> tuple[AnyArray, dict[int, AnyArray]]:
    """The gradient by what step ``until`` reads, and those by the trained arrays from it on."""
    weights, top = saved.weights, tops[0]
    steps, _ = steps_of(params, saved.inputs[0], weights)
    found: dict[int, AnyArray] = {}

    def at(kind: int, step: int) -> int:
        return arrays_of(params, kind, step)

    for step in reversed(range(until, params.transitions)):
        read, first, second, last = steps[step]
        channels = read.shape[1]
        rest, grown = top[:, :channels], top[:, channels:]
        found[at(0, step)] = _by_filters(last, grown, 3)
        back = convolved(grown, _turned(weights[at(0, step)]))
        if second is not None:
            narrow = _norm(params, second, weights[at(6, step)], back)
            found[at(6, step)], found[at(7, step)] = narrow.scale, narrow.shift
            wide = namespace(read).maximum(first.output, 0)
            found[at(5, step)] = _by_filters(wide, narrow.bottom, 1)
            back = convolved(narrow.bottom, _turned(weights[at(5, step)]))
        outer = _norm(params, first, weights[at(1, step)], back)
        found[at(1, step)], found[at(2, step)] = outer.scale, outer.shift
        top = rest + outer.bottom
    return top, found


def _bottom(params: DenseBlockParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _all(params, saved, tops, 0)[0]


def _weight(params: DenseBlockParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _all(params, saved, tops, index % params.transitions)[1][index]


def _reads(params: DenseBlockParams, index: int, bottoms: int) -> Reads:
    number = (10 if params.bottleneck else 5) * params.transitions + 1
    return Reads(inputs=(0,), weights=tuple(range(number)))


def _inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(DenseBlockParams)
    if not params.training:
        return None
    return "the fork divides by the unbiased variance, and its gradient is of the biased one"


GRADIENTS = gradients(
    of(DENSE_BLOCK, Gradient(_bottom, _reads, _weight, _reads, inexact=_inexact)),
)
