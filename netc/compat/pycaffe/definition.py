"""A net's layers in Caffe's order, with their blobs, and the graph made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from netc.compat.pycaffe.python_layers import PythonLayer, own_errors, with_python_layers
from netc.diagnostics import Diagnostic, Source
from netc.frontend import Schemas, build, folder_of, read_net, runnable
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.lower import NetState
from netc.lower.files import with_files, with_filler_files
from netc.lower.splits import with_splits
from netc.ops.catalog import LAYERS
from netc.schema.message import Message


class DefinedLayer(NamedTuple):
    """A layer that the phase keeps; ``node`` counts the layers before it that compute.

    Caffe's Split layers are among them, and compute nothing. ``losses`` are the tops' weights.
    ``computes`` says whether the node at ``node`` is the layer's own.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    node: int
    losses: tuple[float, ...] = ()
    computes: bool = False


class Definition(NamedTuple):
    """A net in the current format, its layers, its graph, and the diagnostics."""

    message: Message
    layers: tuple[DefinedLayer, ...]
    graph: Graph
    diagnostics: tuple[Diagnostic, ...]
    python: Mapping[str, PythonLayer]  # layer -> the object of the script's that computes it
    state: NetState


def define(
    net: str | PathLike[str] | Source,
    phase: str,
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Shape] | None = None,
    schema: Schemas = None,
) -> Definition:
    """A net's definition in a state, with the shape of every blob.

    Raises:
        NetcError: with every mistake found in the text.
    """
    message = read_net(net, schema=schema).message
    return defined(message, phase, level, stages, inputs, folder_of(net))


def defined(
    message: Message,
    phase: str,
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Shape] | None = None,
    folder: Path | None = None,
    *,
    outside: bool = False,
) -> Definition:
    """As ``define``, of a net that has been read.

    Args:
        message, phase, level, stages, inputs: the net, its state and the shapes it is fed.
        folder: that the files it names lie in.
        outside: whether they may lie anywhere.
    """
    state = NetState(phase, level, tuple(stages))
    own, python = with_python_layers(message, state)
    with own_errors(python):
        built = build(own, phase=phase, level=level, stages=stages, inputs=inputs)
        graph = with_files(runnable(built), folder, outside=outside)
        graph = with_filler_files(graph, folder, outside=outside)
    return Definition(message, _layers(built.layers), graph, built.diagnostics, python, state)


def _layers(written: Sequence[Message]) -> tuple[DefinedLayer, ...]:
    nodes, node = [], 0
    for layer in written:
        nodes.append(node)
        node += not _reads_data(layer.get("type"))
    found: list[DefinedLayer] = []
    starts = iter([*nodes, node])
    at = next(starts)
    for number, layer in with_splits(written):
        type = layer.get("type")
        own = number is not None and not _reads_data(type)
        names = layer.get("name"), type, tuple(layer.get("bottom")), tuple(layer.get("top"))
        found.append(DefinedLayer(*names, at, _losses(layer), own))
        at = at if number is None else next(starts)
    return tuple(found)


def _reads_data(type: str) -> bool:
    """Whether it is a source, as a type is that netc does not know and yet took for one."""
    return type not in LAYERS or LAYERS[type].source


def _losses(layer: Message) -> tuple[float, ...]:
    """The weights of a layer's tops, those of a loss layer's first being 1 unless written."""
    written = tuple(layer.get("loss_weight"))
    if written:
        return written
    type = layer.get("type")
    return (1.0,) if type in LAYERS and LAYERS[type].loss else ()


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
        losses={name: weight for name, weight in graph.losses.items() if name in names},
    )
