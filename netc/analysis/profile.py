"""A net layer by layer: what each reads, produces, costs, and its receptive field.

Layers of unknown type, and layers behind an unknown shape, are listed without figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from netc.analysis.cost import FLOAT_BYTES, GraphCost, NodeCost, graph_cost
from netc.analysis.receptive import ReceptiveField, receptive_fields
from netc.diagnostics import Span
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count
from netc.lower.blobs import NamePool
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """One layer of a net in a NetState.

    Args:
        name: the node's, unique in the net.
        type: Caffe's type string.
        inputs: names of the values it reads.
        outputs: names of the values it produces.
        cost: None where a shape is unknown.
        in_place: its first top has its first bottom's name.
        source: it brings data into the net.
        known: netc knows its type.
        node: its node; None for sources and for layers of unknown type.
        span: where it is written.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    cost: NodeCost | None = None
    in_place: bool = False
    source: bool = False
    known: bool = True
    node: Node | None = None
    span: Span | None = None


@dataclass(frozen=True)
class NetProfile:
    """A net's layers in order, its costs, and the receptive fields of its values.

    ``cost`` sums over the layers whose shapes are known; ``complete`` tells whether these are all.
    ``fields`` are in elements of ``source``, the first input with spatial axes.
    """

    graph: Graph
    layers: tuple[LayerProfile, ...]
    cost: GraphCost
    source: str | None = None
    fields: dict[str, ReceptiveField] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every layer's cost and every input's shape is known."""
        return all(layer.source or layer.cost is not None for layer in self.layers) and all(
            self.shape(name) is not None for name in self.graph.inputs
        )

    @property
    def batch(self) -> int | None:
        """The batch size: the first axis of the source; None where it is unknown."""
        shape = self.shape(self.source) if self.source else None
        return shape[0] if shape else None

    def shape(self, value: str) -> Shape | None:
        """A value's shape; None where it is unknown."""
        found = self.graph.values.get(value)
        return found.shape if found else None

    def bytes(self, layer: LayerProfile) -> int | None:
        """Bytes of a layer's tops, 0 where it works in place; None where a shape is unknown."""
        shapes = [self.shape(name) for name in layer.outputs]
        if layer.in_place:
            return 0
        return None if None in shapes else FLOAT_BYTES * sum(count(s) for s in shapes if s)

    @cached_property
    def blob_bytes(self) -> int:
        """Bytes of all blobs, each counted once, as far as shapes are known."""
        return sum(self.bytes(layer) or 0 for layer in self.layers)


def profile(graph: Graph, layers: Sequence[Message]) -> NetProfile:
    """The profile of a net.

    Args:
        graph: with shapes as far as they can be inferred, before passes.
        layers: the LayerParameters of its state, in order.
    """
    known = known_part(graph)
    cost = graph_cost(known)
    source = _source(graph)
    fields = receptive_fields(known, source) if source and graph.values[source].shape else {}
    costs = {item.name: item for item in cost.nodes}
    found = tuple(
        replace(layer, cost=costs.get(layer.name)) if layer.node else layer
        for layer in _layers(graph, layers)
    )
    return NetProfile(graph, found, cost, source, fields)


def _source(graph: Graph) -> str | None:
    """The input that receptive fields lie in: the first with spatial axes, else the first."""
    spatial = (n for n in graph.inputs if len(graph.values[n].shape or ()) > 2)
    return next(spatial, graph.inputs[0] if graph.inputs else None)


def known_part(graph: Graph) -> Graph:
    """The graph of the nodes whose inputs, outputs and parameters all have known shapes."""
    values = {name: value for name, value in graph.values.items() if value.shape is not None}
    nodes = tuple(
        node
        for node in graph.nodes
        if all(name in values for name in (*node.inputs, *node.outputs))
        and all(_own_shape_known(graph, name) for name in node.parameters)
    )
    made = {name for node in nodes for name in node.outputs}
    inputs = tuple(name for name in graph.inputs if name in values)
    kept = {n: v for n, v in values.items() if n in made or n in inputs}
    outputs = tuple(name for name in graph.outputs if name in kept)
    return graph.replace(nodes=nodes, inputs=inputs, outputs=outputs, values=kept)


def _own_shape_known(graph: Graph, parameter: str) -> bool:
    found = graph.parameters.get(parameter)
    return found is not None and found.shape is not None


def _layers(graph: Graph, messages: Sequence[Message]) -> Iterator[LayerProfile]:
    """Each layer of the text, matched with its node where it has one."""
    nodes = iter(graph.nodes)
    node = next(nodes, None)
    by_place = {value.span: name for name, value in graph.values.items()}
    current: dict[str, str] = {}
    names = NamePool({node.name for node in graph.nodes})
    for message in messages:
        if node is not None and _is_node_of(node, message):
            layer = _of_node(graph, node, message)
            node = next(nodes, None)
        else:
            layer = _without_node(graph, message, by_place, current)
            layer = replace(layer, name=names.take(layer.name))
        current.update((graph.values[name].blob, name) for name in layer.outputs)
        yield layer


def _is_node_of(node: Node, message: Message) -> bool:
    name = message.get("name")
    return node.op == message.get("type") and (
        node.name == name or node.name.startswith(f"{name}#")
    )


def _of_node(graph: Graph, node: Node, message: Message) -> LayerProfile:
    return LayerProfile(
        node.name,
        node.op,
        node.inputs,
        node.outputs,
        in_place=_rewrites(graph, node),
        node=node,
        span=node.span or message.span,
    )


def _rewrites(graph: Graph, node: Node) -> bool:
    """True if a node's first top has the name of its bottom."""
    if not node.inputs or not node.outputs:
        return False
    return graph.values[node.inputs[0]].blob == graph.values[node.outputs[0]].blob


def _without_node(
    graph: Graph, message: Message, by_place: dict[Span | None, str], current: dict[str, str]
) -> LayerProfile:
    """A source, or a layer that is not in the graph for a mistake in it."""
    places = (message.span_of("top", at) for at in range(len(message.get("top"))))
    outputs = tuple(by_place[place] for place in places if place and place in by_place)
    source = bool(outputs) and all(name in graph.inputs for name in outputs)
    inputs = tuple(current[blob] for blob in message.get("bottom") if blob in current)
    name, kind = message.get("name"), message.get("type")
    span = message.span_of("name") if message.has("name") else message.span
    return LayerProfile(name, kind, inputs, outputs, source=source, known=source, span=span)
