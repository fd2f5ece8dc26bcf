"""Reads texts as OpenCV does: fields that are in no schema are skipped, with a warning."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from netc.diagnostics import Diagnostic, NetcError, Span
from netc.schema.message import Message
from netc.syntax.ast import Block, Document, Field, ListValue, Value

_ROUNDS = 100  # of complaints, each of which tells the first hundred or so


def bind_known(
    document: Document, bind: Callable[[Document], Message]
) -> tuple[Message, tuple[Diagnostic, ...]]:
    """The document bound without its unknown fields, and a warning for each of them.

    Raises:
        NetcError: what ``bind`` raises for anything else.
    """
    diagnostics: list[Diagnostic] = []
    for _ in range(_ROUNDS):
        try:
            return bind(document), tuple(diagnostics)
        except NetcError as error:
            unknown = [d for d in error.diagnostics if d.code == "unknown-field" and d.span]
            if len(unknown) < len(error.diagnostics):
                raise
            diagnostics += [
                replace(d, severity="warning", message=f"{d.message}; it is passed over")
                for d in unknown
            ]
            document = without(document, {d.span for d in unknown if d.span})
    return bind(document), tuple(diagnostics)


def without(document: Document, spans: Collection[Span]) -> Document:
    """The document without the fields whose names stand at these places."""
    return document._replace(fields=_kept(document.fields, spans))


def _kept(fields: tuple[Field, ...], spans: Collection[Span]) -> tuple[Field, ...]:
    """Fields, those inside blocks too, but for those whose names stand at these places."""
    return tuple(
        field._replace(value=_value(field.value, spans))
        for field in fields
        if field.span not in spans
    )


def _value(value: Value, spans: Collection[Span]) -> Value:
    if isinstance(value, Block):
        return value._replace(fields=_kept(value.fields, spans))
    if isinstance(value, ListValue):
        items = tuple(
            item._replace(fields=_kept(item.fields, spans)) if isinstance(item, Block) else item
            for item in value.items
        )
        return value._replace(items=items)
    return value
