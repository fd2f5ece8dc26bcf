"""Gradients of Pooling, SPP, LpPooling and SumPooling (pooling_layer.cpp, spp_layer.cpp).

Max pooling reads where its maxima stood, which the forward pass gives as a second top; neither its
bottom nor its top is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from netc.ir.types import Shape, count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.lp_pooling import LP_POOLING, LpPoolingParams
from netc.ops.forks.sum_pooling import SUM_POOLING
from netc.ops.gradients.define import INPUT, NOTHING, Gradient, Reads, Saved, gradients, of
from netc.ops.pooling import POOLING, PoolingParams, pooling_axes
from netc.ops.pooling_values import areas, drawn_and_where, largest_and_where, summed
from netc.ops.random import uniform
from netc.ops.spp import SPP, SPPParams, pyramid
from netc.ops.window import Axis, last_axes, taps


def spread(y: AnyArray, axes: Sequence[Axis], shape: Shape) -> AnyArray:
    """The adjoint of ``summed``: each element is added to all elements that its window covers.

    Args:
        y: (num, channels, *places).
        axes: the window along height and width.
        shape: of the result, (num, channels, height, width).
    """
    x = namespace(y).zeros(shape, dtype=y.dtype)
    for tap in taps(axes):
        x[last_axes(tap.inputs)] += y[last_axes(tap.outputs)]
    return x


def put_back(y: AnyArray, where: AnyArray, axes: Sequence[Axis], shape: Shape) -> AnyArray:
    """Each element is added at its index in its plane; one with index -1 is dropped.

    Args:
        y: (num, channels, *places).
        where: indices, in the shape of ``y``.
        axes: the window along height and width.
        shape: of the result, (num, channels, height, width).
    """
    xp = namespace(y)
    x = xp.zeros(shape, dtype=y.dtype)
    index = xp.arange(shape[2] * shape[3]).reshape(shape[2:])
    for tap in taps(axes):
        outputs = last_axes(tap.outputs)
        hit = where[outputs] == index[tap.inputs]
        x[last_axes(tap.inputs)] += xp.where(hit, y[outputs], 0)
    return x


def _records(params: PoolingParams) -> PoolingParams | None:
    return None if params.mask or params.method != "MAX" else replace(params, mask=True)


def _reads(params: PoolingParams, index: int, bottoms: int) -> Reads:
    if params.method == "MAX":
        return Reads(outputs=(1,))
    return INPUT if params.method == "STOCHASTIC" else NOTHING


def _pooling(params: PoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    axes = pooling_axes(params, saved.shapes[0])
    if params.method == "MAX":
        return put_back(tops[0], saved.outputs[1], axes, saved.shapes[0])
    key = saved.inputs[1] if len(saved.inputs) > 1 else None
    return _averaged_or_drawn(params, saved.inputs[0], tops[0], key, saved.shapes[0])


def _averaged_or_drawn(
    params: PoolingParams, x: AnyArray, top: AnyArray, key: AnyArray | None, shape: Shape
) -> AnyArray:
    axes = pooling_axes(params, shape)
    if params.method == "AVE":
        return spread(top / areas(axes, top), axes, shape)
    if params.train:
        share = uniform(x, top.shape, params.seed, key)
        return put_back(top, drawn_and_where(x, axes, share)[1], axes, shape)
    return _by_expectation(x, top, axes)


def _by_expectation(x: AnyArray, top: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """y = sum x^2 / sum x, hence dx = dy * (2 x - y) / sum x, where the sum is above 0."""
    xp = namespace(x)
    total, squares = summed(x, axes), summed(x * x, axes)
    positive = total > 0
    total = xp.where(positive, total, 1)
    share = xp.where(positive, top / total, 0)
    mean = xp.where(positive, squares / total, 0)
    return 2 * x * spread(share, axes, x.shape) - spread(share * mean, axes, x.shape)


def _spp(params: SPPParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The sum of the levels' gradients."""
    shape, top = saved.shapes[0], tops[0]
    levels = pyramid(params, shape)
    sizes = [[axis.out for axis in pooling_axes(level, shape)] for level in levels]
    ends = np.cumsum([0, *(shape[1] * high * wide for high, wide in sizes)]).tolist()
    flat = top.reshape(shape[0], count(top.shape, 1))
    key = saved.inputs[1] if len(saved.inputs) > 1 else None
    total = namespace(top).zeros(shape, dtype=top.dtype)
    for level, (high, wide), (start, end) in zip(levels, sizes, pairwise(ends), strict=True):
        part = flat[:, start:end].reshape(*shape[:2], high, wide)
        total = total + _level(level, saved.inputs[0], part, key, shape)
    return total


def _level(
    params: PoolingParams, x: AnyArray, top: AnyArray, key: AnyArray | None, shape: Shape
) -> AnyArray:
    if params.method != "MAX":
        return _averaged_or_drawn(params, x, top, key, shape)
    axes = pooling_axes(params, shape)
    return put_back(top, largest_and_where(x, axes)[1], axes, shape)


def _reads_spp(params: SPPParams, index: int, bottoms: int) -> Reads:
    return NOTHING if params.method == "AVE" else INPUT


def _lp_pooling(params: LpPoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """y^p = sum |x|^p, hence dx = dy * sign(x) |x|^(p - 1) y^(1 - p); 0 where y is 0."""
    x, y = saved.inputs[0], saved.outputs[0]
    xp, p = namespace(x), x.dtype.type(params.p)
    axes = pooling_axes(params.pooling, x.shape)
    share = xp.where(y > 0, tops[0] * xp.where(y > 0, y, 1) ** (1 - p), 0)
    magnitude = xp.abs(x)
    power = xp.where(magnitude > 0, xp.where(magnitude > 0, magnitude, 1) ** (p - 1), 0)
    return xp.sign(x) * power * spread(share, axes, x.shape)


def _sum_pooling(params: PoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return spread(tops[0], pooling_axes(params, saved.shapes[0]), saved.shapes[0])


GRADIENTS = gradients(
    of(SUM_POOLING, Gradient(_sum_pooling)),
    of(POOLING, Gradient(_pooling, _reads, records=_records, tops=(0,))),
    of(SPP, Gradient(_spp, _reads_spp)),
    of(LP_POOLING, Gradient(_lp_pooling, Reads(inputs=(0,), outputs=(0,)))),
)
