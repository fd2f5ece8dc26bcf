"""Nets as fully convolutional ones, for images of any size.

An inner product over all of a blob of (channels, height, width) is a convolution with a kernel of
that height and width; on a larger blob it gives an answer for each place (Long, Shelhamer and
Darrell, "Fully convolutional networks for semantic segmentation", 2015, section 3.1; Caffe's
examples/net_surgery.ipynb). The weights are the same numbers in another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from netc.backends.base import Progress
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError, Source, first_of
from netc.driver import build, compile, read_net
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape
from netc.ops.linear import InnerProductParams
from netc.predict.member import Member, Options, compile_options, own_shapes
from netc.schema.convert import to_document
from netc.schema.message import Message
from netc.syntax.printer import print_document
from netc.weights import load_weights
from netc.weights.model import LayerWeights, Weights

_CONVOLUTION = """layer {{ name: "x" type: "Convolution" convolution_param {{
num_output: {output} kernel_h: {height} kernel_w: {width} bias_term: {bias} }} }}"""
_SAME = 'layer { name: "x" type: "Power" }'


def dense_net(member: Member, options: Options, progress: Progress | None) -> CompiledNet:
    """A net whose inner products are convolutions, compiled for its text's own size of input.

    Raises:
        NetcError: no-dense-form, of an inner product over other axes; what compiling raises.
    """
    shapes = own_shapes(member, options)
    wanted = {blob: (options.batch, *shape[1:]) for blob, shape in shapes.items()}
    message = read_net(member.net, define=dict(options.define), schema=options.schema).message
    graph = _graph(message, options, wanted)
    kernels = _kernels(graph)
    text = print_document(to_document(_convolutional(message, kernels, graph)))
    weights = None if member.weights is None else _reshaped(member.weights, kernels, graph)
    return compile(
        Source(member.net, text), weights, inputs=wanted, **compile_options(options, progress)
    )


def _graph(message: Message, options: Options, shapes: Mapping[str, Shape]) -> Graph:
    built = build(
        message, phase=options.phase, level=options.level, stages=options.stages, inputs=shapes
    )
    errors = [d for d in built.diagnostics if d.severity == "error"]
    if errors:
        raise NetcError(first_of(errors))
    return built.graph


def _kernels(graph: Graph) -> dict[str, Shape]:
    """Each inner product -> the (channels, height, width) of what it sees."""
    makers, found = graph.producers, {}
    for node in graph.nodes:
        if node.op != "InnerProduct":
            continue
        shape, maker = graph.shape(node.inputs[0]), makers.get(node.inputs[0])
        while maker is not None and maker.op in _KEEPING:
            if maker.op == "Flatten":
                shape = graph.shape(maker.inputs[0])
            maker = makers.get(maker.inputs[0])
        if node.params.axis != 1 or len(shape) not in (2, 4):
            message = f"layer `{node.name}` (InnerProduct) has no form as a convolution"
            raise NetcError(Diagnostic("no-dense-form", message, node.span))
        found[node.name] = (*shape[1:], 1, 1)[:3]
    return found


_KEEPING = frozenset({"Flatten", "Dropout", "ReLU", "Split"})


def _convolutional(message: Message, kernels: Mapping[str, Shape], graph: Graph) -> Message:
    """The net's text with convolutions; a Flatten before one does nothing any more."""
    nodes = {node.name: node for node in graph.nodes}
    layers = []
    for entry in message.entries["layer"]:
        layer = entry.value
        name = layer.get("name")
        if name in kernels and layer.get("type") == "InnerProduct":
            layer = _as(layer, _convolution(nodes[name], kernels[name]), "inner_product_param")
        elif layer.get("type") == "Flatten":
            layer = _as(layer, _SAME, "flatten_param")
        layers.append(entry._replace(value=layer))
    return message.with_entries(layer=tuple(layers))


def _convolution(node: Node, kernel: Shape) -> str:
    params: InnerProductParams = node.params
    bias = "true" if params.bias else "false"
    _, height, width = kernel
    return _CONVOLUTION.format(output=params.num_output, height=height, width=width, bias=bias)


def _as(layer: Message, text: str, dropped: str) -> Message:
    """A layer as another type, with the fields of a text in the place of its own."""
    other = read_net(text=text).message.get("layer")[0]
    named = {k: v for k, v in other.entries.items() if k not in ("name", "bottom", "top")}
    return layer.without(dropped).with_entries(**named)


def _reshaped(path: str, kernels: Mapping[str, Shape], graph: Graph) -> Weights:
    weights = load_weights(path)
    nodes = {node.name: node for node in graph.nodes}
    layers = {
        name: _layer(layer, kernels[name], nodes[name]) if name in kernels else layer
        for name, layer in weights.layers.items()
    }
    return replace(weights, layers=layers)


def _layer(layer: LayerWeights, kernel: Shape, node: Node) -> LayerWeights:
    """An inner product's arrays as a convolution's; those that do not fit are told of later."""
    if not layer.arrays:
        return layer
    params: InnerProductParams = node.params
    first, *others = layer.arrays
    if first.size == params.num_output * int(np.prod(kernel)):
        first = _kernel(first, params, kernel)
    legacy = (False, *layer.legacy[1:])
    return replace(layer, arrays=(first, *others), legacy=legacy, type="Convolution")


def _kernel(weight: Array, params: InnerProductParams, kernel: Shape) -> Array:
    if params.transpose:
        weight = weight.reshape(-1, params.num_output).T
    return np.ascontiguousarray(weight).reshape(params.num_output, *kernel)
