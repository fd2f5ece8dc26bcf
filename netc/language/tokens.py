"""Text of the dialect to tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.language.hints import SIGNS
from netc.syntax.limits import MAX_TOKENS
from netc.syntax.wording import character

_TOKEN = re.compile(
    r"""(?:[ \t\r\n\v\f]+|\#[^\r\n]*)*(?:
    (?P<float>(?:[0-9]+\.(?!\.)[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?(?![0-9A-Za-z_]|\.(?!\.))
      |[0-9]+(?:[eE][+-]?[0-9]+[fF]?|[fF])(?![0-9A-Za-z_]|\.(?!\.)))
    |(?P<int>(?:0[xX][0-9A-Fa-f]{1,400}|0[0-7]{0,400}|[1-9][0-9]{0,400})(?![0-9A-Za-z_]|\.(?!\.)))
    |(?P<name>[A-Za-z_][0-9A-Za-z_]*)
    |(?P<string>"[^"\\\r\n]*(?:\\[^\r\n][^"\\\r\n]*)*"|'[^'\\\r\n]*(?:\\[^\r\n][^'\\\r\n]*)*')
    |(?P<op>->|\*\*|//|\.\.=|\.\.\.|\.\.|[=!<>]=|\$\{|[-+*/%<>=(){}\[\],:;.])
    |(?P<end>\Z)
    |(?P<bad>[0-9.][0-9A-Za-z_.]*|["'][^\r\n]*|[\s\S])
    )""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A word of the text.

    ``kind`` is "name", "int", "float", "string", "op" or "end"; ``fresh`` says whether it is the
    first of its line.
    """

    kind: str
    text: str
    start: int
    end: int
    fresh: bool


def scan(text: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """The tokens of a part of a text, "bad" ones as well; "end" is the last."""
    stop = len(text) if end is None else end
    at = start
    while True:
        match = _TOKEN.match(text, at, stop)
        assert match is not None and match.lastgroup is not None  # some group always matches
        kind = match.lastgroup
        first, at = match.span(kind)
        before = text[match.start() : first]
        yield Token(kind, match[kind], first, at, "\n" in before or "\r" in before)
        if kind == "end":
            return


def tokens_of(source: Source, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of a part of a source, "end" the last.

    Raises:
        NetcError: what is no token, or too many.
    """
    found: list[Token] = []
    for token in scan(source.text, start, end):
        if token.kind == "bad":
            raise NetcError(_bad(source, token))
        found.append(token)
        if len(found) > MAX_TOKENS:
            message = f"more than {MAX_TOKENS:,} tokens"
            raise NetcError(Diagnostic("too-large", message, span_of(source, token)))
    return found


def span_of(source: Source, token: Token) -> Span:
    """A token's place."""
    return Span(source, token.start, token.end)


def _bad(source: Source, token: Token) -> Diagnostic:
    text, span = token.text, span_of(source, token)
    if text[0] in "\"'":
        message = f"the string that starts here has no closing `{text[0]}` on its line"
        return Diagnostic("unterminated-string", message, span)
    if text[0].isdigit() or len(text) > 1:
        return Diagnostic("bad-number", f"`{text[:40]}` is no number", span)
    if text == "$":
        help = ("the value of a parameter is `${NAME}`",)
        return Diagnostic("bad-character", "`$` stands only before `{`", span, help=help)
    known = (SIGNS[text],) if text in SIGNS else ()
    return Diagnostic("bad-character", f"{character(text)} has no meaning here", span, help=known)
