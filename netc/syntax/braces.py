"""Errors about braces: the grammar knows that one is missing, the indentation tells where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from netc.diagnostics import Diagnostic, Note, Source, Span
from netc.syntax.lexer import SIMPLE, tokens_and_fields
from netc.syntax.pieces import CLOSERS, OPENERS, LocatedToken
from netc.syntax.tables import load_tables


class OpenBrace(NamedTuple):
    """An opening brace and the name before it."""

    brace: LocatedToken
    name: str

    @property
    def head(self) -> str:
        """The first words of the block: ``layer {``."""
        return f"{self.name} {self.brace.text}".strip()


@dataclass
class Braces:
    """The braces read so far.

    Attributes:
        opened: blocks not yet closed, the innermost last.
        closed: blocks with their closing brace, in the order in which they were closed.
        nested: the first block within one of its own name, which no net means.
        ahead: closing less opening braces in the rest of the text.
    """

    source: Source
    ahead: int = 0
    opened: list[OpenBrace] = field(default_factory=list)
    closed: list[tuple[OpenBrace, LocatedToken]] = field(default_factory=list)
    nested: tuple[OpenBrace, OpenBrace] | None = None

    def leave(self, piece: LocatedToken, sign: int = 1) -> None:
        """Count a token of the rest of the text as read; with ``sign`` -1, as inserted there."""
        self.ahead += sign * ((piece.terminal in OPENERS) - (piece.terminal in CLOSERS))

    def meet(self, piece: LocatedToken, name: str) -> None:
        """Record a token that was read; ``name`` is the last word before it."""
        if piece.terminal in OPENERS:
            block = OpenBrace(piece, name)
            if self.nested is None:
                self.nested = next(((b, block) for b in self.opened if b.name == name), None)
            self.opened.append(block)
        elif piece.terminal in CLOSERS and self.opened:
            self.closed.append((self.opened.pop(), piece))

    @property
    def surplus(self) -> int:
        """How many more closing braces are to come than blocks are open."""
        return self.ahead - len(self.opened)

    def unclosed(self) -> Diagnostic:
        """The error unclosed-brace of a text that ends within a block."""
        wrong = self._closed_by_another()
        if wrong:
            block, brace = wrong
            note = Note(
                f"this `{brace.text}` stands further left than `{block.head}`: "
                "it was meant for a block around it",
                Span(self.source, brace.begin, brace.stop),
            )
            return self._never_closed(block, (note,), (f"close `{block.head}` before it",))
        if self.nested and self.nested[0] in self.opened:
            block, inner = self.nested
            note = Note(f"the next `{inner.head}` is still within it", self._span(inner))
            return self._never_closed(block, (note,), (f"close `{block.head}` before that",))
        *outer, block = self.opened
        notes = (Note(f"`{outer[0].head}` is open as well", self._span(outer[0])),) if outer else ()
        return self._never_closed(block, notes, (self._how_to_close(),))

    def _never_closed(
        self, block: OpenBrace, notes: tuple[Note, ...], help: tuple[str, ...]
    ) -> Diagnostic:
        message = f"the block `{block.head}` is never closed"
        return Diagnostic("unclosed-brace", message, self._span(block), notes=notes, help=help)

    def _span(self, block: OpenBrace) -> Span:
        return Span(self.source, block.brace.begin, block.brace.stop)

    def _how_to_close(self) -> str:
        text = self.source.text
        if not text.endswith(("\n", "\r", "}", ">")):
            return "the text ends in the middle of a block: was the file downloaded whole?"
        return f"add a `{OPENERS[self.opened[-1].brace.terminal]}` where the block ends"

    def _closed_by_another(self) -> tuple[OpenBrace, LocatedToken] | None:
        """The first block whose closing brace stands further left than the block's line."""
        for block, brace in self.closed:
            opening, closing = self._indent(block.brace.begin), self._indent(brace.begin)
            alone = self._starts_line(brace.begin)
            if alone and closing != opening and opening.startswith(closing):
                return block, brace
        return None

    def _line(self, offset: int) -> str:
        return self.source.line(self.source.position(offset)[0])

    def _indent(self, offset: int) -> str:
        line = self._line(offset)
        return line[: len(line) - len(line.lstrip())]

    def _starts_line(self, offset: int) -> bool:
        _, column = self.source.position(offset)
        return not self._line(offset)[: column - 1].strip()


def unclosed_block(source: Source) -> Diagnostic | None:
    """The error of a text that is correct but ends within a block; None for other texts.

    The same as ``repair`` finds, in a tenth of its time: a million tokens may come before the end,
    and the braces among them are all that matters.
    """
    braces, name, terminals = Braces(source), "", load_tables().terminals
    before = len(SIMPLE) - 1
    for token in tokens_and_fields(source.text):
        kind = token.lastindex or 0
        if kind < before:
            name = token[kind] if SIMPLE[kind] == "identifier" else token[1]
            continue
        terminal = terminals[kind - before] if kind > before else "LBRACE"
        if kind == before or terminal == "IDENTIFIER":
            name = token[kind] if kind > before else token[1]
        if terminal in OPENERS or terminal in CLOSERS:
            braces.meet(LocatedToken(terminal, token[kind], *token.span(kind)), name)
    return braces.unclosed() if braces.opened else None
