"""Where parsing goes on behind a statement with a syntax error."""

from __future__ import annotations

from collections.abc import Sequence

from netc.diagnostics import Source
from netc.language.tokens import Token

_OPENING = {"(": ")", "[": "]", "{": "}", "${": "}"}
_CLOSING = frozenset(_OPENING.values())


def next_statement(tokens: Sequence[Token], start: int, fault: int, source: Source) -> int:
    """The index of the token that the next statement starts with.

    It is the first token of a line behind the error at which all brackets of the broken statement
    are closed. Where they never are, or the closing one is indented less than the statement, a
    bracket is missing; then it is the first line that is indented no deeper than the statement.

    Args:
        tokens: of the text, "end" the last.
        start: index of the statement's first token.
        fault: index of the token with the error.
        source: of the tokens.
    """
    indent = source.position(tokens[start].start)[1]
    depth = 0
    for at in range(start, len(tokens)):
        token = tokens[at]
        if token.kind == "end":
            break
        outside = at > max(start, fault - 1) and token.fresh
        if outside and _column(source, token) <= indent and token.text not in _CLOSING:
            return at
        if token.kind == "op":
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
            if depth < 0:  # the end of the block around the statement
                return max(at, start + 1)
        if outside and depth <= 0 and token.text not in _CLOSING:
            return at
    return at


def _column(source: Source, token: Token) -> int:
    return source.position(token.start)[1]
