"""Per-channel linear maps (BatchNorm, Scale, Bias, linear Power) folded into their neighbours.

Before::

    c = Convolution(x; w, b); n = BatchNorm(c; mean, variance, factor); y = Scale(n; gamma, beta)

After::

    y = Convolution(x; w * s, b * s + t)         where y = s * c + t for each channel

A map that stands before a convolution is folded into that one where no padding would mix zeros
with its shift. Maps in a row that no product takes are merged into one Scale.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.ir.edit import fresh, with_nodes, with_parameters
from netc.ir.graph import Array, Graph, Node
from netc.ops.catalog import CATALOG
from netc.ops.convolution import ConvolutionParams
from netc.ops.define import Affine
from netc.ops.elementwise import OperandParams
from netc.ops.filler import CONSTANT_ZERO
from netc.passes.base import Log, Pass
from netc.passes.linear import LINEAR, Product, channels_are_axis_one, followed_by, preceded_by


def affine_of(graph: Graph, node: Node) -> Affine | None:
    """The per-channel linear map a node is, None where it is none."""
    rule = CATALOG[node.op].affine if node.op in CATALOG else None
    if rule is None or len(node.inputs) != 1 or len(graph.shape(node.inputs[0])) < 2:
        return None
    arrays = [array_of(graph, name) for name in node.parameters]
    return rule(node.params, [graph.shape(node.inputs[0])], arrays)


def array_of(graph: Graph, name: str) -> Array:
    """A parameter's array, of its owner where it is shared in another shape."""
    entry = graph.parameters[name]
    if entry.owner is not None:
        return array_of(graph, entry.owner).reshape(entry.shape or ())
    assert entry.array is not None
    return entry.array


def product_of(graph: Graph, node: Node) -> Product:
    """A product node with its arrays."""
    arrays = [array_of(graph, name) for name in node.parameters]
    return Product(node.params, arrays[0], arrays[1] if len(arrays) > 1 else None)


def with_product(graph: Graph, node: Node, product: Product) -> tuple[Graph, Node]:
    """The node made to be ``product``, and the graph with arrays of its own for it."""
    names = []
    for index, array in enumerate(product.arrays):
        name = fresh(graph.parameters, f"{node.name}/{index}~folded")
        graph = with_parameters(graph, {name: np.ascontiguousarray(array)})
        names.append(name)
    return graph, replace(node, params=product.params, parameters=tuple(names))


def only_reader(graph: Graph, value: str) -> Node | None:
    """The node that alone reads a value nobody asked for; None where there is no such."""
    readers = graph.readers[value]
    return readers[0] if len(readers) == 1 and value not in graph.outputs else None


def replaced(graph: Graph, old: tuple[Node, ...], new: Node) -> Graph:
    """The graph with the last of some nodes replaced by a new one and the others removed."""
    names = {node.name: node is old[-1] for node in old}
    nodes = []
    for node in graph.nodes:
        if node.name not in names:
            nodes.append(node)
        elif names[node.name]:
            nodes.append(new)
    return with_nodes(graph, nodes)


def fold_after(graph: Graph, log: Log) -> Graph:
    """Products take the maps that follow them."""
    for name in [node.name for node in graph.nodes if node.op in LINEAR]:
        while (step := _fold_one_after(graph, name, log)) is not None:
            graph = step
    return graph


def _fold_one_after(graph: Graph, name: str, log: Log) -> Graph | None:
    node = next((n for n in graph.nodes if n.name == name), None)
    if node is None or len(node.outputs) != 1:
        return None
    reader = _map_that_reads(graph, node.outputs[0])
    if reader is None:
        return None
    if only_reader(graph, node.outputs[0]) is None:
        log.declined("what stands before it is needed elsewhere too", reader.name)
        return None
    if not channels_are_axis_one(node.params):
        log.declined(f"the channels of `{node.name}` are not axis 1", reader.name)
        return None
    affine = affine_of(graph, reader)
    assert affine is not None
    graph, folded = with_product(graph, node, followed_by(node.op, product_of(graph, node), affine))
    folded = replace(folded, outputs=reader.outputs, spans=node.spans + reader.spans)
    log.did(f"{reader.op} folded into the {node.op} before it", reader.name, node.name)
    return replaced(graph, (node, reader), folded)


