"""Rewrites inner products as convolutions, and convolutions of a single window back."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.migrate.change import Change
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.linear import InnerProductParams
from netc.ops.role import Role
from netc.schema.message import Message
from netc.surgery.build import message_of, with_layers, with_scalar, with_texts
from netc.surgery.loading import LoadedState, weights_of
from netc.weights.model import LayerWeights, Weights

_FIELDS = ("num_output", "bias_term", "weight_filler", "bias_filler")


class _Form(NamedTuple):
    """A layer's type and the name of its message."""

    kind: str
    message: str


# Layers that give each element where it stood: maps before them are maps after them.
_KEEP_PLACES = Role.UNARY | Role.DROPOUT | Role.COPY

_CONVOLUTION = _Form("Convolution", "convolution_param")
_INNER_PRODUCT = _Form("InnerProduct", "inner_product_param")


class Surgeon:
    """Rewrites the layers of a net one by one; ``changes`` lists the rewrites."""

    def __init__(self, before: LoadedState, suffix: str = "") -> None:
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
        """The layer that replaces a layer; None to remove it."""
        raise NotImplementedError

    def pairs(self, after: Graph) -> dict[str, str]:
        """Value of the old graph -> value of the new one, matched by the layers that make them."""
        made = {node.name: node for node in after.nodes}
        pairs: dict[str, str] = {}
        for node in self.before.graph.nodes:
            other = made.get(self.renamed.get(node.name, node.name))
            if other is not None:
                pairs.update(zip(node.outputs, other.outputs, strict=True))
        return pairs

    def converted(
        self, node: Node, layer: Message, old: _Form, new: _Form, fields: dict[str, object]
    ) -> Message:
        """The layer with another type and name; fields that both types have are copied."""
        message = layer.get(old.message)
        param = message_of(layer.get(new.message).type, fields, message.span)
        moved = {n: message.entries[n] for n in _FIELDS if n in message.entries}
        param = param.with_entries(**moved)
        entry = layer.entries[old.message][-1]._replace(value=param)
        layer = layer.without(old.message).with_entries(**{new.message: (entry,)})
        layer = with_scalar(layer, ("type",), new.kind)
        if self.suffix:
            name = layer.get("name") + self.suffix
            self.renamed[node.name] = name
            self.arrays[name] = replace(self.arrays.pop(node.name), name=name)
            layer = with_scalar(layer, ("name",), name)
        return layer

    def put(self, node: Node, form: _Form, weight: object) -> None:
        """Store the reshaped weight of a layer that changes its type."""
        old = self.arrays[node.name]
        arrays = (np.ascontiguousarray(weight, dtype=np.float32), *old.arrays[1:])
        self.arrays[node.name] = LayerWeights(node.name, arrays, form.kind)


