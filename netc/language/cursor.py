"""The place in a row of tokens, and what is said when something else stands there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.language.limits import MAX_NESTING
from netc.language.tokens import Token, span_of, tokens_of
from netc.syntax.wording import short


class Cursor:
    """Reads tokens one behind the other.

    Attributes:
        ending: what is said to stand behind the last token.
        faults: of single words, found before the grammar is asked.
    """

    ending = "the end of the text"

    def __init__(self, source: Source, start: int = 0, end: int | None = None) -> None:
        self.source = source
        self.faults: list[Diagnostic] = []
        self.tokens = tokens_of(source, self.faults, start, end)
        self.at = 0
        self.depth = 0

    @property
    def here(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> Token:
        """A token behind it; the end stands behind itself."""
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def take(self) -> Token:
        """The next token, and go on."""
        token = self.here
        if token.kind != "end":
            self.at += 1
        return token

    def is_op(self, *texts: str) -> bool:
        """Whether one of these signs comes next."""
        token = self.tokens[self.at]
        return token.kind == "op" and token.text in texts

    def is_word(self, *texts: str) -> bool:
        """Whether one of these words comes next."""
        token = self.tokens[self.at]
        return token.kind == "name" and token.text in texts

    def skip(self, text: str) -> bool:
        """Go past a sign if it comes next; whether it did."""
        if self.is_op(text):
            self.at += 1
            return True
        return False

    def expect(self, text: str, why: str) -> Token:
        """Go past a sign that must come next."""
        if not self.is_op(text):
            raise self.fault(f"`{text}` is missing {why}")
        return self.take()

    def name(self, what: str) -> Token:
        """Go past a word that must come next."""
        if self.here.kind != "name":
            raise self.fault(f"{what} is missing")
        return self.take()

    def span(self, first: Token, last: Token | None = None) -> Span:
        """From one token to another, or to the one before the next."""
        end = last or self.tokens[self.at - 1 if self.at else 0]
        return Span(self.source, first.start, end.end if end.end > first.end else first.end)

    def token_span(self, token: Token) -> Span:
        """A token's place."""
        return span_of(self.source, token)

    def fault(self, message: str, *help: str, at: Token | None = None) -> NetcError:
        """What is wrong at the next token, or another; to be raised."""
        token = at or self.here
        shown = self.ending if token.kind == "end" else short(token.text)
        told = f"{message} before {shown}" if message.endswith("missing") else message
        if " is missing " in message:
            told = f"{message}; {shown} stands there"
        return NetcError(Diagnostic("syntax", told, self.token_span(token), help=help))

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Go one level down."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            message = f"blocks, parentheses and operators nest deeper than {MAX_NESTING}"
            raise NetcError(Diagnostic("too-deep", message, self.token_span(self.here)))
        yield
        self.depth -= 1
