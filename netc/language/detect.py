"""Whether a text is written in the dialect, or is plain prototxt."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from netc.diagnostics import Source
from netc.language.parser import TYPES
from netc.language.tokens import Token, meant_sign, scan
from netc.syntax.parser import parse_plain

_SIGNS = ("->", "→", "⟶", "⇒", "➔", "➜", "${")
_STATEMENTS = {
    word: rf"{word}(?<=\b{word})[ \t]+[\"'\w(\[]"  # the word first: found by memchr
    for word in "param let module repeat for if include input expect phase".split()
}
_TEMPLATE = r"(?m)^[ \t]*\{%[^\r\n]{0,400}?%\}"
_AHEAD = 4


def in_dialect(source: Source) -> bool:
    """Whether a text has a construct that prototxt does not have."""
    if not _may_be(source.text):
        return False
    if "{%" in source.text and re.search(_TEMPLATE, source.text):  # whose loop looks like ours
        return False
    return parse_plain(source) is None and is_dialect(source)


def _may_be(text: str) -> bool:
    """A quick answer, which is right where it is no."""
    if any(sign in text for sign in _SIGNS):
        return True
    return any(word in text and re.search(rule, text) for word, rule in _STATEMENTS.items())


def is_dialect(source: Source) -> bool:
    """Whether a text that is not valid prototxt is meant to be in the dialect.

    Only constructs that cannot be a slip in prototxt count, unless the file is a ``.netc``.
    """
    named = source.name.endswith(".netc")
    row: deque[Token] = deque(maxlen=_AHEAD)
    for token in _padded(scan(source.text)):
        row.append(token)
        if len(row) == _AHEAD and _tells(row, named):
            return True
    return False


def _padded(found: Iterable[Token]) -> Iterable[Token]:
    last = Token("end", "", 0, 0, False)
    for token in found:
        last = token
        yield token
    yield from [last] * (_AHEAD - 1)


def _tells(row: Iterable[Token], named: bool) -> bool:
    """Whether four tokens in a row can only be of the dialect."""
    first, second, third, fourth = row
    if first.kind == "foreign":
        return meant_sign(first.text) == "->" and second.kind == "name"
    if first.kind == "op":
        arrow = first.text == "->" and second.kind == "name"
        return arrow or (first.text == "${" and third.text != "}")
    if first.kind != "name":
        return False
    if named and second.text == "(":
        return True
    return _statement(first.text, second, third, fourth)


def _statement(word: str, second: Token, third: Token, fourth: Token) -> bool:
    """Whether a keyword with what follows is a statement's head."""
    if word == "include":
        return second.kind == "string"
    if word in ("repeat", "if"):
        return second.kind in ("name", "int") and third.text in ("{", "in", ",", "==", "<", ">")
    if second.kind not in ("name", "string"):
        return False
    if word == "param":
        return third.text in ("=", "in") or (third.text == ":" and fourth.text in (*TYPES, "["))
    if word in ("input", "expect"):
        return third.text == ":" and fourth.text == "["
    follows = {"let": ("=",), "module": ("(", ":"), "for": ("in", ","), "phase": ("{",)}
    return third.text in follows.get(word, ())
