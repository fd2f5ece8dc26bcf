"""Printing of a document whose fields were moved or renamed, with the comments of its text.

Every field still has the place that it was written at. A comment on a line of its own goes before
what followed it in the text; one at the end of a line stays there.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from netc.diagnostics import Source, Span
from netc.syntax.ast import Block, Document, Field, ListValue, Scalar
from netc.syntax.comments import Comment, comments_of
from netc.syntax.printer import print_value

_INDENT = "  "
_EXACT = 2.0**53
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_EMPTY_LINE_BEFORE = re.compile(r"\n[ \t\r\f\v]*\n[ \t\r\f\v]*\Z")


def print_moved(document: Document, dropped: Sequence[Span] = ()) -> str:
    """The canonical text of a document, with the comments of its source.

    Parsing it gives the same document, except that a number of a float field may be an integer.

    Args:
        document: whose fields have the places that they were written at.
        dropped: blocks of the source that the document no longer has. Comments in them, right above
            them, and behind their closing brackets are left out.
    """
    comments = comments_of(document.source)
    if dropped and comments:
        comments = list(_kept(comments, dropped, document.source))
    lines = list(_lines(document.fields, ""))
    return "".join(f"{line}\n" for line in _with_comments(document, lines, comments))


def _kept(
    comments: Sequence[Comment], dropped: Sequence[Span], source: Source
) -> Iterator[Comment]:
    """The comments that belong to no dropped block."""
    gone = sorted((s.start, s.end) for s in dropped if s.source is source)
    starts = [start for start, _ in gone]
    lines = {source.position(start)[0] for start in starts}
    last_lines = {source.position(max(0, end - 1))[0] for _, end in gone}
    above: set[int] = set()  # lines of comments right above a dropped block, from the last one up
    for comment in reversed(comments):
        line = source.position(comment.start)[0]
        if comment.alone and line + 1 in lines | above:
            above.add(line)
    for comment in comments:
        at, line = bisect_left(starts, comment.start), source.position(comment.start)[0]
        inside = at > 0 and comment.start < gone[at - 1][1]
        if not inside and line not in above and (comment.alone or line not in last_lines):
            yield comment


class _Line(NamedTuple):
    """A line of the result; ``at`` is where it was written, -1 for nowhere in the text."""

    indent: str
    text: str
    at: int

    def __str__(self) -> str:
        return self.indent + self.text


def _lines(fields: Sequence[Field], indent: str) -> Iterator[_Line]:
    for field in fields:
        at = field.span.start if field.span.text else -1
        values = field.value.items if isinstance(field.value, ListValue) else (field.value,)
        for value in values:
            if isinstance(value, Scalar):
                yield _Line(indent, f"{field.name}: {_scalar(value)}", at)
            else:
                yield _Line(indent, f"{field.name} {{", at)
                yield from _lines(value.fields, indent + _INDENT)
                yield _Line(indent, "}", _closing(value))


def _closing(block: Block) -> int:
    """Where the block's closing bracket stands; a block that was not written has none."""
    return block.span.end - 1 if block.span.text[-1:] in ("}", ">") else -1


def _scalar(scalar: Scalar) -> str:
    """A scalar's text; a whole number of a float field has no point unless it was given one."""
    value, written = scalar.value, scalar.span.text
    if not isinstance(value, float) or not value.is_integer() or abs(value) > _EXACT:
        return print_value(scalar)
    if _INTEGER.fullmatch(written) and float(written) == value:
        return written
    text = print_value(scalar)
    return text if text == written else str(int(value))


class _Placed(NamedTuple):
    """Comments by the number of the line they belong to; -1 is the top, one too many the end."""

    before: dict[int, list[Comment]]
    behind: dict[int, list[Comment]]


def _place(comments: Sequence[Comment], lines: Sequence[_Line]) -> _Placed:
    """Find each comment's line: the next one in the text, or the last for one behind something.

    Where several lines come from one place the last of them has the comment: the innermost.
    """
    number = {line.at: index for index, line in enumerate(lines) if line.at >= 0}
    places = sorted(number)
    placed = _Placed(defaultdict(list), defaultdict(list))
    for comment in comments:
        at = bisect_left(places, comment.start)
        if comment.alone or at == 0:
            following = number[places[at]] if at < len(places) else len(lines)
            placed.before[following if at else -1].append(comment)
        else:
            placed.behind[number[places[at - 1]]].append(comment)
    return placed


def _with_comments(
    document: Document, lines: Sequence[_Line], comments: Sequence[Comment]
) -> Iterator[str]:
    placed = _place(comments, lines)
    text = document.source.text
    yield from (comment.text for comment in placed.before[-1])
    for index, line in enumerate(lines):
        before = placed.before[index]
        first = before[0].start if before else line.at
        if index and not line.indent and line.text != "}" and _is_apart(text, first):
            yield ""
        inner = _INDENT if line.text == "}" else ""
        yield from (line.indent + inner + comment.text for comment in before)
        behind = "".join(f"  {comment.text}" for comment in placed.behind[index])
        yield f"{line}{behind}"
    yield from (comment.text for comment in placed.before[len(lines)])


def _is_apart(text: str, at: int) -> bool:
    """Whether an empty line stands before a place of the text."""
    return at >= 0 and bool(_EMPTY_LINE_BEFORE.search(text, max(0, at - 200), at))


def in_written_order(document: Document) -> Document:
    """The document with the fields of each block in the order they were written in.

    Fields of one name stay together and in their order, which has a meaning.
    """
    return document._replace(fields=_ordered(document.fields))


def _ordered(fields: Sequence[Field]) -> tuple[Field, ...]:
    first: dict[str, int] = {}
    for field in fields:
        first[field.name] = min(first.get(field.name, field.span.start), field.span.start)
    names = sorted(first, key=first.__getitem__)
    rank = {name: number for number, name in enumerate(names)}
    return tuple(_inner_ordered(f) for f in sorted(fields, key=lambda f: rank[f.name]))


def _inner_ordered(field: Field) -> Field:
    if not isinstance(field.value, Block):
        return field
    return field._replace(value=field.value._replace(fields=_ordered(field.value.fields)))
