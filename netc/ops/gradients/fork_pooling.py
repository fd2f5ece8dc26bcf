"""Gradients of TopK and of poolings of pull requests: each goes to the element that was kept."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.pooling import SALIENCY_POOLING
from netc.ops.forks.top_k import TOP_K, TopKParams, kept
from netc.ops.gradients.define import INPUT, Gradient, Saved, gradients, of
from netc.ops.gradients.pooling import put_back
from netc.ops.pooling import LEAST_POOLING, PoolingParams, pooling_axes
from netc.ops.pooling_values import largest_and_where


def _kept(x: AnyArray, params: PoolingParams, top: AnyArray) -> AnyArray:
    axes = pooling_axes(params, x.shape)
    return put_back(top, largest_and_where(x, axes)[1], axes, x.shape)


def _least(params: PoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _kept(-saved.inputs[0], params, tops[0])


def _saliency(params: PoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _kept(saved.inputs[0], params, tops[0])


def _top_k(params: TopKParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    x = saved.inputs[0]
    return namespace(x).where(kept(params, x), tops[0], 0).astype(x.dtype)


GRADIENTS = gradients(
    of(LEAST_POOLING, Gradient(_least, INPUT, tops=(0,))),
    of(SALIENCY_POOLING, Gradient(_saliency, INPUT, ignored=(1,), tops=(0,))),
    of(TOP_K, Gradient(_top_k, INPUT, host=True)),
)
