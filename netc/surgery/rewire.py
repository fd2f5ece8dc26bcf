"""Converts a rewritten graph back to layers: blob names, in-place layers, changed fields.

A graph's value is produced once, but a text's blob may be rewritten in place. Each value gets the
name of its blob where the text then reads back as the same graph, and a new name elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from netc.analysis.source_layers import source_op
from netc.ir.graph import Graph, Node
from netc.ir.names import first_free
from netc.ops.catalog import CATALOG
from netc.schema.message import Message
from netc.surgery.build import map_params, message_of, with_layers, with_texts
from netc.surgery.loading import LoadedState


def rewired(before: LoadedState, graph: Graph) -> Message:
    """The NetParameter of a graph that was rewritten from the graph of ``before``."""
    names = blob_names(graph)
    old = {node.name: node for node in before.graph.nodes}
    nodes = {node.name: node for node in graph.nodes}
    layers = []
    by_layer = {id(message): name for name, message in before.messages.items()}
    for layer in before.net.get("layer"):
        name = by_layer.get(id(layer), "")
        if name in nodes:
            layers.append(_layer(layer, old[name], nodes[name], graph, names))
        elif source_op(layer) is not None or name not in old:
            layers.append(layer)
    return with_layers(before.net, layers)


def _layer(
    layer: Message, old: Node, node: Node, graph: Graph, names: Mapping[str, str]
) -> Message:
    if node.op != old.op:  # maps in a row that became one Scale
        fields = {"name": layer.get("name"), "type": node.op, "scale_param": {"bias_term": True}}
        layer = message_of(layer.type, fields, layer.span)
    elif node.parameters != old.parameters:
        layer = _with_own_arrays(layer, node)
    bottoms = [names[value] for value in node.inputs]
    tops = [names[value] for value in node.outputs]
    for field, wanted in (("bottom", bottoms), ("top", tops)):
        if list(layer.get(field)) != wanted:
            layer = with_texts(layer, field, wanted)
    return layer


def _with_own_arrays(layer: Message, node: Node) -> Message:
    """The layer with arrays that it shares with no other, and a bias where it has one now."""
    specs = tuple(
        entry._replace(value=entry.value.without("name", "share_mode"))
        for entry in layer.entries.get("param", ())
    )
    layer = layer.with_entries(param=specs[: len(node.parameters)])
    if not getattr(node.params, "bias", False):
        return layer
    return map_params(layer, _with_bias)


def _with_bias(param: Message) -> Message:
    return param.without("bias_term") if "bias_term" in param.type.fields else param


def blob_names(graph: Graph) -> dict[str, str]:
    """Value -> its blob's name in the text."""
    separate: set[str] = set()
    while True:
        names = _names(graph, separate)
        clash = _clash(graph, names)
        if clash is None:
            return names
        separate.add(clash)


def _names(graph: Graph, separate: set[str]) -> dict[str, str]:
    """Each value by its blob's name; of the blobs in ``separate`` all but the last by others."""
    last = _last_of(graph)
    taken = {value.blob for value in graph.values.values()}
    names = {}
    for name, value in graph.values.items():
        blob = value.blob
        if blob in separate and last[blob] != name:
            blob = _free(name.replace("@", "_"), taken)
            taken.add(blob)
        names[name] = blob
    return names


def _free(name: str, taken: set[str]) -> str:
    return first_free(name, taken, lambda number: f"{name}_{number}")


def _last_of(graph: Graph) -> dict[str, str]:
    """Blob -> the value that keeps its name: one given back, else the last one made."""
    last: dict[str, str] = {}
    for name in (*graph.inputs, *(v for node in graph.nodes for v in node.outputs)):
        last[graph.values[name].blob] = name
    for name in graph.outputs:
        last[graph.values[name].blob] = name
    return last


def _clash(graph: Graph, names: Mapping[str, str]) -> str | None:
    """A blob that a reader would find with another value in it, None where all read right."""
    holds: dict[str, str] = {names[name]: name for name in graph.inputs}
    for node in graph.nodes:
        for value in node.inputs:
            if holds.get(names[value]) != value:
                return _blob_of(graph, value)
        for value in _made(node):
            blob = names[value]
            if blob in holds and not _may_rewrite(node, names, blob):
                return _blob_of(graph, value)
            holds[blob] = value
    for value in graph.outputs:
        if holds.get(names[value]) != value:
            return _blob_of(graph, value)
    return None


def _made(node: Node) -> Iterator[str]:
    yield from node.outputs


def _blob_of(graph: Graph, value: str) -> str:
    return graph.values[value].blob


def _may_rewrite(node: Node, names: Mapping[str, str], blob: str) -> bool:
    """Whether a layer may have this blob as top while it holds another value: its own bottom."""
    inputs: Sequence[str] = node.inputs
    return CATALOG[node.op].in_place and len(inputs) > 0 and names[inputs[0]] == blob
