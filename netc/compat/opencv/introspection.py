"""What ``cv2.dnn.Net`` says of itself: types, shapes, operations, memory (net_impl.cpp)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.analysis.cost import node_cost
from netc.diagnostics import Diagnostic, NetcError
from netc.files import cannot_write
from netc.frontend import build, runnable
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count, show
from netc.ops.catalog import CATALOG, has_role
from netc.ops.define import ErasedOp
from netc.ops.pooling import PoolingParams
from netc.ops.role import Role
from netc.schema.convert import to_document
from netc.schema.message import Message
from netc.syntax.printer import print_document

Sizes = list[NDArray[np.int32]]  # a shape each

_INPUT = "__NetInputLayer__"  # OpenCV's type of its layer 0, which holds the inputs


class Introspection:
    """The methods of ``cv2.dnn.Net`` that describe a net; shapes are the inputs', in order."""

    _graph: Graph
    _message: Message
    _given_shapes: dict[str, Shape]
    _names: tuple[str, ...]

    @property
    def _layers(self) -> Mapping[str, ErasedOp]:
        raise NotImplementedError

    @property
    def _inputs(self) -> list[str]:
        raise NotImplementedError

    def _node(self, layer: int | str) -> Node:
        raise NotImplementedError

    def getLayerTypes(self) -> tuple[str, ...]:
        """The types of the layers, each once, in alphabetical order."""
        return tuple(sorted({_INPUT, *(node.op for node in self._graph.nodes)}))

    def getLayersCount(self, layerType: str) -> int:
        """How many layers are of a type."""
        if layerType == _INPUT:
            return 1
        return sum(node.op == layerType for node in self._graph.nodes)

    def getLayersShapes(
        self, netInputShapes: object
    ) -> tuple[NDArray[np.int32], list[Sizes], list[Sizes]]:
        """Each layer's id, and the shapes of its inputs and outputs; layer 0 holds the inputs.

        Raises:
            NetcError: bad-argument, input-shape and what shapes that do not fit raise.
        """
        graph = self._shaped(netInputShapes)
        fed = [np.array(graph.shape(name), np.int32) for name in graph.inputs]
        ids: NDArray[np.int32] = np.arange(len(graph.nodes) + 1, dtype=np.int32)
        ins, outs = [fed], [fed]
        for node in graph.nodes:
            ins.append([np.array(graph.shape(name), np.int32) for name in node.inputs])
            outs.append([np.array(graph.shape(name), np.int32) for name in node.outputs])
        return ids, ins, outs

    def getFLOPS(self, *args: Any) -> int:
        """Floating-point operations of a forward pass, of the net or one layer, by OpenCV's rules.

        Args:
            *args: the inputs' shapes; or a layer's id or name, and then the inputs' shapes.

        Raises:
            NetcError: unknown-layer, and as :meth:`getLayersShapes`.
        """
        node, shapes = (None, args[0]) if len(args) == 1 else (self._node(args[0]), args[1])
        graph = self._shaped(shapes)
        return sum(flops(graph, n) for n in graph.nodes if node is None or n.name == node.name)

    def getMemoryConsumption(self, *args: Any) -> tuple[int, int]:
        """Bytes of the trained arrays and of the blobs, of the net or one layer; see getFLOPS.

        netc itself needs less for blobs, since those that are not live at the same time share
        memory.
        """
        node, shapes = (None, args[0]) if len(args) == 1 else (self._node(args[0]), args[1])
        graph = self._shaped(shapes)
        nodes = [n for n in graph.nodes if node is None or n.name == node.name]
        weights = sum(node_cost(graph, n).weight_bytes for n in nodes)
        values = [name for n in nodes for name in n.outputs]
        values += list(graph.inputs) if node is None else []
        return weights, 4 * sum(count(graph.shape(name)) for name in values)

    def setInputsNames(self, inputBlobNames: Sequence[str]) -> None:
        """Accepts the names of the text's inputs, and changes nothing.

        Raises:
            NetcError: unknown-input, for any other names.
        """
        unknown = [name for name in inputBlobNames if name not in self._inputs]
        if unknown:
            listed = ", ".join(f"`{name}`" for name in self._inputs) or "none"
            message = f"the net has no input `{unknown[0]}`; its inputs are: {listed}"
            raise NetcError(Diagnostic("unknown-input", message))

    def setInputShape(self, inputName: str, shape: Sequence[int]) -> None:
        """Set an input's shape before its array is given.

        Raises:
            NetcError: unknown-input.
        """
        self.setInputsNames([inputName])
        self._given_shapes[inputName] = tuple(int(size) for size in shape)

    def enableFusion(self, fusion: bool) -> None:
        """Has no effect: netc chooses what to fuse."""

    def setHalideScheduler(self, scheduler: str) -> None:
        """Has no effect: netc does not use Halide."""

    def enableWinograd(self, useWinograd: bool) -> None:
        """Has no effect: netc chooses its algorithms (see docs/compat.md for exactness)."""

    def dump(self) -> str:
        """A text with one line per layer and its shapes."""
        lines = []
        for name, node in zip(self._names, self._graph.nodes, strict=True):
            shapes = ", ".join(show(self._graph.values[v].shape) for v in node.outputs)
            lines.append(f"{name}: {node.op} {' '.join(node.inputs)} -> {shapes}")
        return "\n".join(lines)

    def dumpToFile(self, path: str) -> None:
        """The layers as text of Graphviz's dot: write what ``dot`` draws.

        Raises:
            NetcError: cannot-write.
        """
        lines = ["digraph G {"]
        for number, name in enumerate((_INPUT, *self._names)):
            kind = "" if not number else f"\\n{self._graph.nodes[number - 1].op}"
            lines.append(f'  N{number} [label="{_escaped(name)}{kind}" shape="box"];')
        made = {value: 0 for value in self._graph.inputs}
        for number, node in enumerate(self._graph.nodes, start=1):
            lines += [f"  N{made[value]} -> N{number};" for value in node.inputs]
            made.update(dict.fromkeys(node.outputs, number))
        _write(path, "\n".join([*lines, "}", ""]))

    def dumpToPbtxt(self, path: str) -> None:
        """The net as prototxt, in Caffe's current format: Netron shows it.

        Raises:
            NetcError: cannot-write.
        """
        _write(path, print_document(to_document(self._message)))

    def getLayerShapes(self, netInputShapes: object, layerId: int | str) -> tuple[Sizes, Sizes]:
        """The shapes of a layer's inputs and outputs, for inputs of these shapes.

        Raises:
            NetcError: unknown-layer, and as :meth:`getLayersShapes`.
        """
        _, ins, outs = self.getLayersShapes(netInputShapes)
        if layerId == 0:
            return ins[0], outs[0]
        wanted = self._node(layerId).name
        at = [node.name for node in self._graph.nodes].index(wanted) + 1
        return ins[at], outs[at]

    def _shaped(self, shapes: object) -> Graph:
        """The graph for inputs of these shapes: one shape, or one for each input."""
        if not isinstance(shapes, Iterable):
            raise TypeError("shapes are lists of sizes")
        given_shapes = list(shapes)
        try:
            listed = [tuple(int(size) for size in shape) for shape in given_shapes]
        except TypeError:
            listed = [tuple(int(size) for size in given_shapes)]
        names = self._inputs
        if len(listed) > len(names):
            message = f"{len(listed)} shapes are given, and the net has {len(names)} inputs"
            raise NetcError(Diagnostic("bad-argument", message))
        given = dict(zip(names, listed, strict=False))
        return runnable(build(self._message, inputs=given, layers=self._layers))


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise cannot_write(Path(path), error) from None


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def flops(graph: Graph, node: Node) -> int:
    """A layer's operations as OpenCV counts them; of other layers as netc does."""
    outputs = sum(count(graph.shape(name)) for name in node.outputs)
    cost = node_cost(graph, node)
    if has_role(node.op, Role.CONVOLUTION):
        return 2 * cost.macs + outputs
    if has_role(node.op, Role.INNER_PRODUCT):
        return 3 * cost.macs
    if has_role(node.op, Role.SOFTMAX) and not CATALOG[node.op].loss:
        return 4 * outputs
    if has_role(node.op, Role.RECTIFIER):
        return outputs
    if has_role(node.op, Role.POOLING) and not node.params_as(PoolingParams).window.whole:
        return cost.macs or cost.operations
    return 2 * cost.macs + cost.operations
