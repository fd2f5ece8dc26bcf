"""A plain document as a short text of the dialect that stands for the same net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netc.diagnostics import NetcError, Source
from netc.language.collapse.equal import same_net
from netc.language.collapse.factor import factored
from netc.language.collapse.model import CollapsedNet
from netc.language.collapse.take import taken
from netc.language.collapse.write import written
from netc.language.format import format_text
from netc.language.placement import FieldFinder
from netc.language.read import read_document
from netc.schema.load import Schema
from netc.syntax.ast import Document
from netc.syntax.printer import print_document


class Collapsed(NamedTuple):
    """A text, and the number of modules in it."""

    text: str
    modules: int


def collapse(document: Document, schema: Schema) -> Collapsed:
    """A text of the dialect that expands to the document's net, and its number of modules.

    Each candidate is expanded again and compared with the document; the first that is the same net
    is taken. The last candidate is the plain text itself.
    """
    for way in _ways(document, schema):
        text = _formatted(way.text, document, schema)
        if text:
            return way._replace(text=text)
    return Collapsed(print_document(document), 0)


def _ways(document: Document, schema: Schema) -> Iterator[Collapsed]:
    """Texts for a net, the shortest first."""
    layer = schema.message("NetParameter").fields["layer"].message
    assert layer is not None
    placement = FieldFinder(layer)
    for modules in (True, False):
        items = taken(document, placement)
        net = factored(items) if modules else CollapsedNet(items)
        for loops in (True, False):
            yield Collapsed(written(net, placement, loops), len(net.modules))


def _formatted(text: str, document: Document, schema: Schema) -> str:
    """The text in canonical form; empty if it does not give the document's net back."""
    name = document.source.name
    try:
        formatted = format_text(Source(name, text))
        same = same_net(read_document(Source(name, formatted), schema), document)
    except NetcError:
        return ""
    return formatted if same else ""
