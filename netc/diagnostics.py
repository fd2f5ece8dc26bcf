"""Diagnostics: source positions, error classes, and rendering with carets.

A user's mistake is a :class:`NetcError` that carries one or many :class:`Diagnostic`; anything
else that escapes is an :class:`InternalError` and is netc's own fault.
"""

from __future__ import annotations

import difflib
import heapq
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

from netc.printable import printable

Severity = Literal["error", "warning", "note"]

MAX_REPORTED = 100
"""Diagnostics told of one text."""

HINTED = 25
"""Of those, the first that near names are looked up for."""


class Source:
    """A text and its name in messages (usually a path); converts offsets to lines and columns.

    Offsets and columns count characters of Python's str.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def __repr__(self) -> str:
        return f"Source({self.name!r}, {len(self.text)} characters)"

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of the first character of each line; lines end in LF, CR or CRLF."""
        text = self.text
        if "\r" not in text:
            starts = [0]
            find = text.find
            at = find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = find("\n", at + 1)
            return starts
        starts = [0]
        for at, char in enumerate(text):
            if char == "\n" or (char == "\r" and text[at + 1 : at + 2] != "\n"):
                starts.append(at + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        starts = self.line_starts
        line = bisect_right(starts, max(0, min(offset, len(self.text))))
        return line, offset - starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (from 1) without its line end; empty beyond the last."""
        starts = self.line_starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a source.

    ``used_at`` is the place that brought this text in: the use of a module, or an ``include`` of
    the dialect. It has a ``used_at`` in turn where uses are nested, innermost first.
    """

    source: Source
    start: int
    end: int
    used_at: Span | None = None

    @property
    def line(self) -> int:
        """Line of the first character, from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """Column of the first character, from 1."""
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"


class Note(NamedTuple):
    """A further fact that explains a diagnostic, with its place where it has one."""

    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error, warning or note: which rule was broken, where, and what to do about it.

    Args:
        code: stable identifier, kebab-case, listed in docs/errors.md.
        message: what was expected and what was found; lower case, no full stop, names in backticks.
        span: the place in the text; None for a fault of an argument or a binary file.
        severity: "error", "warning" or "note"; only an error stops the work.
        notes: further places (the first definition, the layer that made a blob ...).
        help: what to do about it, one line each.
        value: the number in the input data that broke the rule, such as a label out of range; it
            is used to find the data layer's record it came from.
    """

    code: str
    message: str
    span: Span | None = None
    severity: Severity = "error"
    notes: tuple[Note, ...] = ()
    help: tuple[str, ...] = ()
    value: float | None = None

    def to_json(self) -> dict[str, object]:
        """The diagnostic as a dict of plain values, as ``--json`` prints it."""
        out: dict[str, object] = {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            **_place(self.span),
        }
        if self.notes:
            out["notes"] = [{"message": n.message, **_place(n.span)} for n in self.notes]
        if self.help:
            out["help"] = list(self.help)
        return out


def _place(span: Span | None) -> dict[str, object]:
    if span is None:
        return {}
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        **({"used_at": _uses(span)} if span.used_at else {}),
    }


def _uses(span: Span) -> list[str]:
    """Where a place of a module or included file came in from, the innermost first."""
    found, at = [], span.used_at
    while at is not None:
        found.append(str(at))
        at = at.used_at
    return found


class NetcError(Exception):
    """The user's text, weights or arguments cannot be accepted.

    ``diagnostics`` has one or more :class:`Diagnostic`; ``str()`` renders all of them.
    """

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(render(d) for d in self.diagnostics)


class InternalError(Exception):
    """A bug in netc: one of its invariants is broken; the message names the pass or the layer."""


class NetcWarning(UserWarning):
    """The category of the Python warnings that netc gives: worth knowing, and no error."""


@dataclass(slots=True)
class Collector:
    """Collects diagnostics, so that one run reports all mistakes in a file."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    limit: int = MAX_REPORTED

    def add(self, diagnostic: Diagnostic) -> None:
        """Remember a diagnostic."""
        self.diagnostics.append(diagnostic)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Remember several diagnostics."""
        self.diagnostics.extend(diagnostics)

    @contextmanager
    def catching(self) -> Iterator[None]:
        """A context that adds the diagnostics of a NetcError raised inside, and swallows it."""
        try:
            yield
        except NetcError as error:
            self.diagnostics.extend(error.diagnostics)

    @property
    def has_errors(self) -> bool:
        """Whether anything gathered so far is an error."""
        return any(d.severity == "error" for d in self.diagnostics)

    def check(self) -> None:
        """Raise everything gathered if any of it is an error.

        Raises:
            NetcError: with the diagnostics in the order they were added, ``limit`` at most.
        """
        if self.has_errors:
            raise NetcError(first_of(self.diagnostics, self.limit))


def first_of(
    diagnostics: Sequence[Diagnostic], limit: int = MAX_REPORTED
) -> tuple[Diagnostic, ...]:
    """The diagnostics, at most ``limit`` of them; the last then says that more follow."""
    shown = tuple(diagnostics[:limit])
    if len(diagnostics) <= limit:
        return shown
    more = "more errors follow; mend these first"
    return (*shown[:-1], replace(shown[-1], help=(*shown[-1].help, more)))


