"""A chain of stages while it is written as C++: its statements, arguments, and what it reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from netc.backends.cuda.program import Argument
from netc.backends.shared.derived import Weights, derivable
from netc.backends.shared.layout import c_strides, has_channels, stored_strides
from netc.backends.shared.views import View
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.ops.array import AnyArray, contiguous
from netc.ops.fused import BoundStage

Strides = Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class FusedOutput:
    """An output of a kernel: the pixels it is made in, the product's bias, the stages after it."""

    view: View
    shape: Shape
    stages: tuple[BoundStage, ...] = ()
    bias: Weights | None = None


@dataclass
class ChainCode:
    """The code of a kernel's outputs, and the arguments that go with it, as they grow.

    With ``beside`` it is for so many neighbouring channels, of one output: ``channel`` and ``v``
    are then those of the ``e``-th, and values of the chain's shape are read for all at once.
    """

    graph: Graph
    views: Mapping[str, View]
    array: Callable[[str], Weights]
    shape: Shape = ()
    row: int = 0
    beside: int = 0
    loads: list[str] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)
    arguments: list[Argument] = field(default_factory=list)
    reads: list[View] = field(default_factory=list)

    def _field(self, kind: str, argument: Argument) -> str:
        name = f"o{len(self.fields)}"
        self.fields.append((kind, name))
        self.arguments.append(argument)
        return f"with.{name}"

    def number(self, value: float) -> str:
        """A constant as a float32 expression."""
        return self._field("float", float(np.float32(value)))

    def same(self, value: str | None) -> str:
        """A value of the chain's shape at the element; the chain's own for None."""
        if value is None:
            return "v"
        view = self.views[value]
        self.reads.append(view)
        pointer = self._field("const value_t*", view.place)
        step = view.ld if has_channels(self.shape) else self.row
        pixel = f"{pointer} + (size_t)pixel * {self._field('int', step)}"
        if not self.beside:
            return f"load({pixel} + channel)"
        self.loads.append(f"{pixel} + first")
        return f"seen{len(self.loads) - 1}[e]"

    def bias(self, array: Weights) -> str:
        """A product's bias."""
        return f"{self._field('const float*', as_floats(array))}[channel]"

    def channel(self, array: Weights) -> str:
        """A trained number of the element's channel (axis 1), or one for all."""
        return self.spread_array(array.reshape(-1)[:1] if array.size == 1 else array.reshape(-1), 1)

    def spread_array(self, array: Weights, start: int) -> str:
        """A trained array whose axes are those of the value from ``start`` on."""
        pointer = self._field("const float*", as_floats(array))
        return f"{pointer}[{self._index(array.shape, c_strides(array.shape), start)}]"

    def spread_value(self, value: str, start: int) -> str:
        """A value whose axes are those of the chain's value from ``start`` on."""
        shape, view = self.graph.shape(value), self.views[value]
        if shape == self.shape:
            return self.same(value)
        self.reads.append(view)
        pointer = self._field("const value_t*", view.place)
        return f"load({pointer} + {self._index(shape, stored_strides(shape, view), start)})"

    def pointer(self, value: str) -> str:
        """Where a value starts, whatever its shape."""
        self.reads.append(self.views[value])
        return self._field("const value_t*", self.views[value].place)

    def element(self) -> str:
        """The element's number in Caffe's order, the last axis counted fastest."""
        shape = self.shape
        area = math.prod(shape[2:]) if has_channels(shape) else 1
        if area == 1:
            return f"pixel * {self.row} + channel"
        return f"(pixel / {area} * {self.row} + channel) * {area} + pixel % {area}"

    def item(self) -> str:
        """The element's number along the first axis."""
        return self._coordinate(0)

    def _index(self, shape: Shape, strides: Strides, start: int) -> str:
        """Where an operand's element lies for an element of the value."""
        if math.prod(shape) == 1:
            return "0"
        terms = [
            f"{self._coordinate(start + i)} * {stride}"
            if stride != 1
            else self._coordinate(start + i)
            for i, (size, stride) in enumerate(zip(shape, strides, strict=True))
            if size > 1
        ]
        return " + ".join(terms)

    def _coordinate(self, axis: int) -> str:
        """The element's place along an axis of the value."""
        shape = self.shape
        if not has_channels(shape):
            after, size = max(1, math.prod(shape[axis + 1 :])), max(1, shape[axis])
            return f"(pixel * {self.row} + channel) / {after} % {size}"
        if axis == 1:
            return "channel"
        pixels = shape[2:] if axis == 0 else shape[axis + 1 :]
        inner = f"pixel / {max(1, math.prod(pixels))}"
        return inner if axis == 0 else f"{inner} % {max(1, shape[axis])}"


@derivable
def as_floats(array: AnyArray) -> AnyArray:
    """An array as kernels read it beside values: float32, its elements in order."""
    return contiguous(array, np.float32).reshape(-1)
