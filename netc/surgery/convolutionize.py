"""Inner products as convolutions, so that a classifier slides over larger images; and back.

Before, on 3 x 224 x 224::

    pool5 = Pooling(...)  512 x 7 x 7;  fc6 = InnerProduct(pool5; 4096 x 25088)

After, on any size from that up::

    pool5 = Pooling(...);  fc6 = Convolution(pool5; 4096 x 512 x 7 x 7)

(Long, Shelhamer, Darrell, Fully convolutional networks, 2015; Caffe's net surgery example.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.analysis.receptive import receptive_fields
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, show
from netc.lower.rules import State
from netc.migrate.change import Change
from netc.schema.message import Message
from netc.surgery.build import message_of, with_input_shapes, with_layers, with_scalar, with_texts
from netc.surgery.loading import TEST, Loaded, loaded, weights_of
from netc.surgery.proof import ROUNDING, Error, proven
from netc.weights.model import LayerWeights, Weights

_FIELDS = ("num_output", "bias_term", "weight_filler", "bias_filler")


class Window(NamedTuple):
    """What one score of an output sees of the image, along height and width.

    ``padding`` is how far the first window begins before the image.
    """

    output: str
    scores: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


class Convolutional(NamedTuple):
    """A net whose inner products are convolutions, or the other way round.

    Attributes:
        message: the net.
        weights: its arrays.
        changes: what became what.
        windows: of its outputs.
        errors: of all blobs, on an image of the old size.
        graph: with shapes for the new size.
        trained: the shape of the first input that it was trained on.
    """

    message: Message
    weights: Weights
    changes: tuple[Change, ...]
    windows: tuple[Window, ...]
    errors: tuple[Error, ...]
    graph: Graph
    trained: Shape


def convolutionize(
    net: Message,
    weights: Weights,
    *,
    state: State = TEST,
    sizes: Mapping[str, Shape] | None = None,
    inputs: Mapping[str, Shape] | None = None,
    suffix: str = "",
    reverse: bool = False,
    tolerance: float = ROUNDING,
) -> Convolutional:
    """The net with a convolution for every inner product of an image, proven equal.

    Args:
        net: a NetParameter in the current format, which says the size it was trained on.
        weights: its trained arrays.
        state: whose layers are taken.
        sizes: input blob -> shape of the new net's inputs.
        inputs: input blob -> shape it was trained on, where the text does not tell it.
        suffix: of the names of changed layers, as Caffe's own example has "-conv".
        reverse: convolutions that cover their whole input become inner products instead.
        tolerance: of the comparison.

    Raises:
        NetcError: nothing-to-convert; not-equal; or the new net has a layer that takes no maps.
    """
    before = loaded(net, weights, state, inputs)
    surgeon = _Reverse(before, suffix) if reverse else _Forward(before, suffix)
    message, made = surgeon.operated()
    if not surgeon.changes:
        what = "Convolution covers its whole input" if reverse else "InnerProduct reads an image"
        raise NetcError(Diagnostic("nothing-to-convert", f"no {what}", net.span))
    try:
        after = loaded(message, made, TEST._replace(phase=state.phase), inputs)
    except NetcError as error:
        first = error.diagnostics[0]
        told = f"a layer cannot take maps in the place of vectors: {first.message}"
        raise NetcError(replace(first, code="not-convolutional", message=told)) from None
    errors = proven(
        before.graph, after.graph, pairs=surgeon.pairs(after.graph), tolerance=tolerance
    )
    if sizes:
        message = with_input_shapes(message, sizes)
        after = loaded(message, made, TEST._replace(phase=state.phase), {**(inputs or {}), **sizes})
    windows = tuple(_windows(after.graph))
    trained = before.graph.shape(before.graph.inputs[0])
    changes = tuple(surgeon.changes)
    return Convolutional(message, made, changes, windows, errors, after.graph, trained)


class _Surgeon:
    """Walks over a net's layers; ``changes`` tells what became what."""

    def __init__(self, before: Loaded, suffix: str) -> None:
        self.before, self.suffix = before, suffix
        self.changes: list[Change] = []
        self.renamed: dict[str, str] = {}
        self.arrays: dict[str, LayerWeights] = dict(
            weights_of(before.graph, before.messages).layers
        )

    def operated(self) -> tuple[Message, Weights]:
        """The new net and its weights."""
        nodes = {id(m): name for name, m in self.before.messages.items()}
        by_name = {node.name: node for node in self.before.graph.nodes}
        layers = []
        for layer in self.before.net.get("layer"):
            node = by_name.get(nodes.get(id(layer), ""))
            new = layer if node is None else self.layer(node, layer)
            if new is not None:
                layers.append(new)
        return with_layers(self.before.net, layers), Weights(self.arrays)

    def layer(self, node: Node, layer: Message) -> Message | None:
        """What becomes of a layer; None where it goes."""
        raise NotImplementedError

    def pairs(self, after: Graph) -> dict[str, str]:
        """Values of the old graph -> those of the new one, by the layers that make them."""
        made = {node.name: node for node in after.nodes}
        pairs: dict[str, str] = {}
        for node in self.before.graph.nodes:
            other = made.get(self.renamed.get(node.name, node.name))
            if other is not None:
                pairs.update(zip(node.outputs, other.outputs, strict=True))
        return pairs

    def converted(
        self, node: Node, layer: Message, kind: str, fields: dict[str, object]
    ) -> Message:
        """The layer as one of another type, its common fields moved along, with its new name."""
        old_name = "inner_product_param" if kind == "Convolution" else "convolution_param"
        new_name = "convolution_param" if kind == "Convolution" else "inner_product_param"
        old = layer.get(old_name)
        param = message_of(layer.get(new_name).type, fields, old.span)
        moved = {n: old.entries[n] for n in _FIELDS if n in old.entries}
        param = param.with_entries(**moved)
        entry = layer.entries[old_name][-1]._replace(value=param)
        layer = layer.without(old_name).with_entries(**{new_name: (entry,)})
        layer = with_scalar(layer, ("type",), kind)
        if self.suffix:
            new = layer.get("name") + self.suffix
            self.renamed[node.name] = new
            self.arrays[new] = replace(self.arrays.pop(node.name), name=new)
            layer = with_scalar(layer, ("name",), new)
        return layer

    def put(self, node: Node, kind: str, weight: object) -> None:
        """Give a layer another weight, of the type that it becomes."""
        old = self.arrays[node.name]
        arrays = (np.ascontiguousarray(weight, dtype=np.float32), *old.arrays[1:])
        self.arrays[node.name] = LayerWeights(node.name, arrays, kind)


