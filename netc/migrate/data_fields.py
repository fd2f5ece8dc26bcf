"""Data layers with fields that no schema has: what they say of reading data is passed over.

A net is checked, derived from and run without its data being read, and forks add fields to data
layers more often than to any other. So such a field is a warning where it stands in a layer that
reads data, and an error where netc is to read that data (netc.sources). One that is a known name
but for a letter or two is a mistake, and stays an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher

from netc.diagnostics import Diagnostic, NetcError, Span
from netc.schema.hints import OWN_SCHEMA
from netc.schema.message import Message
from netc.schema.tolerant import without
from netc.syntax.ast import Block, Document, Field, Scalar

PASSED_OVER = "passed_over"
"""The field of a layer that holds what was passed over in it."""

_VERY_NEAR = 0.85
_SHAPED = frozenset({"DummyData", "MemoryData", "DUMMY_DATA", "MEMORY_DATA"})


def bind_data_fields(document: Document, bind: Callable[[Document], Message]) -> Message:
    """The document bound; fields that no schema has, in data layers, are noted in the layers.

    Raises:
        NetcError: what ``bind`` raises for anything else.
    """
    try:
        return bind(document)
    except NetcError as error:
        layers = [block for block in _layers(document) if _reads_data(block)]
        spans = [d.span for d in error.diagnostics if d.span and _is_unknown(d, layers)]
        if len(spans) < len(error.diagnostics):
            raise
        return bind(_noted(without(document, set(spans)), spans))


def _layers(document: Document) -> Iterator[Block]:
    for field in document.fields:
        if field.name in ("layer", "layers") and isinstance(field.value, Block):
            yield field.value


def _reads_data(layer: Block) -> bool:
    """Whether a layer's type is one of data layers, by the forks' way to name them."""
    kind = _type(layer)
    if kind in _SHAPED or any(field.name == "bottom" for field in layer.fields):
        return False
    return kind.endswith(("Data", "DataLayer", "_DATA"))


def _type(layer: Block) -> str:
    for field in layer.fields:
        if field.name == "type" and isinstance(field.value, Scalar):
            value = field.value.value
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""


def _is_unknown(diagnostic: Diagnostic, layers: Sequence[Block]) -> bool:
    """Whether a complaint is of an unknown field of a data layer, and of no very near name."""
    if diagnostic.code != "unknown-field" or diagnostic.span is None:
        return False
    for layer in layers:
        if _within(diagnostic.span, layer.span):
            name = diagnostic.span.text
            own = name.replace("_", "") == f"{_type(layer)}param".lower().replace("_", "")
            return own or not any(_is_mistake(name, help) for help in diagnostic.help)
    return False


def _is_mistake(name: str, help: str) -> bool:
    """Whether help says where the field belongs, or a name that is the field's but for letters."""
    near = re.findall("`([^`]*)`", help) if help.startswith("did you mean") else []
    if not near:
        return help != OWN_SCHEMA
    return any(SequenceMatcher(None, name, other).ratio() >= _VERY_NEAR for other in near)


def _within(span: Span | None, outer: Span) -> bool:
    return span is not None and outer.start <= span.start and span.end <= outer.end


def _noted(document: Document, spans: Sequence[Span]) -> Document:
    """The document with what was passed over noted in each layer."""
    fields = []
    for field in document.fields:
        if isinstance(field.value, Block):
            notes = tuple(
                Field(PASSED_OVER, Scalar("string", span.text.encode(), span), span)
                for span in spans
                if _within(span, field.value.span)
            )
            block = field.value._replace(fields=(*field.value.fields, *notes))
            field = field._replace(value=block)
        fields.append(field)
    return document._replace(fields=tuple(fields))
