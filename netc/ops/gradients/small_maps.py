"""Gradients of SpatialSoftmax, GroupNorm, Norm, Normalization and Transformation.

Transformation has none in its fork, which stops there.
"""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.small_maps import (
    GROUP_NORM,
    NORM,
    NORM_EPSILON,
    NORMALIZATION,
    SPATIAL_SOFTMAX,
    GroupNormParams,
    SpatialSoftmaxParams,
    group_norm,
    item_shares,
    spatial_softmax,
)
from netc.ops.gradients.define import INPUT, Gradient, Saved, gradients, of


def _spatial(params: SpatialSoftmaxParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """y * (dy - sum(y * dy)) / temperature."""
    x, top = saved.inputs[0], tops[0]
    y = spatial_softmax(params, x)
    inner = (y * top).sum(axis=(-2, -1), keepdims=True)
    result: AnyArray = y * (top - inner) * x.dtype.type(1 / params.temperature)
    return result


def _group_norm(params: GroupNormParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(dy - mean(dy) - mean(dy * y) * y) / sqrt(variance + eps)."""
    x = saved.inputs[0]
    y, size = group_norm(params, x)
    top = tops[0].reshape(y.shape)
    inner = (top * y).mean(axis=1, keepdims=True)
    result: AnyArray = ((top - top.mean(axis=1, keepdims=True) - inner * y) / size).reshape(x.shape)
    return result


@np.errstate(all="ignore")
def _norm(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(|x|^2 dy - (x . dy) x) / (|x|^3 + 1e-6), over the channels."""
    top = tops[0]
    x = saved.inputs[0].reshape(top.shape)
    square = (x * x).sum(axis=1, keepdims=True)
    cube = square * namespace(x).sqrt(square) + x.dtype.type(NORM_EPSILON)
    inner = (x * top / cube).sum(axis=1, keepdims=True)
    result: AnyArray = (square * top / cube - x * inner).reshape(saved.shapes[0])
    return result


@np.errstate(all="ignore")
def _normalization(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(dy - y (y . dy)) / |x| for each item."""
    x, top = saved.inputs[0], tops[0]
    share = item_shares(x)
    y = x * share
    inner = (y * top).reshape(len(x), -1).sum(axis=1).reshape(share.shape)
    result: AnyArray = (top - y * inner) * share
    return result


GRADIENTS = gradients(
    of(SPATIAL_SOFTMAX, Gradient(_spatial, INPUT)),
    of(GROUP_NORM, Gradient(_group_norm, INPUT)),
    of(NORM, Gradient(_norm, INPUT)),
    of(NORMALIZATION, Gradient(_normalization, INPUT)),
)
