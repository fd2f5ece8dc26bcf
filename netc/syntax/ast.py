"""The syntax tree of a prototxt text: fields and values, each with its place.

Untyped: nothing here knows a message or a layer. Values are NamedTuples, since a large net has
tens of thousands of them and they are built on every load.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from netc.diagnostics import Source, Span

ScalarKind = Literal["identifier", "string", "integer", "float"]


class Scalar(NamedTuple):
    """A single value as written.

    ``value`` is the text of an identifier, the decoded bytes of a string as ``bytes``, an ``int``
    (hex and octal read) or a ``float``. A sign belongs to the value, also before an identifier
    such as ``-inf`` (kind float).
    """

    kind: ScalarKind
    value: str | bytes | int | float
    span: Span


class Block(NamedTuple):
    """``{ field ... }`` or ``< field ... >``; the span runs from the opening to the closing."""

    fields: tuple[Field, ...]
    span: Span


class ListValue(NamedTuple):
    """``[a, b]``: scalars or blocks."""

    items: tuple[Scalar | Block, ...]
    span: Span


Value = Scalar | Block | ListValue


class Field(NamedTuple):
    """``name: value``; the span is the name's."""

    name: str
    value: Value
    span: Span


class Document(NamedTuple):
    """A whole text."""

    source: Source
    fields: tuple[Field, ...]

    @property
    def span(self) -> Span:
        """The whole text."""
        return Span(self.source, 0, len(self.source.text))
