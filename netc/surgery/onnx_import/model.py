"""An ONNX model's nodes after constant folding, and the net that is built from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.names import first_free
from netc.ir.types import Shape
from netc.ops.array import AnyArray
from netc.schema.message import Message, MessageType
from netc.surgery.build import message_of

if TYPE_CHECKING:
    from onnx import NodeProto

Fields = dict[str, object]


@dataclass
class Building:
    """The net under construction.

    Attributes:
        type: the message type of a layer.
        shapes: ONNX value -> its shape, where it could be inferred.
        constants: ONNX value -> its elements.
        blobs: ONNX value -> the blob that holds it.
        readers: ONNX value -> the number of nodes that read it.
        pads: ONNX value -> zero padding of a Pad node, not yet applied: begin and end along each
            spatial axis.
        weights: layer -> arrays.
    """

    type: MessageType
    shapes: dict[str, Shape]
    constants: dict[str, AnyArray]
    readers: Counter[str]
    blobs: dict[str, str] = field(default_factory=dict)
    pads: dict[str, tuple[int, ...]] = field(default_factory=dict)
    layers: list[Message] = field(default_factory=list)
    weights: dict[str, list[Array]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def name(self, wanted: str) -> str:
        """An unused layer name, as close to ``wanted`` as possible."""
        free = first_free(wanted or "layer", self.names, lambda number: f"{wanted}_{number}")
        self.names.add(free)
        return free


@dataclass(frozen=True)
class OnnxNode:
    """An ONNX node that is converted to layers."""

    building: Building
    proto: NodeProto
    attributes: Mapping[str, Any]
    opset: int

    @property
    def op(self) -> str:
        """The operator's name."""
        return str(self.proto.op_type)

    @cached_property
    def inputs(self) -> list[str]:
        """The values that it reads; empty names are left out at the end."""
        names = [str(name) for name in self.proto.input]
        while names and not names[-1]:
            names.pop()
        return names

    @property
    def output(self) -> str:
        """Its first value."""
        return str(self.proto.output[0])

    def refuse(self, why: str) -> NoReturn:
        """Raise the error that Caffe's layers cannot express the node.

        Raises:
            NetcError: not-caffe.
        """
        name = self.proto.name or self.output
        message = f"node `{name}` ({self.op}) cannot be said in Caffe: {why}"
        raise NetcError(Diagnostic("not-caffe", message))

    def attribute(self, name: str, usual: Any = None) -> Any:
        """An attribute's value."""
        return self.attributes.get(name, usual)

    def constant(self, at: int, what: str) -> AnyArray:
        """The elements of an input that must be constant."""
        found = self.optional(at)
        if found is None:
            self.refuse(f"its {what} is no constant")
        return found

    def optional(self, at: int) -> AnyArray | None:
        """The elements of an input; None where it is absent or not constant."""
        names = self.inputs
        return self.building.constants.get(names[at]) if at < len(names) else None

    def is_constant(self, at: int) -> bool:
        """Whether an input is a constant."""
        return self.inputs[at] in self.building.constants

    def shape(self, at: int = 0) -> Shape:
        """An input's shape."""
        return self._shape(self.inputs[at])

    def made(self, at: int = 0) -> Shape:
        """An output's shape."""
        return self._shape(str(self.proto.output[at]))

    def _shape(self, value: str) -> Shape:
        if value not in self.building.shapes:
            self.refuse(f"the shape of `{value}` is not known")
        return self.building.shapes[value]

    def bottom(self, at: int = 0) -> str:
        """The blob of an input.

        Raises:
            NetcError: not-caffe, where it is a constant or was only padded.
        """
        value = self.inputs[at]
        if value not in self.building.blobs:
            self.refuse(f"its input `{value}` is a constant")
        if value in self.building.pads:
            self.refuse("zeros are put around its input, which Caffe's convolutions alone can do")
        return self.building.blobs[value]

    def add(
        self,
        kind: str,
        bottoms: list[str],
        tops: list[str] | None = None,
        *,
        arrays: list[AnyArray] | None = None,
        name: str = "",
        **fields: object,
    ) -> str:
        """Add a layer; returns the blob of its first top.

        Args:
            kind: the layer's type.
            bottoms: its bottom blobs.
            tops: its top blobs; by default the node's first output.
            arrays: its trained arrays.
            name: the layer's name; by default the node's.
            fields: fields of the LayerParameter.
        """
        building = self.building
        tops = [self.output] if tops is None else tops
        name = building.name(name or self.proto.name or self.output)
        fields_of_layer: Fields = {
            "name": name,
            "type": kind,
            "bottom": bottoms,
            "top": tops,
            **fields,
        }
        building.layers.append(message_of(building.type, fields_of_layer))
        if arrays:
            building.weights[name] = [np.asarray(array, np.float32) for array in arrays]
        for output in self.proto.output:
            if output in tops:
                building.blobs[str(output)] = str(output)
        return tops[0] if tops else ""

    def inner(self, kind: str, bottoms: list[str], ending: str, **fields: Any) -> str:
        """Add a layer for an intermediate result that is no ONNX value; returns its blob."""
        top = f"{self.output}_{ending}"
        return self.add(kind, bottoms, [top], name=top, **fields)

    def same(self, at: int = 0) -> None:
        """The output is an input as it is."""
        self.building.blobs[self.output] = self.bottom(at)
