"""Gradients of InnerProduct and Embed (inner_product_layer.cpp, embed_layer.cpp)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.gradients.define import Build, Gradient, Reads, Saved, gradients, of
from netc.ops.linear import EMBED, INNER_PRODUCT, EmbedParams, InnerProductParams, embed_index
from netc.ops.reshaping import ReshapeParams


def _by_data(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    """dx = dy . W, which is an inner product with the same weights, read the other way."""
    params = node.params_as(InnerProductParams)
    shape, top = build.shape(node.inputs[0]), tops[0]
    assert top is not None
    axis = axis_in(shape, params.axis, "inner_product_param.axis")
    back = replace(
        params,
        num_output=count(shape, axis),
        axis=axis,
        transpose=not params.transpose,
        bias=False,
    )
    (rows,) = build.node("InnerProduct", back, (top,), node.parameters[:1])
    if build.shape(rows) == shape:
        return {0: rows}
    return {0: build.node("Reshape", ReshapeParams((*(0,) * axis, *shape[axis:])), (rows,))[0]}


def _by_weight(params: InnerProductParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """dW = dy^T . x, db = the sum of dy over its rows."""
    rows = tops[0].reshape(-1, params.num_output)
    if index == 1:
        result: AnyArray = rows.sum(axis=0)
        return result
    (x,) = saved.inputs
    vectors = x.reshape(len(rows), -1)
    return vectors.T @ rows if params.transpose else rows.T @ vectors


def _reads_vectors(params: InnerProductParams | EmbedParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(0,)) if index == 0 else Reads()


_INNER_PRODUCT = Gradient(build=_by_data, weight=_by_weight, weight_reads=_reads_vectors)


def _by_vectors(params: EmbedParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each vector's gradient is the sum over the places that named it."""
    rows = tops[0].reshape(-1, params.num_output)
    if index == 1:
        result: AnyArray = rows.sum(axis=0)
        return result
    xp = namespace(rows)
    vectors = xp.zeros((params.input_dim, params.num_output), dtype=rows.dtype)
    xp.add.at(vectors, embed_index(saved.inputs[0], params.input_dim).reshape(-1), rows)
    return vectors


_EMBED = Gradient(weight=_by_vectors, weight_reads=_reads_vectors, stops=(0,))

GRADIENTS = gradients(
    of(INNER_PRODUCT, _INNER_PRODUCT),
    of(EMBED, _EMBED),
)