class ToConvolutions(Surgeon):
    """Rewrites inner products to convolutions."""

    def __init__(self, before: LoadedState, suffix: str = "") -> None:
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
        """A Convolution for an InnerProduct over (channels, height, width).

        None for a layer that only flattens the blob for such an InnerProduct.
        """
        if self._goes(node):
            blob = self.before.graph.values[node.inputs[0]].blob
            self.flat[node.outputs[0]] = blob
            self.maps[node.outputs[0]] = self.maps[node.inputs[0]]
            message = f"`{layer.get('name')}` ({node.op}) went: convolutions read maps"
            self.changes.append(Change("convolutionize", message, layer.span))
            return None
        bottoms = [
            self.flat.get(v, b) for v, b in zip(node.inputs, layer.get("bottom"), strict=True)
        ]
        if list(layer.get("bottom")) != bottoms:
            layer = with_texts(layer, "bottom", bottoms)
        if has_role(node.op, Role.INNER_PRODUCT) and node.inputs[0] in self.maps:
            return self._convolution(node, layer)
        self._follow(node)
        return layer

    def _goes(self, node: Node) -> bool:
        """Whether a layer only flattens maps for inner products."""
        graph = self.before.graph
        if not has_role(node.op, Role.VIEW) or node.inputs[0] not in self.maps:
            return False
        (flat,) = node.outputs
        channels = int(np.prod(self.maps[node.inputs[0]]))
        if graph.shape(flat) != (graph.shape(node.inputs[0])[0], channels) or flat in graph.outputs:
            return False
        was_vector = len(graph.shape(node.inputs[0])) == 2  # and it does nothing even now
        return was_vector or self._feeds_products(flat)

    def _feeds_products(self, value: str) -> bool:
        """Whether a vector is read by inner products alone, perhaps behind a ReLU or a Dropout."""
        graph = self.before.graph
        readers = graph.readers[value]
        return bool(readers) and all(self._takes_vector(r) for r in readers)

    def _takes_vector(self, node: Node) -> bool:
        if has_role(node.op, Role.INNER_PRODUCT):
            return node.params_as(InnerProductParams).axis in (1, -1)
        graph = self.before.graph
        between = has_role(node.op, _KEEP_PLACES) and not set(node.outputs) & set(graph.outputs)
        return between and all(self._feeds_products(v) for v in node.outputs)

    def _follow(self, node: Node) -> None:
        """What a layer makes of vectors that are maps of one element is such maps too."""
        graph = self.before.graph
        if has_role(node.op, _KEEP_PLACES) and node.inputs[0] in self.maps:
            self.maps.update(dict.fromkeys(node.outputs, self.maps[node.inputs[0]]))
            return
        if any(v in self.maps for v in node.inputs):
            for value in node.outputs:
                if len(graph.shape(value)) == 2:
                    self.maps[value] = (*graph.shape(value)[1:], 1, 1)

    def _convolution(self, node: Node, layer: Message) -> Message:
        channels, height, width = self.maps[node.inputs[0]]
        params = node.params_as(InnerProductParams)
        if params.axis not in (1, 1 - len(self.before.graph.shape(node.inputs[0]))):
            raise layer.error("inner_product_param", "not-convolutional",
                f"layer `{layer.get('name')}` takes its vector from axis {params.axis}, and a "
                "convolution from axis 1")  # fmt: skip
        outputs = params.num_output
        matrix = self.arrays[node.name].arrays[0]
        matrix = matrix.T if params.transpose else matrix
        self.put(node, _CONVOLUTION, matrix.reshape(outputs, channels, height, width))
        self.maps[node.outputs[0]] = (outputs, 1, 1)
        size: dict[str, object] = {"kernel_size": [height]}
        if height != width:
            size = {"kernel_h": height, "kernel_w": width}
        message = (
            f"`{layer.get('name')}` became a Convolution of {outputs} kernels of "
            f"{channels}x{height}x{width}, stride 1, no padding"
        )
        self.changes.append(Change("convolutionize", message, layer.span))
        return self.converted(node, layer, _INNER_PRODUCT, _CONVOLUTION, size)


class ToInnerProducts(Surgeon):
    """Rewrites convolutions whose kernel covers the whole input to inner products."""

    def layer(self, node: Node, layer: Message) -> Message | None:
        """An InnerProduct for a Convolution whose kernel covers the whole input."""
        if not self._is_one_window(node):
            return layer
        outputs = node.params_as(ConvolutionParams).num_output
        weight = self.arrays[node.name].arrays[0]
        self.put(node, _INNER_PRODUCT, weight.reshape(outputs, -1))
        message = f"`{layer.get('name')}` became an InnerProduct of {outputs}x{weight[0].size}"
        self.changes.append(Change("convolutionize", message, layer.span))
        return self.converted(node, layer, _CONVOLUTION, _INNER_PRODUCT, {})

    def _is_one_window(self, node: Node) -> bool:
        """Whether a convolution has one window, which is its whole input."""
        if not has_role(node.op, Role.CONVOLUTION) or len(node.inputs) != 1:
            return False
        params = node.params_as(ConvolutionParams)
        if params.group != 1:
            return False
        graph = self.before.graph
        shape, made = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
        weight = self.arrays[node.name].arrays[0]
        axes = params.window.axes(shape[2:]) if len(shape) == 4 else ()
        plain = bool(axes) and all(axis.pad == 0 and axis.dilation == 1 for axis in axes)
        return plain and made[2:] == (1, 1) and weight.shape[2:] == shape[2:]