def _map_that_reads(graph: Graph, value: str) -> Node | None:
    return next((r for r in graph.readers[value] if affine_of(graph, r) is not None), None)


def merge_maps(graph: Graph, log: Log) -> Graph:
    """Maps in a row become one Scale with bias; BatchNorms and linear Powers become Scales."""
    for name in [node.name for node in graph.nodes]:
        node = next((n for n in graph.nodes if n.name == name), None)
        if node is None or not _has_channels(graph, node):
            continue
        chain = _chain_of_maps(graph, node)
        if len(chain) > 1:
            log.did(f"{' and '.join(n.op for n in chain)} merged", *(n.name for n in chain))
            graph = _merge(graph, chain)
    return graph


def _has_channels(graph: Graph, node: Node) -> bool:
    return bool(node.inputs) and affine_of(graph, node) is not None


def _chain_of_maps(graph: Graph, node: Node) -> tuple[Node, ...]:
    chain = [node]
    while (reader := only_reader(graph, chain[-1].outputs[0])) is not None:
        if affine_of(graph, reader) is None:
            break
        chain.append(reader)
    return tuple(chain)


def _merge(graph: Graph, chain: tuple[Node, ...]) -> Graph:
    channels = graph.shape(chain[0].inputs[0])[1]
    scale, shift = np.ones(channels), np.zeros(channels)
    for node in chain:
        affine = affine_of(graph, node)
        assert affine is not None
        scale, shift = scale * affine.scale, shift * affine.scale + affine.shift
    last = chain[-1]
    node = Node(
        last.name,
        "Scale",
        OperandParams("scale_param", bias_filler=CONSTANT_ZERO),
        chain[0].inputs,
        last.outputs,
        spans=sum((n.spans for n in chain), ()),
    )
    product = Product(node.params, scale.astype(np.float32), shift.astype(np.float32))
    graph, node = with_product(graph, node, product)
    return replaced(graph, chain, node)


def fold_before(graph: Graph, log: Log) -> Graph:
    """Convolutions take the map that stands before them."""
    for name in [node.name for node in graph.nodes]:
        node = next((n for n in graph.nodes if n.name == name), None)
        if node is not None and _has_channels(graph, node):
            graph = _fold_one_before(graph, node, log)
    return graph


def _fold_one_before(graph: Graph, node: Node, log: Log) -> Graph:
    reader = only_reader(graph, node.outputs[0])
    if reader is None or reader.op != "Convolution" or len(reader.inputs) != 1:
        return graph
    affine = affine_of(graph, node)
    assert affine is not None
    if not channels_are_axis_one(reader.params):
        return graph
    if padded(graph, reader) and np.any(affine.shift != 0):
        log.declined(
            f"the padding of `{reader.name}` is zero after the shift, not before it", node.name
        )
        return graph
    graph, folded = with_product(graph, reader, preceded_by(product_of(graph, reader), affine))
    folded = replace(folded, inputs=node.inputs, spans=node.spans + reader.spans)
    log.did(f"{node.op} folded into the Convolution after it", node.name, reader.name)
    return replaced(graph, (node, reader), folded)


def padded(graph: Graph, node: Node) -> bool:
    """Whether any window of a convolution reaches beyond its input."""
    params = node.params
    assert isinstance(params, ConvolutionParams)
    axes = params.window.axes(graph.shape(node.inputs[0])[2:])
    return any(axis.pad > 0 for axis in axes)


FOLD_AFTER = Pass("fold-into-product-before", fold_after)
MERGE_MAPS = Pass("merge-maps", merge_maps)
FOLD_BEFORE = Pass("fold-into-convolution-after", fold_before)
