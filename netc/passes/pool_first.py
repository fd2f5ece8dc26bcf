"""An average pooling of a linear 1x1 convolution is taken before it, where that is cheaper.

Before::

    c = Convolution 1x1(x; w, b); y = Pooling AVE(c)

After::

    p = Pooling AVE(x); y = Convolution 1x1(p; w, b)

The average of products is the product of averages, and the convolution then has as many places
fewer as the pooling leaves. A DenseNet's transitions are such pairs. With a bias every window must
lie inside the input: padding that an average counts would have none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import CATALOG, has_role
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.pooling import PoolingParams
from netc.ops.role import Role
from netc.passes.base import Log, Pass
from netc.passes.linear import channels_are_axis_one, is_product, product_of
from netc.passes.windows import averages_inside


def pool_first(graph: Graph, log: Log) -> Graph:
    """Swap linear 1x1 convolutions with the average poolings that alone read them."""
    draft = Draft(graph)
    for pool in draft:
        if has_role(pool.op, Role.POOLING) and pool.params_as(PoolingParams).method == "AVE":
            before = draft.producer(pool.inputs[0])
            if before is not None and _is_pointwise(draft, before):
                _decide(draft, before, pool, log)
    return draft.result()


def _is_pointwise(draft: Draft, node: Node) -> bool:
    """True if a node is a 1x1 convolution that neither pads nor strides."""
    if not has_role(node.op, Role.CONVOLUTION) or not is_product(node):
        return False
    shape = draft.shape(node.inputs[0])
    axes = convolution_axes(node.params_as(ConvolutionParams), shape)
    return channels_are_axis_one(node.params, shape) and all(
        (axis.kernel, axis.stride, axis.pad) == (1, 1, 0) for axis in axes
    )


def _decide(draft: Draft, convolution: Node, pool: Node, log: Log) -> None:
    x, between, y = (
        draft.shape(v) for v in (convolution.inputs[0], convolution.outputs[0], pool.outputs[0])
    )
    pooled = (*x[:2], *y[2:])
    now = _cost(convolution, x, between) + _cost(pool, between, y)
    then = _cost(pool, x, pooled) + _cost(convolution, pooled, y)
    names = convolution.name, pool.name
    why = _obstacle(draft, convolution, pool)
    if why is not None and then < now:
        log.missed(why, *names)
    elif then >= now:
        log.missed(f"this way takes {now:,} multiply-adds and additions, swapped {then:,}", *names)
    else:
        _swap(draft, convolution, pool, pooled)
        log.applied(
            f"pooled first: {now:,} multiply-adds and additions are {then:,}",
            *names,
            saved=now - then,
        )


def _cost(node: Node, x: Shape, y: Shape) -> int:
    """Multiply-adds of a convolution, additions of a pooling."""
    cost = CATALOG[node.op].cost(node.params, [x], [y])
    return cost.macs or cost.operations


def _obstacle(draft: Draft, convolution: Node, pool: Node) -> str | None:
    if draft.only_reader(convolution.outputs[0]) is None:
        return f"what `{convolution.name}` gives is needed elsewhere too"
    bias = product_of(draft, convolution).bias
    variable = draft.is_variable(*convolution.parameters)
    if bias is None or not (variable or np.any(bias)):
        return None
    if averages_inside(pool.params_as(PoolingParams), draft.shape(pool.inputs[0])):
        return None
    return f"`{pool.name}` has windows beyond its input, where there is no bias"


def _swap(draft: Draft, convolution: Node, pool: Node, pooled: Shape) -> None:
    value = draft.fresh_value(f"{convolution.inputs[0]}~pooled", pool.outputs[0], pooled)
    draft.swap(
        replace(convolution, inputs=(value,), outputs=pool.outputs),
        replace(pool, inputs=convolution.inputs, outputs=(value,)),
    )


POOL_FIRST = Pass("pool-first", pool_first)
