"""Reading of a text, plain prototxt or the dialect, to a plain Document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netc.diagnostics import Source
from netc.language.detect import in_dialect
from netc.language.expand import expand
from netc.language.parser import parse_program
from netc.schema.load import Schema
from netc.syntax.ast import Document
from netc.syntax.parser import collection_paused, parse_document
from netc.syntax.sniff import check_text


def read_document(
    source: Source,
    schema: Schema,
    define: Mapping[str, object] | None = None,
    folder: Path | None = None,
) -> Document:
    """The plain document that a text stands for.

    Args:
        source: the text.
        schema: the known messages.
        define: values of parameters, or of a plain text's placeholders.
        folder: of the text, which its ``include`` must stay in; None where includes are not
            allowed.

    Raises:
        NetcError: with every error of the text.
    """
    define = define or {}
    if not in_dialect(source):
        return parse_document(source, {name: str(value) for name, value in define.items()})
    check_text(source)
    with collection_paused():
        return expand(parse_program(source), schema.message("NetParameter"), define, folder)
