"""Short ways to read a text and to see what is said of it."""

from __future__ import annotations

import pytest

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.schema.bind import bind
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.syntax.parser import parse_document


def bound(text: str, type: str = "NetParameter") -> Message:
    return bind(parse_document(Source("a.prototxt", text)), load_schema().message(type))


def refused(text: str, type: str = "NetParameter") -> tuple[Diagnostic, ...]:
    with pytest.raises(NetcError) as caught:
        bound(text, type)
    return caught.value.diagnostics


def place(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    """Code, line, column and the characters pointed at."""
    span = diagnostic.span
    assert span is not None
    return diagnostic.code, span.line, span.column, span.text