class _Forward(_Surgeon):
    """Inner products become convolutions."""

    def __init__(self, before: Loaded, suffix: str) -> None:
        super().__init__(before, suffix)
        graph = before.graph
        # Value -> the channels, height and width that it has in the new net.
        self.maps: dict[str, Shape] = {
            name: shape[1:]
            for name, value in graph.values.items()
            if (shape := value.shape) is not None and len(shape) == 4
        }
        self.flat: dict[str, str] = {}  # value of a Flatten that goes -> what it read

    def layer(self, node: Node, layer: Message) -> Message | None:
        if self._goes(node):
            blob = self.before.graph.values[node.inputs[0]].blob
            self.flat[node.outputs[0]] = blob
            self.maps[node.outputs[0]] = self.maps[node.inputs[0]]
            told = f"`{layer.get('name')}` ({node.op}) went: convolutions read maps"
            self.changes.append(Change("convolutionize", told, layer.span))
            return None
        bottoms = [
            self.flat.get(v, b) for v, b in zip(node.inputs, layer.get("bottom"), strict=True)
        ]
        if list(layer.get("bottom")) != bottoms:
            layer = with_texts(layer, "bottom", bottoms)
        if node.op == "InnerProduct" and node.inputs[0] in self.maps:
            return self._convolution(node, layer)
        self._follow(node)
        return layer

    def _goes(self, node: Node) -> bool:
        """Whether a layer only flattens maps for inner products."""
        graph = self.before.graph
        if node.op not in ("Flatten", "Reshape") or node.inputs[0] not in self.maps:
            return False
        shape = graph.shape(node.outputs[0])
        readers = graph.readers[node.outputs[0]]
        flat = shape == (graph.shape(node.inputs[0])[0], int(np.prod(self.maps[node.inputs[0]])))
        inner = all(r.op == "InnerProduct" and r.params.axis in (1, -1) for r in readers)
        return flat and inner and bool(readers) and node.outputs[0] not in graph.outputs

    def _follow(self, node: Node) -> None:
        """What a layer makes of vectors that are maps of one element is such maps too."""
        graph = self.before.graph
        if any(v in self.maps for v in node.inputs):
            for value in node.outputs:
                if len(graph.shape(value)) == 2:
                    self.maps[value] = (*graph.shape(value)[1:], 1, 1)

    def _convolution(self, node: Node, layer: Message) -> Message:
        channels, height, width = self.maps[node.inputs[0]]
        if node.params.axis not in (1, 1 - len(self.before.graph.shape(node.inputs[0]))):
            raise layer.error("inner_product_param", "not-convolutional",
                f"layer `{layer.get('name')}` takes its vector from axis {node.params.axis}, and a "
                "convolution from axis 1")  # fmt: skip
        outputs = node.params.num_output
        matrix = self.arrays[node.name].arrays[0]
        matrix = matrix.T if node.params.transpose else matrix
        self.put(node, "Convolution", matrix.reshape(outputs, channels, height, width))
        self.maps[node.outputs[0]] = (outputs, 1, 1)
        size: dict[str, object] = {"kernel_size": [height]}
        if height != width:
            size = {"kernel_h": height, "kernel_w": width}
        told = (
            f"`{layer.get('name')}` became a Convolution of {outputs} kernels of "
            f"{channels}x{height}x{width}, stride 1, no padding"
        )
        self.changes.append(Change("convolutionize", told, layer.span))
        return self.converted(node, layer, "Convolution", size)


