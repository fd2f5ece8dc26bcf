"""The ONNX graph under construction, and the interface through which a rule adds nodes to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netc.backends.reference import parameter_array
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph, Node
from netc.ir.names import first_free
from netc.ir.params import HasParams
from netc.ir.types import Shape

OPSET = 13
IR_VERSION = 7  # the first that has opset 13


@dataclass
class OnnxWriter:
    """Collects an ONNX graph's nodes and constants while the graph is walked.

    Args:
        graph: the net.
        varying: value -> the axes whose sizes follow from a batch that is left open.
        nodes: each ONNX node with the layer that it is of.
        constants: value -> its elements.
        owners: constant -> the layer that it was made for.
    """

    graph: Graph
    varying: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[tuple[Node, Any]] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    owners: dict[str, Node] = field(default_factory=dict)
    _values: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._values.update((*self.graph.values, *self.graph.parameters))
        self._names.update(node.name for node in self.graph.nodes)

    def is_empty(self, value: str) -> bool:
        """Whether a value has no elements, whatever a batch that is left open is."""
        opened = self.varying.get(value, ())
        sizes = enumerate(self.graph.shape(value))
        return any(size == 0 for axis, size in sizes if axis not in opened)

    def fresh_value(self, wanted: str) -> str:
        """An unused value name, as close to ``wanted`` as possible."""
        return _fresh(wanted, self._values)

    def fresh_node(self, wanted: str) -> str:
        """An unused node name, as close to ``wanted`` as possible."""
        return _fresh(wanted, self._names)


def _fresh(wanted: str, taken: set[str]) -> str:
    name = first_free(wanted, taken, lambda number: f"{wanted}_{number}")
    taken.add(name)
    return name


@dataclass(frozen=True)
class LayerExport(HasParams):
    """A layer for its export rule: it names the layer's values and adds ONNX nodes for it."""

    writer: OnnxWriter
    node: Node

    @property
    def params(self) -> object:
        """The op's parameters."""
        return self.node.params

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values it reads."""
        return self.node.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The values it makes."""
        return self.node.outputs

    @property
    def x(self) -> str:
        """The first value it reads."""
        return self.node.inputs[0]

    def shape(self, index: int = 0) -> Shape:
        """A bottom's shape."""
        return self.writer.graph.shape(self.node.inputs[index])

    def made(self, index: int = 0) -> Shape:
        """A top's shape."""
        return self.writer.graph.shape(self.node.outputs[index])

    def sizes(self, value: str) -> list[int]:
        """A value's shape with -1 for the axis that an open batch decides.

        Raises:
            NetcError: no-onnx-rule, where ONNX's Reshape cannot be told such a shape.
        """
        sizes = list(self.writer.graph.shape(value))
        for axis in self.writer.varying.get(value, ()):
            sizes[axis] = -1
        if 0 in sizes or sizes.count(-1) > 1:
            raise self.refuse("its blob has no elements, or two axes that follow from the batch")
        return sizes

    def arrays(self) -> list[Array]:
        """The trained arrays."""
        graph = self.writer.graph
        return [parameter_array(graph, name) for name in self.node.parameters]

    def weight(self, index: int) -> str:
        """The name of a trained array's initializer; layers that share the array share it."""
        name = self.node.parameters[index]
        parameter = self.writer.graph.parameters[name]
        self.writer.constants[name] = parameter_array(self.writer.graph, name)
        self.writer.owners.setdefault(name, self.node)
        return parameter.name

    def weights(self) -> list[str]:
        """The trained arrays as constants."""
        return [self.weight(index) for index in range(len(self.node.parameters))]

    def constant(self, what: str, array: Any, kind: Any = np.float32) -> str:
        """Add an initializer for this layer; returns its name."""
        name = self.writer.fresh_value(f"{self.node.name}:{what}")
        self.writer.constants[name] = np.asarray(array, kind)
        self.writer.owners[name] = self.node
        return name

    def whole(self, what: str, numbers: Sequence[int] | int) -> str:
        """Add an int64 initializer, such as axes or sizes; returns its name."""
        return self.constant(what, numbers, np.int64)

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node inside the layer; returns its output."""
        output = self.writer.fresh_value(f"{self.node.name}:{kind}")
        self._add(kind, inputs, [output], self._inner(kind), attributes)
        return output

    def ops(self, kind: str, number: int, *inputs: str, **attributes: object) -> list[str]:
        """Add a node with ``number`` outputs inside the layer; returns them."""
        outputs = [self.writer.fresh_value(f"{self.node.name}:{kind}") for _ in range(number)]
        self._add(kind, inputs, outputs, self._inner(kind), attributes)
        return outputs

    def give(self, kind: str, *inputs: str, top: int = 0, **attributes: object) -> None:
        """Add the node that makes a top; the first top's node has the layer's name."""
        name = self._inner(kind) if top else self.node.name
        self._add(kind, inputs, [self.node.outputs[top]], name, attributes)

    def give_all(self, kind: str, *inputs: str, **attributes: object) -> None:
        """Add the node that makes all tops."""
        self._add(kind, inputs, list(self.node.outputs), self.node.name, attributes)

    def reshape(self, value: str, sizes: Sequence[int]) -> str:
        """Add a Reshape; returns its output. 0 copies a size, -1 is inferred."""
        return self.op("Reshape", value, self.whole("shape", sizes))

    def give_reshaped(self, value: str, top: int = 0) -> None:
        """Make a top by reshaping a value to the top's shape."""
        sizes = self.whole("shape", self.sizes(self.node.outputs[top]))
        self.give("Reshape", value, sizes, top=top)

    def refuse(self, what: str, *help: str) -> NetcError:
        """The error that the layer cannot be written; to be raised by the caller."""
        return no_rule(self.node, what, *help)

    def _inner(self, kind: str) -> str:
        return self.writer.fresh_node(f"{self.node.name}/{kind}")

    def _add(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: list[str],
        name: str,
        attributes: Mapping[str, object],
    ) -> None:
        from onnx import helper

        made = helper.make_node(kind, list(inputs), outputs, name, **attributes)
        self.writer.nodes.append((self.node, made))


Rule = Callable[[LayerExport], None]


def no_rule(node: Node, what: str, *help: str) -> NetcError:
    """The error that a layer has no form in ONNX; to be raised by the caller."""
    message = f"layer `{node.name}` ({node.op}) cannot be written as ONNX: {what}"
    return NetcError(Diagnostic("no-onnx-rule", message, node.span, help=help))
