"""Detects which message a document is: a net, a solver, a label map ..."""

from __future__ import annotations

from collections import Counter

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.schema.load import Schema
from netc.schema.message import MessageType
from netc.syntax.ast import Document, Field, Scalar

KINDS = {
    "NetParameter": "a net",
    "SolverParameter": "a solver",
    "LabelMap": "a label map",
    "LayerParameter": "the inside of one layer",
    "SolverState": "a solver's state",
    "BlobProto": "a blob",
    "Datum": "a datum",
}
"""What the text of a message type is to a person; where two fit as well, the first is meant."""


def guess_message(document: Document, schema: Schema) -> MessageType:
    """The message type that has most of the document's top-level fields."""
    names = _names(document)
    return max((schema.message(name) for name in KINDS), key=lambda t: _known(names, t))


def _names(document: Document) -> Counter[str]:
    """The outermost fields, and how often each is there."""
    return Counter([field.name for field in document.fields])


def _known(names: Counter[str], type: MessageType) -> int:
    return sum(number for name, number in names.items() if name in type.fields)


def check_kind(document: Document, schema: Schema, wanted: str = "NetParameter") -> None:
    """Check that a document is of the wanted message type, apart from mistakes in its fields.

    Raises:
        NetcError: empty-file, where there is nothing but comments; wrong-file, at the first field
            of another type; for a solver in place of a net, the help names the net's file.
    """
    if not document.fields and _is_empty(document.source):
        raise NetcError(_empty(document.source, KINDS[wanted]))
    guess = guess_message(document, schema)
    type = schema.message(wanted)
    names = _names(document)
    if guess is type or _known(names, guess) == _known(names, type):
        return
    message = f"this is {KINDS[guess.name]} ({guess.name}), not {KINDS[wanted]} ({wanted})"
    help = _net_of(document) if guess.name == "SolverParameter" else _layer_help(guess, wanted)
    span = _telling(document, guess, type)
    raise NetcError(Diagnostic("wrong-file", message, span, help=help))


def _is_empty(source: Source) -> bool:
    """Whether a text says nothing; definitions for an ``include`` alone are something."""
    return all(line.lstrip().startswith("#") for line in source.text.splitlines() if line.strip())


def _empty(source: Source, wanted: str) -> Diagnostic:
    what = "holds comments alone" if source.text.strip() else "is empty"
    help = ("a download or a copy may have failed: fetch or write the file again",)
    return Diagnostic("empty-file", f"`{source.name}` {what}, and {wanted} is expected", help=help)


def _telling(document: Document, guess: MessageType, wanted: MessageType) -> Span:
    names = guess.fields.keys() - wanted.fields.keys()
    return next(field.span for field in document.fields if field.name in names)


def _net_of(document: Document) -> tuple[str, ...]:
    """Where a solver says its net is."""
    for name in ("net", "train_net", "test_net"):
        for field in document.fields:
            path = _string(field)
            if field.name == name and path:
                return (f"its net is in `{path}` (`{name}`): give that file",)
    if any(field.name.endswith("net_param") for field in document.fields):
        return ("its net stands inside, in `net_param { }`: write that to a file of its own",)
    return ()


def _string(field: Field) -> str:
    value = field.value.value if isinstance(field.value, Scalar) else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _layer_help(guess: MessageType, wanted: str) -> tuple[str, ...]:
    if guess.name == "LayerParameter" and wanted == "NetParameter":
        return ("a net has its layers in `layer { ... }`",)
    return ()
