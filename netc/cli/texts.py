"""Texts as the commands read them: nets, solvers and label maps, in the current format."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.language.read import read_document
from netc.migrate.change import Change
from netc.migrate.data_fields import bind_data_fields
from netc.migrate.generations import bind_net
from netc.migrate.solver import upgrade_solver
from netc.migrate.upgrade import upgrade_net
from netc.schema.guess import check_kind, guess_message
from netc.schema.load import Schema, load_schema
from netc.schema.message import Message
from netc.syntax.ast import Document
from netc.syntax.limits import MAX_BYTES
from netc.syntax.parser import collection_paused
from netc.syntax.reader import read_source, source_of_bytes

STDIN = "-"


class UpgradedText(NamedTuple):
    """A text bound and upgraded; ``kind`` is "net", "solver" or "label map"."""

    kind: str
    document: Document
    message: Message
    changes: tuple[Change, ...]


def source_of(path: str) -> Source:
    """The text of a file, or of standard input for ``-``.

    Raises:
        NetcError: the file cannot be read or is no text.
    """
    if path == STDIN:
        return source_of_bytes("<stdin>", sys.stdin.buffer.read(MAX_BYTES + 1))
    return read_source(Path(path))


def net_source(path: str, schema: Schema) -> Source:
    """As :func:`source_of`; of a caffemodel alone it is the text of the net that it is of.

    Raises:
        NetcError: the file cannot be read, or is neither a text nor a caffemodel.
    """
    try:
        return source_of(path)
    except NetcError as error:
        if error.diagnostics[0].code != "swapped-arguments" or not path.endswith(".caffemodel"):
            raise
        from netc.weights.definitions import definition_text, has_definition

        if not has_definition(path):  # blobs and names alone
            raise
    return definition_text(path, schema.message("NetParameter"))


def read_text(path: str, args: argparse.Namespace, *, written: bool = False) -> UpgradedText:
    """A net, solver or label map in the current format.

    Args:
        path: of the file, ``-`` for standard input.
        args: with ``define`` and ``schema`` of ``add_text_arguments``.
        written: the text is written again: no field of it may be passed over.

    Raises:
        NetcError: the text cannot be read, parsed, bound or upgraded.
    """
    schema = load_schema(args.schema)
    folder = None if path == STDIN else Path(path).parent
    with collection_paused():
        document = read_document(net_source(path, schema), schema, dict(args.define), folder)
        return upgraded_text(document, schema, written=written)


def upgraded_text(document: Document, schema: Schema, *, written: bool = False) -> UpgradedText:
    """The document as the kind of text it looks like.

    Where it is not to be written again, fields of data layers that no schema has are passed over.

    Raises:
        NetcError: it cannot be bound or upgraded, or is another kind of text.
    """
    type = guess_message(document, schema)
    if type.name == "SolverParameter":
        return UpgradedText("solver", document, *upgrade_solver(bind_net(document, type)))
    if type.name == "LabelMap":
        return UpgradedText("label map", document, bind_net(document, type), ())
    check_kind(document, schema)
    type = schema.message("NetParameter")
    bind = partial(bind_net, type=type)
    net = bind(document) if written else bind_data_fields(document, bind)
    return UpgradedText("net", document, *upgrade_net(net))


def left_out(changes: tuple[Change, ...]) -> tuple[Diagnostic, ...]:
    """Warnings of what an upgrade leaves out of a text, as Caffe does."""
    return tuple(
        Diagnostic("left-out", change.message, change.span, "warning")
        for change in changes
        if change.lossy
    )
