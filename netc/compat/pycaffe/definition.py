"""A net's text in the order Caffe walks it: layers with their blobs, and the graph they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import NamedTuple

from netc.diagnostics import Collector, Diagnostic, Source
from netc.driver import build, read_net, runnable
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.lower import State, filter_layers
from netc.lower.rules import merged_state
from netc.ops.catalog import LAYERS
from netc.schema.message import Message


class Layer(NamedTuple):
    """A layer that the phase keeps; ``node`` counts the layers before it that compute."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    node: int


class Definition(NamedTuple):
    """A net in the current format, its layers, its graph, and what there is to say about them."""

    message: Message
    layers: tuple[Layer, ...]
    graph: Graph
    diagnostics: tuple[Diagnostic, ...]


def define(
    net: str | PathLike[str] | Source,
    phase: str,
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Shape] | None = None,
) -> Definition:
    """A net's definition in a state, with the shape of every blob.

    Raises:
        NetcError: with every mistake found in the text.
    """
    message = read_net(net).message
    built = build(message, phase=phase, level=level, stages=stages, inputs=inputs)
    graph = runnable(built)
    state = merged_state(message, State(phase, level, tuple(stages)))
    return Definition(message, _layers(message, state), graph, built.diagnostics)


def _layers(message: Message, state: State) -> tuple[Layer, ...]:
    found: list[Layer] = []
    node = 0
    for layer in filter_layers(message, state, Collector()):
        kind = layer.get("type")
        tops, bottoms = tuple(layer.get("top")), tuple(layer.get("bottom"))
        found.append(Layer(layer.get("name"), kind, bottoms, tops, node))
        node += not LAYERS[kind].source
    return tuple(found)


def part(graph: Graph, first: int, last: int) -> Graph:
    """The graph of the nodes from ``first`` until before ``last``.

    Its inputs are the values it reads and does not make, its outputs the last value of each blob it
    makes. All of the graph keeps all inputs.
    """
    nodes = graph.nodes[first:last]
    made = {name: None for node in nodes for name in node.outputs}
    read = {name: None for node in nodes for name in node.inputs if name not in made}
    whole = len(nodes) == len(graph.nodes)
    latest = {graph.values[name].blob: name for name in made}
    inputs = graph.inputs if whole else tuple(read)
    names = {*inputs, *made}
    used = {name for node in nodes for name in node.parameters}
    used |= {graph.parameters[name].owner or name for name in used}
    return graph.replace(
        nodes=nodes,
        inputs=inputs,
        outputs=tuple(latest.values()),
        values={name: value for name, value in graph.values.items() if name in names},
        parameters={name: p for name, p in graph.parameters.items() if name in used},
    )
