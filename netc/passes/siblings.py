"""Sibling 1x1 convolutions of one value become one product.

Before::

    a = Fused[Convolution 1x1, ReLU](x); b = Convolution 1x1(x)

After::

    a, b = Siblings[Fused[Convolution 1x1, ReLU]; Convolution 1x1](x)

The input is read once for all of them, and each keeps its own epilogue and its own output: nothing
is computed in another order. The inception modules' reductions and the projection beside a
residual block's first 1x1 are such siblings.
"""

from __future__ import annotations

from netc.ir.edit import with_nodes
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.fused import FusedParams
from netc.ops.role import Role
from netc.ops.siblings import NAME, SiblingsParams
from netc.passes.base import Log, Pass
from netc.passes.epilogue import stages_of


def merge_siblings(graph: Graph, log: Log) -> Graph:
    """Groups of two or more stand where their first member stood."""
    groups: dict[tuple[object, ...], list[Node]] = {}
    for node in graph.nodes:
        if (key := _group_key(graph, node, log)) is not None:
            groups.setdefault(key, []).append(node)
    merged = {g[0].name: g for g in groups.values() if len(g) > 1}
    if not merged:
        return graph
    absorbed = {node.name for group in merged.values() for node in group[1:]}
    nodes = []
    for node in graph.nodes:
        if node.name in merged:
            nodes.append(_merge(merged[node.name]))
            log.applied(
                f"{len(merged[node.name])} convolutions of one value are one product",
                *(n.name for n in merged[node.name]),
            )
        elif node.name not in absorbed:
            nodes.append(node)
    return with_nodes(graph, nodes)


def _group_key(graph: Graph, node: Node, log: Log) -> tuple[object, ...] | None:
    """What siblings have in common; None for a node that cannot be one."""
    first = stages_of(node)[0]
    if not has_role(first.op, Role.CONVOLUTION) or len(node.outputs) != 1:
        return None
    params = first.params_as(ConvolutionParams)
    shape = graph.shape(node.inputs[0])
    if params.axis != 1 or len(shape) != 4 or params.group != 1:
        return None
    axes = params.window.axes(shape[2:])
    if any(axis.kernel != 1 or axis.pad for axis in axes):
        return None
    if len(node.inputs) != 1:
        if len(graph.readers[node.inputs[0]]) > 1:
            log.missed("its epilogue reads another value, which may come later", node.name)
        return None
    return (node.inputs[0], tuple(axis.stride for axis in axes))


def _merge(group: list[Node]) -> Node:
    return Node(
        "+".join(node.name for node in group),
        NAME,
        SiblingsParams(tuple(FusedParams(stages_of(node)) for node in group)),
        group[0].inputs,
        tuple(node.outputs[0] for node in group),
        tuple(name for node in group for name in node.parameters),
        tuple(span for node in group for span in node.spans),
    )


MERGE_SIBLINGS = Pass("merge-siblings", merge_siblings, exact=True)
