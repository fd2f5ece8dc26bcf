"""Nodes without a kernel, run by their ops' definitions on stored values seen as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from netc.backends import reference
from netc.backends.cuda.program import DeviceContext
from netc.backends.shared.views import View
from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.catalog import CATALOG
from netc.ops.fused import NAME as FUSED
from netc.ops.fused import FusedParams
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams, rule_of
from netc.ops.siblings import NAME as SIBLINGS
from netc.ops.siblings import SiblingsParams


def ops_of(node: Node) -> Iterator[str]:
    """A node's layer types, those of a chain one by one."""
    if node.op == FUSED:
        yield from (stage.op for stage in node.params_as(FusedParams).stages)
    elif node.op == SIBLINGS:
        for branch in node.params_as(SiblingsParams).branches:
            yield from (stage.op for stage in branch.stages)
    else:
        yield node.op


def array_form(node: Node) -> bool:
    """True if a node's definition runs on device arrays; without any it makes NumPy's."""
    if not node.inputs and not node.parameters:
        return False
    if node.op == GRADIENT:
        rule = rule_of(node.params_as(GradientParams).op)
        return rule is not None and not rule.host
    return not any(CATALOG[op].host for op in ops_of(node))


def seen(context: DeviceContext, graph: Graph, value: str, view: View) -> AnyArray:
    """A stored value as an array of its own shape, in place."""
    shape = graph.shape(value)
    if len(shape) == 4:
        return context.array(view)
    if len(shape) == 2:
        return context.array(view)[:, :, 0, 0]
    return context.flat(view, shape)


def run_on_device(
    context: DeviceContext, graph: Graph, node: Node, views: Mapping[str, View]
) -> None:
    """Run a node on the device's arrays."""
    inputs = [_copied(context, graph, v, views[v]) for v in node.inputs]
    weights = [context.weights.array(graph, name) for name in node.parameters]
    try:
        results = reference.run_definition(node, inputs, weights)
    except ImportError as error:  # CuPy loads cuBLAS when it first multiplies matrices
        if "cublas" not in str(error):
            raise
        return run_on_host(context, graph, node, views)
    _put(context, graph, node, views, results)


def _copied(context: DeviceContext, graph: Graph, value: str, view: View) -> AnyArray:
    """A stored value in C order and float32; an output may lie where an input does."""
    array = seen(context, graph, value, view)
    return array.astype(np.float32, order="C", copy=True)


def _put(
    context: DeviceContext,
    graph: Graph,
    node: Node,
    views: Mapping[str, View],
    results: Arrays,
) -> None:
    for value, result in zip(node.outputs, results, strict=True):
        seen(context, graph, value, views[value])[...] = result


def run_on_host(
    context: DeviceContext, graph: Graph, node: Node, views: Mapping[str, View]
) -> None:
    """Run a node on the host."""
    device = context.device
    inputs = [
        np.ascontiguousarray(device.to_host(_copied(context, graph, v, views[v])), dtype=np.float32)
        for v in node.inputs
    ]
    weights = [context.weights.on_host(graph, name) for name in node.parameters]
    results = reference.run_definition(node, inputs, weights)
    made = [device.asarray(np.asarray(result, np.float32)) for result in results]
    _put(context, graph, node, views, made)
