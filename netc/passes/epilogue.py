"""Elementwise layers run in the kernel that produces their input.

Before::

    c = Convolution(x); s = Eltwise(shortcut, c); y = ReLU(s)

After::

    y = Fused[Convolution, Eltwise, ReLU](x, shortcut)

The result of a producer then goes to memory once, finished. Nothing is computed in another order.
"""

from __future__ import annotations

from dataclasses import replace

from netc.ir.edit import with_nodes
from netc.ir.graph import Graph, Node
from netc.ops.fused import NAME, FusedParams, Stage
from netc.passes.base import Log, Pass

PRODUCTS = frozenset({"Convolution", "Deconvolution", "InnerProduct"})
ACTIVATIONS = frozenset(
    "ReLU PReLU ELU Sigmoid TanH Clip AbsVal BNLL Swish Power Exp Log Threshold ReLU6".split()
)
MAPS = frozenset({"Scale", "Bias", "BatchNorm"})
EPILOGUES = ACTIVATIONS | MAPS | {"Eltwise"}
PRODUCERS = PRODUCTS | EPILOGUES


def fuse_epilogues(graph: Graph, log: Log) -> Graph:
    """Each elementwise layer joins the node that produces one of its inputs."""
    nodes: list[Node] = []
    for node in graph.nodes:
        place = _producer(graph, nodes, node)
        if place is None:
            nodes.append(node)
            continue
        producer = nodes.pop(place)
        nodes.append(joined(producer, node))
        log.did(f"{node.op} runs in the kernel of `{producer.name}`", node.name, producer.name)
    return with_nodes(graph, nodes)


def _producer(graph: Graph, nodes: list[Node], node: Node) -> int | None:
    """Where the latest node stands that this one can join."""
    if node.op not in EPILOGUES or len(node.outputs) != 1:
        return None
    shape = graph.shape(node.outputs[0])
    for place in reversed(range(len(nodes))):
        earlier = nodes[place]
        if len(earlier.outputs) != 1 or earlier.outputs[0] not in node.inputs:
            continue
        value = earlier.outputs[0]
        alone = len(graph.readers[value]) == 1 and value not in graph.outputs
        if alone and _first_op(earlier) in PRODUCERS and graph.shape(value) == shape:
            return place
    return None


def _first_op(node: Node) -> str:
    return node.params.stages[0].op if node.op == NAME else node.op


def stages_of(node: Node) -> tuple[Stage, ...]:
    """A node as a chain: its stages, or itself as the only one."""
    if node.op == NAME:
        params: FusedParams = node.params
        return params.stages
    return (Stage(node.op, node.params, len(node.inputs), 0, len(node.parameters)),)


def chain_of(node: Node) -> FusedParams:
    """A node as a chain of stages."""
    return FusedParams(stages_of(node))


def joined(producer: Node, node: Node) -> Node:
    """One node that does what two in a row do."""
    position = node.inputs.index(producer.outputs[0])
    others = node.inputs[:position] + node.inputs[position + 1 :]
    stage = Stage(node.op, node.params, len(others), position, len(node.parameters))
    return replace(
        producer,
        op=NAME,
        params=FusedParams((*stages_of(producer), stage)),
        inputs=producer.inputs + others,
        outputs=node.outputs,
        parameters=producer.parameters + node.parameters,
        spans=producer.spans + node.spans,
        param_specs=(),
    )


FUSE_EPILOGUES = Pass("fuse-epilogues", fuse_epilogues, exact=True)
