"""The comments of a text, which the tree does not hold."""

from __future__ import annotations

import re
from typing import NamedTuple

from netc.diagnostics import Source
from netc.syntax.lexer import tokens

_COMMENT = re.compile(r"#[^\r\n]*")


class Comment(NamedTuple):
    """A comment: the offset of its ``#``, its text, and whether it is alone on its line."""

    start: int
    text: str
    alone: bool


def comments_of(source: Source) -> list[Comment]:
    """The comments of a text without lexical errors, in order."""
    if "#" not in source.text:
        return []
    found = []
    for token in tokens(source.text):
        start, end = token.start(), token.start(token.lastindex or 0)
        for match in _COMMENT.finditer(source.text, start, end):
            found.append(_comment(source, match.start(), match[0].rstrip()))
    return found


def _comment(source: Source, start: int, text: str) -> Comment:
    _, column = source.position(start)
    before = source.text[start - column + 1 : start]
    return Comment(start, text, not before.strip(" \t\v\f\ufeff"))
