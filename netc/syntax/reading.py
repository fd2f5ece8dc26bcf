"""The state of parsing a text with errors: what came, and what the grammar allows next.

No tree is built. Which error it is, and how to go on, is decided in ``repair``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from netc.diagnostics import Diagnostic, Note, Span
from netc.syntax.braces import Braces
from netc.syntax.lexed import Lexed
from netc.syntax.pieces import CLOSERS, OPENERS, LocatedToken, terminal_number
from netc.syntax.tables import load_tables

_BRACES = {*CLOSERS, *OPENERS}
_ENDS_TEXT = {*CLOSERS, *OPENERS, "COMMA", "SEMICOLON", "RSQB", "$END"}


class Nonterminal(NamedTuple):
    """A nonterminal on the stack, and its first token."""

    name: str
    first: LocatedToken | None


_Tops = tuple[list[int], list["LocatedToken | Nonterminal"]]


@dataclass
class Automaton:
    """The parser's stack without values: states, and the symbol that led to each."""

    states: list[int] = field(default_factory=lambda: [load_tables().start])
    symbols: list[LocatedToken | Nonterminal] = field(default_factory=list)

    def allows(self, terminal: str) -> bool:
        """Whether a terminal is legal next, to be shifted or as the end, after reductions."""
        tables, number = load_tables(), terminal_number(terminal)
        kept, beyond = len(self.states), list[int]()  # the stack as it would be, not copied
        state = self.states[-1]
        while (act := tables.actions[state][number]) < 0:
            length, origin, _ = tables.rules[~act]
            kept -= max(0, length - len(beyond))
            del beyond[max(0, len(beyond) - length) :]
            state = tables.gotos[beyond[-1] if beyond else self.states[kept - 1]][origin]
            beyond.append(state)
        return act > 0 or (terminal == "$END" and state == tables.accept)

    def take(self, piece: LocatedToken) -> bool:
        """Shift a token if it is legal, else change nothing; returns whether it was.

        At the end of the text the reductions are made, and nothing is shifted.
        """
        tables, number = load_tables(), piece.lastindex
        states, symbols, undo = self.states, self.symbols, list[_Tops]()
        while (act := tables.actions[states[-1]][number]) < 0:
            length, origin, _ = tables.rules[~act]
            kept = len(symbols) - length
            reduced = Nonterminal(origin, self.first(length) if length else None)
            undo.append((states[kept + 1 :], symbols[kept:]))
            states[kept + 1 :], symbols[kept:] = (), (reduced,)
            states.append(tables.gotos[states[-1]][origin])
        if act:
            self.push(act, piece)
        elif piece.terminal != "$END" or states[-1] != tables.accept:
            for old_states, old_symbols in reversed(undo):
                states[-1:], symbols[-1:] = old_states, old_symbols
            return False
        return True

    def first(self, depth: int) -> LocatedToken | None:
        """The first token of the symbol at a depth of the stack; None where it has none."""
        symbol = self.symbols[-depth] if len(self.symbols) >= depth else None
        return symbol.first if isinstance(symbol, Nonterminal) else symbol

    def push(self, state: int, symbol: LocatedToken | Nonterminal) -> None:
        """Push a symbol and the state that it leads to."""
        self.states.append(state)
        self.symbols.append(symbol)

    def pop(self, count: int) -> None:
        """Pop symbols and their states."""
        if count:
            del self.states[-count:]
            del self.symbols[-count:]


