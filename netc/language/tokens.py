"""Lexer of the dialect: text to tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.language.hints import SIGNS
from netc.syntax import foreign
from netc.syntax.limits import MAX_TOKENS
from netc.syntax.wording import character, short

_TOKEN = re.compile(
    r"""(?:[ \t\r\n\v\f]+|\#[^\r\n]*)*(?:
    (?P<float>(?:[0-9]+\.(?!\.)[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?(?![0-9A-Za-z_]|\.(?!\.))
      |[0-9]+(?:[eE][+-]?[0-9]+[fF]?|[fF])(?![0-9A-Za-z_]|\.(?!\.)))
    |(?P<int>(?:0[xX][0-9A-Fa-f]{1,400}|0[0-7]{0,400}|[1-9][0-9]{0,400})(?![0-9A-Za-z_]|\.(?!\.)))
    |(?P<name>[A-Za-z_][0-9A-Za-z_]*)
    |(?P<string>"[^"\\\r\n]*(?:\\[^\r\n][^"\\\r\n]*)*"|'[^'\\\r\n]*(?:\\[^\r\n][^'\\\r\n]*)*')
    |(?P<foreign>[\u2010-\u2015\u2212]>|[{SIGNS}]|=>|~>|\|>)
    |(?P<op>->|\*\*|//|\.\.=|\.\.\.|\.\.|[=!<>]=|\$\{|[-+*/%<>=(){}\[\],:;.])
    |(?P<end>\Z)
    |(?P<blank>[{BLANKS}]+)
    |(?P<quoted>{QUOTED})
    |(?P<bad>[0-9.][0-9A-Za-z_.]*|["'][^\r\n]*|[\s\S])
    )""".replace("{BLANKS}", foreign.BLANKS)
    .replace("{QUOTED}", foreign.QUOTED.replace(" ", "[ ]"))
    .replace("{SIGNS}", re.escape("".join(foreign.SIGNS))),
    re.VERBOSE,
)
_ARROWS = ("=>", "~>", "|>")


class Token(NamedTuple):
    """A token and its place.

    ``kind`` is "name", "int", "float", "string", "op" or "end"; ``fresh`` says whether it is the
    first of its line.
    """

    kind: str
    text: str
    start: int
    end: int
    fresh: bool


def scan(text: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """The tokens of a part of a text, "end" the last.

    What is no legal token is given too, with a kind that :func:`tokens_of` reports.
    """
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


def tokens_of(
    source: Source, faults: list[Diagnostic], start: int = 0, end: int | None = None
) -> list[Token]:
    """The tokens of a part of a source, "end" the last.

    For an illegal token an error is added to ``faults`` (bad-character, bad-number,
    unterminated-string ...) and a legal token takes its place, so that parsing can go on.

    Raises:
        NetcError: too-large, for too many tokens.
    """
    found: list[Token] = []
    for token in scan(source.text, start, end):
        if token.kind in _FAULTS:
            faults.append(_FAULTS[token.kind](source, token))
            legal = _legal(token)
            if legal is None:
                continue
            token = legal
        found.append(token)
        if len(found) > MAX_TOKENS:
            message = f"more than {MAX_TOKENS:,} tokens"
            raise NetcError(Diagnostic("too-large", message, span_of(source, token)))
    return found


def span_of(source: Source, token: Token) -> Span:
    """The place of a token."""
    return Span(source, token.start, token.end)


def _legal(token: Token) -> Token | None:
    """What is to be read in a fault's place; None for a blank."""
    if token.kind == "foreign":
        return token._replace(kind="op", text=meant_sign(token.text))
    if token.kind == "quoted" or token.text[0] in "\"'":
        return token._replace(kind="string", text='""')
    if token.kind == "bad" and token.text[0].isdigit():
        return token._replace(kind="int", text="0")
    return None


def meant_sign(text: str) -> str:
    """The operator of the dialect that one of another language means; "" where there is none."""
    return "->" if text in _ARROWS else foreign.meant(text)


def _foreign(source: Source, token: Token) -> Diagnostic:
    meant = meant_sign(token.text)
    told = short(token.text) if token.text.isascii() else character(token.text)
    message, help = f"{told} is no sign of the language", f"write `{meant}`"
    return Diagnostic("bad-character", message, span_of(source, token), help=(help,))


def _blank(source: Source, token: Token) -> Diagnostic:
    message = f"{character(token.text)} is no blank that separates words"
    help = "write a blank for it; texts copied from web pages have such"
    return Diagnostic("bad-character", message, span_of(source, token), help=(help,))


def _quoted(source: Source, token: Token) -> Diagnostic:
    mark = next(c for c in (token.text[0], token.text[-1]) if c not in "\"'")
    message = f'`{mark}` is a typographic quotation mark; a string stands in `"`'
    help = ('replace both marks by `"`',)
    return Diagnostic("bad-character", message, span_of(source, token), help=help)


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


_FAULTS = {"foreign": _foreign, "blank": _blank, "quoted": _quoted, "bad": _bad}
