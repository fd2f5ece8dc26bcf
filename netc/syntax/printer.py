"""Document to canonical text: two spaces a level, one field a line, strings in double quotes.

Numbers keep the spelling a person gave them (``0.00005``, ``0x10``). A document as it was parsed
keeps its comments, and an empty line where it had one or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.diagnostics import Source
from netc.syntax.ast import Block, Document, Field, ListValue, Scalar, Value
from netc.syntax.comments import Comment, comments_of
from netc.syntax.lexer import scanner
from netc.syntax.literals import float_value, integer_value
from netc.syntax.quote import quote
from netc.syntax.tables import load_tables

_INDENT = "  "


def print_document(document: Document, comments: bool = True) -> str:
    """The canonical text of a document; parsing it gives the same document, except for places.

    Args:
        document: as parsed, or made by a program.
        comments: keep comments and empty lines. There are none to keep unless the document's fields
            stand in its source in the order in which they were written.
    """
    kept = comments and _is_as_written(document)
    writer = _Writer(document.source if kept else None)
    writer.write(document.fields)
    return "".join(line + "\n" for line in writer.lines)


def print_value(value: Scalar) -> str:
    """The text of a scalar, a number in its own spelling where its place tells it."""
    if value.kind == "string":
        return quote(value.value if isinstance(value.value, bytes) else str(value.value).encode())
    if value.kind == "identifier":
        return str(value.value)
    return _spelling(value) or _number(value)


def _number(scalar: Scalar) -> str:
    if scalar.kind == "float":
        return repr(float(scalar.value))
    value = int(scalar.value)
    return str(value) if abs(value) < 10**400 else hex(value)


def _spelling(scalar: Scalar) -> str:
    """How a person wrote a number; empty where the text at its span is not that number."""
    text = scalar.span.text
    match = scanner().fullmatch(text)
    if not match or len(text) > 400:
        return ""
    kind = load_tables().terminals[match.lastindex or 0]
    if match.start(match.lastindex or 0) or kind != scalar.kind.upper():
        return ""
    value = float_value(text) if kind == "FLOAT" else integer_value(text)
    return text if value == scalar.value else ""


def _is_as_written(document: Document) -> bool:
    """Whether every field stands where its span says, one behind the other."""
    last = -1
    for field in _all_fields(document.fields):
        span = field.span
        if span.source is not document.source or span.start <= last:
            return False
        if not field.name.startswith("[") and span.text != field.name:
            return False
        last = span.start
    return True


def _all_fields(fields: Sequence[Field]) -> Iterator[Field]:
    """Every field, a block's own before those within it."""
    waiting: list[Iterator[Field]] = [iter(fields)]
    while waiting:
        field = next(waiting[-1], None)
        if field is None:
            waiting.pop()
            continue
        yield field
        inner = field.value.items if isinstance(field.value, ListValue) else (field.value,)
        blocks = [block for block in inner if isinstance(block, Block)]
        waiting += [iter(block.fields) for block in reversed(blocks)]


class _Open:
    """A block or list whose parts are still to be written.

    ``end`` is the offset of its closing bracket; ``close`` the text of that line.
    """

    def __init__(self, parts: Sequence[Field | Value], close: str, end: int) -> None:
        self.parts = iter(parts)
        self.left = len(parts)
        self.close = close
        self.end = end


class _Writer:
    """Lines of canonical text; what is open is on a stack of its own, so that depth is no matter.

    Args:
        source: where comments come from; None for none.
    """

    def __init__(self, source: Source | None) -> None:
        self.lines: list[str] = []
        self.source = source
        self.comments: list[Comment] = list(reversed(comments_of(source))) if source else []
        self.open: list[_Open] = []
        self._line = 0  # of the source, at which the last thing written ends
        self._fresh = True  # nothing was written yet in the block at hand

    def write(self, fields: Sequence[Field]) -> None:
        """Write fields and all that is in them."""
        end = len(self.source.text) if self.source else 0
        self.open.append(_Open(fields, "", end))
        while self.open:
            inner = self.open[-1]
            part = next(inner.parts, None)
            if part is None:
                self._close(inner)
            else:
                inner.left -= 1
                comma = "," if inner.close.startswith("]") and inner.left else ""
                self._part(part, comma)

    def _close(self, inner: _Open) -> None:
        self._flush(inner.end + (len(self.open) == 1))
        self.open.pop()
        if self.open:
            self._put(inner.close)
            self._ends(inner.end + 1)

    def _part(self, part: Field | Value, comma: str) -> None:
        """Write a field, or an item of a list that is too large for one line."""
        self._starts(part.span.start)
        value = part.value if isinstance(part, Field) else part
        head, colon = (part.name, ": ") if isinstance(part, Field) else ("", "")
        if isinstance(value, Block):
            self._put(f"{head} {{".lstrip())
            self._ends(value.span.start + 1)
            self._enter(value.fields, "}" + comma, value.span.end)
        elif isinstance(value, ListValue) and any(isinstance(i, Block) for i in value.items):
            self._put(f"{head}{colon}[")
            self._ends(value.span.start + 1)
            self._enter(value.items, "]" + comma, value.span.end)
        else:
            self._put(f"{head}{colon}{_one_line(value)}{comma}")
            self._ends(value.span.end)

    def _enter(self, parts: Sequence[Field | Value], close: str, end: int) -> None:
        self.open.append(_Open(parts, close, end - 1))
        self._fresh = True

    def _put(self, text: str) -> None:
        self.lines.append(_INDENT * (len(self.open) - 1) + text)
        self._fresh = False

    # comments and empty lines

    def _starts(self, offset: int) -> None:
        """Write what stands in the source before an offset and is not yet written."""
        self._flush(offset)
        self._empty_line(offset)

    def _ends(self, offset: int) -> None:
        if self.source:
            self._line = self.source.position(offset)[0]

    def _empty_line(self, offset: int) -> None:
        if self.source and not self._fresh and self.source.position(offset)[0] - self._line > 1:
            self.lines.append("")

    def _flush(self, offset: int) -> None:
        while self.comments and self.comments[-1].start < offset:
            comment = self.comments.pop()
            if comment.alone or not self.lines:
                self._empty_line(comment.start)
                self._put(comment.text)
                self._ends(comment.start)
            else:
                self.lines[-1] += "  " + comment.text


def _one_line(value: Value) -> str:
    if isinstance(value, Scalar):
        return print_value(value)
    items = value.items if isinstance(value, ListValue) else ()
    return "[" + ", ".join(print_value(i) for i in items if isinstance(i, Scalar)) + "]"