def counted(number: int, noun: str) -> str:
    """``1 bottom``, ``2 bottoms``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A help line with the nearest known names, or nothing when none is near.

    Among many names only those that begin or end like this one are compared, and of long names
    only the beginnings and ends, so that a hint takes milliseconds for any input.
    """
    candidates = list(known)
    folded = {c.lower().replace("_", ""): c for c in candidates}
    same = folded.get(name.lower().replace("_", ""))
    close = [same] if same else _shortened(name, candidates) or _nearest(name, candidates)
    if not close:
        return ()
    return ("did you mean " + " or ".join(f"`{c}`" for c in close) + "?",)


def _shortened(name: str, known: list[str]) -> list[str]:
    """The one name whose words begin as this one's: ``convolution_param`` for ``conv_param``.

    Empty where several do, or where a word has fewer than three letters.
    """
    words = name.split("_")
    if len(words) < 2 or any(len(word) < 3 for word in words):
        return []
    close = []
    for other in known:
        parts = other.split("_") if other.startswith(words[0]) else []
        if len(parts) == len(words) and all(map(str.startswith, parts, words)):
            close.append(other)
    return close if len(close) == 1 else []


def _nearest(name: str, known: list[str]) -> list[str]:
    """Up to three names that are near, none much farther than the nearest."""
    matcher, scored = difflib.SequenceMatcher(None), []
    matcher.set_seq2(_clipped(name))
    for other in _likely(name, known):
        matcher.set_seq1(_clipped(other))
        if matcher.real_quick_ratio() >= _CLOSE and matcher.quick_ratio() >= _CLOSE:
            scored.append((matcher.ratio(), other))
    close = heapq.nlargest(3, ((ratio, other) for ratio, other in scored if ratio >= _CLOSE))
    return [other for ratio, other in close if ratio > close[0][0] - _NEAR]


def _likely(name: str, known: list[str]) -> list[str]:
    """Of many names those that begin or end alike: one slip leaves a half, or at least a third."""
    if len(known) <= _LOOKED_AT:
        return known
    found: list[str] = []
    for part in (2, 3):
        size = -(-len(name) // part)
        first, last = name[:size], name[-size:]
        found = [other for other in known if other.startswith(first) or other.endswith(last)]
        if found:
            break
    return heapq.nsmallest(_LOOKED_AT, found, key=lambda other: abs(len(other) - len(name)))


def _clipped(name: str) -> str:
    """A long name's beginning and end: comparing takes the square of the length and more."""
    return name if len(name) <= _COMPARED else name[: _COMPARED // 2] + name[-_COMPARED // 2 :]


_LOOKED_AT = 256  # names that are compared letter by letter
_COMPARED = 32  # letters of each
_CLOSE = 0.6  # the least likeness, from 0 to 1
_NEAR = 0.1  # of likeness, from 0 to 1: what is farther than the nearest by this is not meant


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as text: place, code, message, the line with carets, notes and help.

    Example::

        a.prototxt:41:5: error[unknown-field]: PoolingParameter has no field `kernal_size`
           41 |     kernal_size: 3
              |     ^^^^^^^^^^^
           = help: did you mean `kernel_size`?
    """
    head = f"{diagnostic.severity}[{diagnostic.code}]: {_one_line(diagnostic.message)}"
    lines = [f"{_one_line(str(diagnostic.span))}: {head}" if diagnostic.span else head]
    if diagnostic.span:
        lines += _excerpt(diagnostic.span)
        lines += _trace(diagnostic.span)
    for note in diagnostic.notes:
        place = f" ({note.span})" if note.span else ""
        lines.append(f"   = note: {_one_line(note.message + place)}")
    lines += [f"   = help: {_one_line(text)}" for text in diagnostic.help]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """A line of netc's own around names of strangers: nothing in it steers a terminal."""
    return printable(text)


_TRACE = 3  # uses shown at either end of a long chain


def _trace(span: Span) -> list[str]:
    """The uses that lead to a place, the innermost first; of many the first and last."""
    lines = []
    at = span.used_at
    while at is not None:
        lines.append(_one_line(f"   = note: used at {at}: {_first_words(at)}"))
        at = at.used_at
    left_out = len(lines) - 2 * _TRACE
    if left_out < 2:
        return lines
    return [*lines[:_TRACE], f"   = note: ... {left_out} more uses ...", *lines[-_TRACE:]]


def _first_words(span: Span) -> str:
    words = " ".join(span.text.split())
    return words if len(words) <= 40 else f"{words[:37]}..."


_WIDTH = 72  # of a shown line: the gutter and this fit 80 columns


def _excerpt(span: Span) -> Sequence[str]:
    line, column = span.source.position(span.start)
    text = span.source.line(line)
    shown, at = _window(text, column - 1)
    before = sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in shown[:at])
    length = max(1, min(span.end - span.start, len(text) - (column - 1)))
    carets = "^" * max(1, min(length, len(shown) - at if len(shown) > at else 1))
    gutter = max(5, len(str(line)))
    return (f"{line:{gutter}} | {shown}".rstrip(), f"{' ' * gutter} | {' ' * before}{carets}")


def _window(text: str, at: int) -> tuple[str, int]:
    """The part of a long line around a column, tabs as single spaces, and the column in it."""
    if len(text) <= _WIDTH:
        return _clean(text), at
    start = max(0, min(at - _WIDTH // 3, len(text) - _WIDTH + 3))
    left = "..." if start else ""
    part = text[start : start + _WIDTH - len(left) - 3]
    right = "..." if start + len(part) < len(text) else ""
    return left + _clean(part) + right, at - start + len(left)


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
