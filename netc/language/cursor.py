"""A cursor over tokens, and the error where another token stands than must come next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.language.limits import MAX_NESTING
from netc.language.tokens import Token, span_of, tokens_of
from netc.syntax.wording import short


class Cursor:
    """Reads tokens one after another.

    Attributes:
        ending: what messages call the end of the tokens.
        faults: lexical errors of single tokens, found before the grammar is applied.
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
        """The next token, which has not been read."""
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> Token:
        """The token ``count`` behind the next one; the "end" token where there is none."""
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def take(self) -> Token:
        """Read the next token and return it; the "end" token is never passed."""
        token = self.here
        if token.kind != "end":
            self.at += 1
        return token

    def is_op(self, *texts: str) -> bool:
        """Whether the next token is one of these operators."""
        token = self.tokens[self.at]
        return token.kind == "op" and token.text in texts

    def is_word(self, *texts: str) -> bool:
        """Whether the next token is one of these words."""
        token = self.tokens[self.at]
        return token.kind == "name" and token.text in texts

    def skip(self, text: str) -> bool:
        """Read an operator if it comes next; returns whether it did."""
        if self.is_op(text):
            self.at += 1
            return True
        return False

    def expect(self, text: str, why: str) -> Token:
        """Read an operator that must come next; ``why`` ends the message where it does not.

        Raises:
            NetcError: syntax.
        """
        if not self.is_op(text):
            raise self.fault(f"`{text}` is missing {why}")
        return self.take()

    def name(self, what: str) -> Token:
        """Read a word that must come next; ``what`` names it in the message.

        Raises:
            NetcError: syntax.
        """
        if self.here.kind != "name":
            raise self.fault(f"{what} is missing")
        return self.take()

    def span(self, first: Token, last: Token | None = None) -> Span:
        """The place from one token to another, or to the last one that was read."""
        end = last or self.tokens[self.at - 1 if self.at else 0]
        return Span(self.source, first.start, end.end if end.end > first.end else first.end)

    def token_span(self, token: Token) -> Span:
        """The place of a token."""
        return span_of(self.source, token)

    def fault(self, message: str, *help: str, at: Token | None = None) -> NetcError:
        """The error syntax at the next token, or at another; to be raised."""
        token = at or self.here
        shown = self.ending if token.kind == "end" else short(token.text)
        told = f"{message} before {shown}" if message.endswith("missing") else message
        if " is missing " in message:
            told = f"{message}; {shown} stands there"
        return NetcError(Diagnostic("syntax", told, self.token_span(token), help=help))

    @contextmanager
    def nested(self) -> Iterator[None]:
        """A context one level of nesting deeper.

        Raises:
            NetcError: too-deep, beyond ``MAX_NESTING`` levels.
        """
        self.depth += 1
        if self.depth > MAX_NESTING:
            message = f"blocks, parentheses and operators nest deeper than {MAX_NESTING}"
            raise NetcError(Diagnostic("too-deep", message, self.token_span(self.here)))
        yield
        self.depth -= 1
