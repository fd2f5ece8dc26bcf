"""Placeholders that people leave in nets for a script to replace: ``$NAME`` and the like.

Outside of strings a placeholder must have a value, or it is an error; within strings it is text
unless a value is given. Values are inserted as text: ``-D DIM=3`` gives a number, ``-D POOL=MAX``
an identifier, and ``-D FILE=/a/b``, which is no legal value, a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from netc.diagnostics import Diagnostic, Note, Source, Span, did_you_mean
from netc.syntax.literals import BadEscapeError, encode, string_value
from netc.syntax.pieces import PLACEHOLDER, SCALARS, LocatedToken, pieces
from netc.syntax.quote import quote

_PLACEHOLDER = re.compile(PLACEHOLDER)
_GLUED = {"IDENTIFIER", "NONFINITE", "INTEGER", "FLOAT", "NUMBER", "PLACE", "DOT", "SLASH"}
_MARKS = ("$", "{{")
_MAX_PLACES = 100


def may_bind(text: str, define: Mapping[str, str]) -> bool:
    """Whether a correct text may change by inserting these values."""
    return bool(define) and any(mark in text for mark in _MARKS)


def placeholder_name(text: str) -> str:
    """The name, or expression, of a placeholder in any spelling."""
    return text.strip("${}#").strip()


def substitute(text: str, define: Mapping[str, str]) -> str:
    """A text with the placeholders replaced that have values; the others stay."""

    def value(match: re.Match[str]) -> str:
        return define.get(placeholder_name(match[0]), match[0])

    return _PLACEHOLDER.sub(value, text)


def bind_string(literal: str, define: Mapping[str, str]) -> str:
    """A quoted string with its placeholders replaced by their escaped values."""
    escaped = {name: quote(encode(value))[1:-1] for name, value in define.items()}
    if literal[0] == "'":
        escaped = {name: value.replace("'", "\\'") for name, value in escaped.items()}
    return substitute(literal, escaped)


def glue(found: Iterable[LocatedToken]) -> Iterator[LocatedToken]:
    """Tokens with adjacent parts such as ``conv``, ``$N``, ``_2`` joined to one placeholder."""
    row: list[LocatedToken] = []
    for piece in found:
        if row and not (piece.terminal in _GLUED and piece.begin == row[-1].stop):
            yield from _joined(row)
            row = []
        if piece.terminal in _GLUED:
            row.append(piece)
        else:
            yield piece
    yield from _joined(row)


def _joined(row: list[LocatedToken]) -> list[LocatedToken]:
    if len(row) == 1 or all(piece.terminal != "PLACE" for piece in row):
        return row
    text = "".join(piece.text for piece in row)
    return [LocatedToken("PLACE", text, row[0].begin, row[-1].stop)]


def bind_piece(piece: LocatedToken, define: Mapping[str, str]) -> list[LocatedToken]:
    """The tokens that replace a placeholder; one marked ``unknown`` where it has no value."""
    unbound = [name for name in names_in(piece.text) if name not in define]
    if unbound:
        return [LocatedToken("IDENTIFIER", piece.text, piece.begin, piece.stop, unknown=True)]
    value = substitute(piece.text, define)
    return [
        LocatedToken(p.terminal, p.text, piece.begin, piece.stop)
        for p in _value_pieces(value.strip())
    ]


def names_in(text: str) -> list[str]:
    """The names of a text's placeholders."""
    return [placeholder_name(match[0]) for match in _PLACEHOLDER.finditer(text)]


def _value_pieces(value: str) -> list[LocatedToken]:
    """The tokens of a value that is a scalar or a list of scalars; else a string of it."""
    *found, _end = pieces(value)
    kinds = [piece.terminal for piece in found]
    if kinds[:1] == ["MINUS"] and len(kinds) == 2:
        kinds = kinds[1:]
    scalar = len(kinds) == 1 and kinds[0] in SCALARS
    inner = kinds[1:-1]
    listed = kinds[:1] == ["LSQB"] and kinds[-1:] == ["RSQB"] and len(kinds) % 2 == 1
    listed = listed and set(inner[0::2]) <= SCALARS and set(inner[1::2]) <= {"COMMA"}
    if (scalar or listed or kinds == ["LSQB", "RSQB"]) and all(map(_readable, found)):
        return found
    return [LocatedToken("STRING", quote(encode(value)), 0, 0)]


def _readable(piece: LocatedToken) -> bool:
    try:
        return piece.terminal != "STRING" or string_value(piece.text) is not None
    except BadEscapeError:
        return False


def unresolved(source: Source, found: list[LocatedToken], define: Mapping[str, str]) -> Diagnostic:
    """The error unresolved-placeholder, one for all placeholders without a value.

    Args:
        source: the text.
        found: the tokens that hold them, in order; at least one.
        define: the values given, for near names.
    """
    names = list(dict.fromkeys(n for p in found for n in names_in(p.text) if n not in define))
    spans = [Span(source, piece.begin, piece.stop) for piece in found]
    notes = [Note(f"`{span.text}` stands here", span) for span in spans[1:_MAX_PLACES]]
    if len(spans) > _MAX_PLACES:
        notes.append(Note(f"and {len(spans) - _MAX_PLACES} more places"))
    some = ", ".join(f"`{name}`" for name in names[:8]) + (" ..." if len(names) > 8 else "")
    have = "placeholder has" if len(names) == 1 else "placeholders have"
    near: list[str] = [hint for name in names[:8] for hint in did_you_mean(name, define)]
    return Diagnostic(
        "unresolved-placeholder",
        f"{len(names)} {have} no value: {some}",
        spans[0],
        notes=tuple(notes),
        help=("give " + " ".join(f"-D {_flag(name)}" for name in names[:8]), *near),
    )


def _flag(name: str) -> str:
    return f"{name}=..." if re.fullmatch(r"[\w.-]+", name) else f"'{name}=...'"