class _Reverse(_Surgeon):
    """Convolutions of one window become inner products."""

    def layer(self, node: Node, layer: Message) -> Message | None:
        if not self._is_one_window(node):
            return layer
        outputs = node.params.num_output
        weight = self.arrays[node.name].arrays[0]
        self.put(node, "InnerProduct", weight.reshape(outputs, -1))
        told = f"`{layer.get('name')}` became an InnerProduct of {outputs}x{weight[0].size}"
        self.changes.append(Change("convolutionize", told, layer.span))
        return self.converted(node, layer, "InnerProduct", {})

    def _is_one_window(self, node: Node) -> bool:
        """Whether a convolution has one window, which is its whole input."""
        if node.op != "Convolution" or len(node.inputs) != 1 or node.params.group != 1:
            return False
        graph = self.before.graph
        shape, made = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
        weight = self.arrays[node.name].arrays[0]
        axes = node.params.window.axes(shape[2:]) if len(shape) == 4 else ()
        plain = bool(axes) and all(axis.pad == 0 and axis.dilation == 1 for axis in axes)
        return plain and made[2:] == (1, 1) and weight.shape[2:] == shape[2:]


def _windows(graph: Graph) -> Iterator[Window]:
    """What the scores of each output with height and width see of the first input."""
    if not graph.inputs or len(graph.shape(graph.inputs[0])) != 4:
        return
    fields = receptive_fields(graph)
    for name in graph.outputs:
        shape = graph.shape(name)
        if len(shape) == 4 and name in fields:
            field = fields[name]
            stride = tuple(int(s) for s in field.stride)
            yield Window(name, shape[2:], field.size, stride, field.padding)


def window_told(window: Window) -> str:
    """A window in words."""
    padding = max(window.padding)
    edge = f"; windows reach {padding} pixels over the edges" if padding > 0 else ""
    return (
        f"`{window.output}` is {show(window.scores)}: one score every {show(window.stride)} "
        f"pixels, each of {show(window.size)}{edge}"
    )
