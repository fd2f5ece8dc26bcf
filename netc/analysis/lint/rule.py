"""What a lint rule is, and what it can ask of a net."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostics import Diagnostic, Note, Span
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import CATALOG, has_role
from netc.ops.role import Role
from netc.ops.window import Axis
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class LintedNet:
    """The net that is checked: its graph before passes, and its layers as they were written."""

    graph: Graph
    messages: Mapping[str, Message]

    def producer(self, value: str) -> Node | None:
        """The node that produces a value; None for an input."""
        return self.graph.producers.get(value)

    def readers(self, value: str) -> tuple[Node, ...]:
        """The nodes that read a value."""
        return self.graph.readers[value]

    def of(self, role: Role) -> Iterator[Node]:
        """The nodes that have any of some roles, in order."""
        return (node for node in self.graph.nodes if has_role(node.op, role))

    def shapes(self, node: Node) -> tuple[tuple[Shape, ...], tuple[Shape, ...]] | None:
        """A node's input and output shapes; None where one is unknown."""
        inputs = [self.graph.values[name].shape for name in node.inputs]
        outputs = [self.graph.values[name].shape for name in node.outputs]
        if None in inputs or None in outputs:
            return None
        return tuple(s for s in inputs if s is not None), tuple(s for s in outputs if s is not None)

    def blob(self, value: str) -> str:
        """Caffe's name of a value."""
        return self.graph.values[value].blob

    def place(self, node: Node, *fields: str, axis: int = 0) -> Span | None:
        """Where the first written one of some fields stands, at any depth; else the layer's place.

        Of a field that is written for each axis, the value of ``axis``.
        """
        message = self.messages.get(node.name)
        for field in fields:
            span = _find(message, field, axis) if message else None
            if span is not None:
                return span
        return node.span

    def note(
        self, code: str, node: Node, message: str, *help: str, at: tuple[str, ...] = (),
        notes: tuple[Note, ...] = (), axis: int = 0,
    ) -> Diagnostic:  # fmt: skip
        """A note about a node, at the first of the fields ``at`` that is written."""
        text = f"layer `{node.name}` ({node.op}): {message}"
        return Diagnostic(code, text, self.place(node, *at, axis=axis), "note", notes, help)


def _find(message: Message, field: str, axis: int) -> Span | None:
    """The place of a field of a message, or of one of those in it."""
    inner = (
        entries[0].value
        for name, entries in message.entries.items()
        if name.endswith("_param") and isinstance(entries[0].value, Message)
    )
    for holder in (message, *inner):
        if field in holder.entries:
            return holder.span_of(field, min(axis, len(holder.entries[field]) - 1))
    return None


class LintRule(NamedTuple):
    """A lint: its code, one line on what it finds, and the function that finds it."""

    code: str
    summary: str
    check: Callable[[LintedNet], Iterator[Diagnostic]]


class Slide(NamedTuple):
    """A node with a sliding window over its first input, and the window along each axis."""

    node: Node
    axes: tuple[Axis, ...]


def slides(subject: LintedNet) -> Iterator[Slide]:
    """Convolutions, poolings and the like whose shapes are known; deconvolutions are left out."""
    for node in subject.graph.nodes:
        shapes = subject.shapes(node)
        if shapes is None or not shapes[0] or not shapes[1]:
            continue
        inputs, outputs = shapes
        window = CATALOG[node.op].window(node.params, inputs, outputs)
        sizes, outs = inputs[0][2:], outputs[0][2:]
        if window.whole or window.fractional or not len(window.kernel) == len(sizes) == len(outs):
            continue
        yield Slide(
            node,
            tuple(
                axis._replace(out=out) for axis, out in zip(window.axes(sizes), outs, strict=True)
            ),
        )


def axis_word(index: int, axes: int, number: int) -> str:
    """What a line along an axis is called in messages: "row", "columns" ..., by their number."""
    words = ("row", "column") if axes == 2 else (f"line of axis {index + 2}",) * axes
    return words[index] if number == 1 else f"{words[index]}s"
