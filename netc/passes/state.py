"""Make what Caffe's layers keep between forwards visible: as inputs and outputs of the graph.

Before::

    h = LSTM(x, cont)                                     output h

After::

    h, h_T, c_T = LSTM(x, cont, h_0, c_0)                 output h, h_T, c_T

What ``h_T`` holds after a forward is to be fed as ``h_0`` of the next (recurrent_layer.cpp,
Forward_cpu). Layers whose forward moves their own averages (batch_norm_layer.cpp) are named, and
what they read is given back, so that the averages can be moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from netc.ir.edit import fresh
from netc.ir.graph import Graph, Node, Value
from netc.ops.catalog import CATALOG
from netc.ops.recurrent import RecurrentParams


@dataclass(frozen=True, slots=True)
class Carried:
    """A graph whose state is fed and given back.

    Args:
        graph: with more inputs and outputs.
        outputs: those of the graph it came from.
        states: state input -> the output that is fed as it next time.
        moving: the nodes whose forward moves their own averages, in order.
    """

    graph: Graph
    outputs: tuple[str, ...]
    states: Mapping[str, str]
    moving: tuple[Node, ...]

    @property
    def parameters(self) -> frozenset[str]:
        """The parameters that forwards move."""
        return frozenset(n for node in self.moving for n in moved_parameters(self.graph, node))

    @property
    def moved(self) -> frozenset[str]:
        """The parameters that no result of a forward pass depends on."""
        read = {
            owner(self.graph, name)
            for node in self.graph.nodes
            for index, name in enumerate(node.parameters)
            if index not in CATALOG[node.op].moving(node.params)
        }
        return self.parameters - read


def carry_state(graph: Graph) -> Carried:
    """The graph with its state as inputs and outputs. Shapes must have been inferred."""
    states: dict[str, str] = {}
    values = dict(graph.values)
    nodes = []
    for node in graph.nodes:
        if isinstance(node.params, RecurrentParams) and not node.params.expose_hidden:
            node = _exposed(graph, node, values, states)
        nodes.append(node)
    moving = tuple(node for node in nodes if CATALOG[node.op].moving(node.params))
    read = [node.inputs[0] for node in moving]
    carried = graph.replace(
        nodes=tuple(nodes),
        values=values,
        inputs=(*graph.inputs, *states),
        outputs=tuple(dict.fromkeys((*graph.outputs, *states.values(), *read))),
    )
    return Carried(carried, graph.outputs, states, moving)


def _exposed(graph: Graph, node: Node, values: dict[str, Value], states: dict[str, str]) -> Node:
    """The node with its first and last states as values of the graph."""
    streams, params = graph.shape(node.inputs[0])[1], node.params_as(RecurrentParams)
    shape = (1, streams, params.num_output)
    fed: list[str] = []
    given: list[str] = []
    for index in range(params.states):
        for end, names in (("first", fed), ("last", given)):
            name = fresh(values, f"{node.name}/{end}/{index}")
            values[name] = Value(name, name, shape, node.span)
            names.append(name)
    states.update(zip(fed, given, strict=True))
    return replace(
        node,
        params=replace(params, expose_hidden=True),
        inputs=(*node.inputs, *fed),
        outputs=(*node.outputs, *given),
    )


def moved_parameters(graph: Graph, node: Node) -> Iterator[str]:
    """The parameters that a node's forward moves, by the names of their owners."""
    for index in CATALOG[node.op].moving(node.params):
        yield owner(graph, node.parameters[index])


def owner(graph: Graph, parameter: str) -> str:
    """The parameter that holds the elements of this one."""
    return graph.parameters[parameter].owner or parameter
