"""Texts of the dialect, expanded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.language.plain import plain_text
from netc.language.read import read_document
from netc.schema.bind import bind
from netc.schema.load import Schema, load_schema
from netc.schema.message import Message
from netc.syntax.ast import Document

INPUT = "input data: [1, 3, 32, 32]\n"


@lru_cache(maxsize=1)
def schema() -> Schema:
    return load_schema()


def document(
    text: str, define: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Document:
    return read_document(Source("t.netc", text), schema(), define, folder)


def expanded(text: str, define: Mapping[str, Any] | None = None, folder: Path | None = None) -> str:
    """The plain text that a text stands for."""
    return plain_text(document(text, define, folder))


def message(text: str, define: Mapping[str, Any] | None = None) -> Message:
    return bind(document(text, define), schema().message("NetParameter"))


def layers(text: str, define: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Name, type, bottoms and tops of each layer that is no input."""
    return [
        (x.get("name"), x.get("type"), x.get("bottom"), x.get("top"))
        for x in message(text, define).get("layer")
        if x.get("type") != "Input"
    ]


def names(text: str, define: Mapping[str, Any] | None = None) -> list[str]:
    return [layer[0] for layer in layers(text, define)]


def fault(
    text: str, define: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Diagnostic:
    """The first complaint about a text."""
    try:
        bind(document(text, define, folder), schema().message("NetParameter"))
    except NetcError as error:
        return error.diagnostics[0]
    raise AssertionError("the text is taken")


def value(expression: str, before: str = "") -> str:
    """An expression's value as a string shows it."""
    return message(f'{before}\nlet of = 1\nname: "${{{expression}}}"\n').get("name")
