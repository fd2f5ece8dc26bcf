"""Costs of a graph: parameters, arithmetic and bytes of float32, by node and in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import CATALOG
from netc.ops.define import Cost, ErasedOp

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class NodeCost:
    """The cost of one node in one forward pass of the whole batch.

    Args:
        name: the node's.
        op: its layer type.
        parameters: elements trained by gradients; shared ones count at the first node that has
            them.
        statistics: elements that are kept in training without a gradient (BatchNorm's).
        macs: multiply-adds.
        operations: other arithmetic operations.
        activation_bytes: of its outputs.
    """

    name: str
    op: str
    parameters: int = 0
    statistics: int = 0
    macs: int = 0
    operations: int = 0
    activation_bytes: int = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of its parameters and statistics."""
        return FLOAT_BYTES * (self.parameters + self.statistics)


@dataclass(frozen=True, slots=True)
class GraphCost:
    """The cost of a graph.

    Args:
        nodes: in the graph's order.
        total: their sum; its name is the graph's, its op empty.
        input_bytes: of the graph's inputs.
        caffe_data_bytes: the number Caffe prints as "Memory required for data".
    """

    nodes: tuple[NodeCost, ...]
    total: NodeCost
    input_bytes: int
    caffe_data_bytes: int


def graph_cost(graph: Graph, catalog: Mapping[str, ErasedOp] = CATALOG) -> GraphCost:
    """The costs of a graph's nodes, and their sum.

    Args:
        graph: with inferred shapes. ``caffe_data_bytes`` is Caffe's number only before passes
            have changed the graph.
        catalog: the ops there are.

    Raises:
        ValueError: a shape has not been inferred.
    """
    seen: set[str] = set()
    nodes = tuple(_node_cost(graph, node, catalog[node.op], seen) for node in graph.nodes)
    total = NodeCost(
        graph.name,
        "",
        sum(node.parameters for node in nodes),
        sum(node.statistics for node in nodes),
        sum(node.macs for node in nodes),
        sum(node.operations for node in nodes),
        sum(node.activation_bytes for node in nodes),
    )
    inputs = sum(_bytes(graph, name) for name in graph.inputs)
    return GraphCost(nodes, total, inputs, caffe_data_bytes(graph))


def node_cost(graph: Graph, node: Node, catalog: Mapping[str, ErasedOp] = CATALOG) -> NodeCost:
    """The cost of one node; shared parameters count in full.

    Raises:
        ValueError: a shape has not been inferred.
    """
    return _node_cost(graph, node, catalog[node.op], set())


def _node_cost(graph: Graph, node: Node, op: ErasedOp, seen: set[str]) -> NodeCost:
    """The cost of a node; parameters in ``seen`` are not counted, and counted ones are added."""
    own = [name for name in dict.fromkeys(node.parameters) if name not in seen]
    seen.update(own)
    elements = sum(_own_elements(graph, name) for name in own)
    cost = _arithmetic(graph, node, op)
    learned = op.train is None  # what a TRAIN forward rewrites is not left to gradients
    return NodeCost(
        node.name,
        node.op,
        elements if learned else 0,
        0 if learned else elements,
        cost.macs,
        cost.operations,
        sum(_bytes(graph, name) for name in node.outputs),
    )


def _arithmetic(graph: Graph, node: Node, op: ErasedOp) -> Cost:
    inputs = [graph.shape(name) for name in node.inputs]
    outputs = [graph.shape(name) for name in node.outputs]
    return op.cost(node.params, inputs, outputs)


def _own_elements(graph: Graph, name: str) -> int:
    parameter = graph.parameters[name]
    if parameter.owner is not None:
        return 0
    if parameter.shape is None:
        raise ValueError(f"the shape of parameter `{name}` has not been inferred")
    return count(parameter.shape)


def _bytes(graph: Graph, value: str) -> int:
    return FLOAT_BYTES * count(graph.shape(value))


def caffe_data_bytes(graph: Graph) -> int:
    """The number Caffe prints as "Memory required for data" (net.cpp, insert_splits.cpp), in bytes.

    Every layer's tops count, also those that rewrite a blob in place; a blob that several layers
    read counts once more for each of them, for its Split layer.

    Raises:
        ValueError: a shape has not been inferred.
    """
    return sum(_bytes(graph, name) * _tops_of(graph, name) for name in graph.values)


def _tops_of(graph: Graph, value: str) -> int:
    """How many of Caffe's tops hold a value: its producer's and those of the split after it."""
    readers = len(graph.readers[value])
    return 1 + readers if readers > 1 else 1
