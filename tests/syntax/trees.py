"""Documents to compare and to make at random."""

from __future__ import annotations

import math
import struct
from typing import Any

from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source, Span
from netc.syntax.ast import Block, Document, Field, ListValue, Scalar, Value
from netc.syntax.parser import parse_document

NOWHERE = Span(Source("", ""), 0, 0)


def parse(text: str, **define: str) -> Document:
    return parse_document(Source("net.prototxt", text), define)


def faults(text: str, **define: str) -> list[tuple[str, int, int]]:
    """Code, line and column of each fault of a text; empty where it has none."""
    try:
        parse(text, **define)
    except NetcError as error:
        spans = [(d.code, d.span) for d in error.diagnostics]
        return [(code, span.line, span.column) for code, span in spans if span]
    return []


def bare(node: Any) -> Any:
    """A tree without its spans; floats as their bits, so that nan is itself and -0 is not 0."""
    if isinstance(node, Document | Block):
        return [bare(field) for field in node.fields]
    if isinstance(node, Field):
        return (node.name, bare(node.value))
    if isinstance(node, ListValue):
        return ("list", [bare(item) for item in node.items])
    value = node.value
    if isinstance(value, float):
        value = "nan" if math.isnan(value) else struct.pack("d", value)
    return (node.kind, value)


def values(text: str) -> Any:
    """The bare value of each field of a text."""
    return [bare(field.value) for field in parse(text).fields]


_WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
IDENTIFIERS = _WORDS.filter(lambda w: w.lower().rstrip("f") not in ("in", "inf", "nan", "infinity"))
NAMES = _WORDS | st.lists(IDENTIFIERS, min_size=1, max_size=3).map(lambda w: f"[{'.'.join(w)}]")


def scalar(kind: Any, value: Any) -> Scalar:
    return Scalar(kind, value, NOWHERE)


SCALARS = (
    IDENTIFIERS.map(lambda v: scalar("identifier", v))
    | (st.binary(max_size=20) | st.text(max_size=20).map(lambda t: t.encode("utf-8", "replace")))
    .map(lambda v: scalar("string", v))
    | st.integers(-(2**70), 2**70).map(lambda v: scalar("integer", v))
    | st.floats().map(lambda v: scalar("float", v))
)  # fmt: skip


def _fields(values_: st.SearchStrategy[Value]) -> st.SearchStrategy[tuple[Field, ...]]:
    field = st.builds(lambda n, v: Field(n, v, NOWHERE), NAMES, values_)
    return st.lists(field, max_size=4).map(tuple)


def _deeper(values_: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    blocks = _fields(values_).map(lambda f: Block(f, NOWHERE))
    lists = st.lists(SCALARS | blocks, max_size=4).map(lambda i: ListValue(tuple(i), NOWHERE))
    return blocks | lists


DOCUMENTS = _fields(st.recursive(SCALARS, _deeper, max_leaves=12)).map(
    lambda f: Document(NOWHERE.source, f)
)