class ParserState:
    """The tokens, the current one, and the stack of what came before.

    Attributes:
        at: the index of the current token, which is to be read next.
        braces: the braces read so far.
        name: the last word read.
        faults: the errors reported so far.
        mistrusted: lines of which no further error is reported.
        steps: tokens read since the last repair.
        follows: whether the current error is so close to another that it probably follows from it.
    """

    def __init__(self, lexed: Lexed) -> None:
        self.source = lexed.source
        self.pieces = lexed.pieces
        self.stack = Automaton()
        self.at = 0
        self.name = ""
        self.faults: list[Diagnostic] = []
        self.mistrusted = set(lexed.lines)
        self.steps = 0
        self.follows = False
        self.braces = Braces(lexed.source)
        for piece in self.pieces:
            if piece.terminal in _BRACES:
                self.braces.leave(piece, -1)

    @property
    def done(self) -> bool:
        """Whether the end of the text was read."""
        return self.at >= len(self.pieces)

    @property
    def here(self) -> LocatedToken:
        """The current token."""
        return self.pieces[self.at]

    @property
    def next(self) -> LocatedToken:
        """The token behind the current one; at the end, the end itself."""
        return self.pieces[min(self.at + 1, len(self.pieces) - 1)]

    def top(self, depth: int = 1) -> LocatedToken | None:
        """The token at a depth of the stack, 1 its top; None where a nonterminal is."""
        symbols = self.stack.symbols
        symbol = symbols[-depth] if len(symbols) >= depth else None
        return symbol if isinstance(symbol, LocatedToken) else None

    def tops(self, *terminals: str) -> bool:
        """Whether the stack ends in these terminals."""
        found = [self.top(depth) for depth in range(len(terminals), 0, -1)]
        return [p.terminal if p else "" for p in found] == list(terminals)

    def top_is(self, *terminals: str) -> bool:
        """Whether the top of the stack is one of these terminals."""
        top = self.top()
        return top is not None and top.terminal in terminals

    def can(self, terminal: str) -> bool:
        """Whether a terminal would be legal next."""
        return self.stack.allows(terminal)

    def shift(self) -> bool:
        """Read tokens as long as they are legal; returns whether one was.

        A text of a megabyte has a million tokens, and nearly all of them come this way: what needs
        no reduction is shifted at once, and only braces are counted.
        """
        take, pieces, start = self.stack.take, self.pieces, self.at
        actions, states, symbols = load_tables().actions, self.stack.states, self.stack.symbols
        for piece in islice(pieces, start, None):
            act = actions[states[-1]][piece.lastindex]
            if act > 0:
                states.append(act)
                symbols.append(piece)
            elif not take(piece):
                break
            terminal = piece.terminal
            if terminal == "IDENTIFIER":
                self.name = piece.text
            elif terminal in _BRACES:
                self.braces.meet(piece, self.name)
                self.braces.leave(piece)
            self.steps += piece.begin < piece.stop
            self.at += 1
        return self.at > start

    def drop(self) -> None:
        """Skip the current token."""
        self.braces.leave(self.here)
        self.at += 1

    def insert(self, terminal: str, text: str) -> None:
        """Insert a token before the current one; its place is the end of the token before it."""
        begin = self.pieces[self.at - 1].stop if self.at else self.here.begin
        self.pieces.insert(self.at, LocatedToken(terminal, text, begin, begin, unknown=True))
        self.braces.leave(self.here, -1)

    def replace(self, terminal: str, text: str) -> None:
        """Replace the current token by another, at its place."""
        old = self.here
        self.braces.leave(old)
        self.pieces[self.at] = LocatedToken(terminal, text, old.begin, old.stop)
        self.braces.leave(self.here, -1)

    def line(self, offset: int) -> int:
        """The number of the line that an offset is on."""
        return self.source.position(offset)[0]

    def follows_on_line(self) -> bool:
        """Whether the current token is on the line on which the one before it ends."""
        top = self.top()
        return top is not None and self.line(top.stop) == self.line(self.here.begin)

    def drop_text(self) -> LocatedToken:
        """Skip the rest of a line's words, up to a block's end; returns the last one skipped."""
        last, line = self.here, self.line(self.here.begin)
        while self.here.terminal not in _ENDS_TEXT and self.line(self.here.begin) == line:
            last = self.here
            self.drop()
        return last

    def report(
        self,
        code: str,
        message: str,
        at: LocatedToken,
        last: LocatedToken | None = None,
        help: str = "",
    ) -> bool:
        """Report an error unless an earlier one on its line explains it; returns whether it did."""
        if self.follows or at.unknown or self.line(at.begin) in self.mistrusted:
            return False
        span = Span(self.source, at.begin, (last or at).stop)
        self.faults.append(Diagnostic(code, message, span, help=(help,) if help else ()))
        return True

    def note(self, message: str, piece: LocatedToken) -> None:
        """Add a note with a second place to the last error."""
        last = self.faults[-1]
        note = Note(message, Span(self.source, piece.begin, piece.stop))
        self.faults[-1] = replace(last, notes=(*last.notes, note))

    def mistrust_line(self, piece: LocatedToken) -> None:
        """Report no further errors on a token's line."""
        self.mistrusted.add(self.line(piece.begin))
