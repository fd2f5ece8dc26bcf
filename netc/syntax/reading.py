"""A reading of faulty tokens by the grammar's own tables: what has come, and what could come.

No tree is built. What is wrong, and how to go on, is for ``repair`` to say.
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


class Reduced(NamedTuple):
    """A nonterminal on the stack, and the first token of it."""

    name: str
    first: LocatedToken | None


_Tops = tuple[list[int], list["LocatedToken | Reduced"]]


@dataclass
class Automaton:
    """The parser's stack without the values: states, and what symbol led to each."""

    states: list[int] = field(default_factory=lambda: [load_tables().start])
    symbols: list[LocatedToken | Reduced] = field(default_factory=list)

    def allows(self, terminal: str) -> bool:
        """Whether a terminal can come: be shifted, or end the text, after reductions for it."""
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
        """Go on by a token if it is allowed, else leave all as it is; whether it was.

        The end of the text is reduced for, not shifted.
        """
        tables, number = load_tables(), piece.lastindex
        states, symbols, undo = self.states, self.symbols, list[_Tops]()
        while (act := tables.actions[states[-1]][number]) < 0:
            length, origin, _ = tables.rules[~act]
            kept = len(symbols) - length
            reduced = Reduced(origin, self.first(length) if length else None)
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
        """The first token of the symbol this deep; None where it has none."""
        symbol = self.symbols[-depth] if len(self.symbols) >= depth else None
        return symbol.first if isinstance(symbol, Reduced) else symbol

    def push(self, state: int, symbol: LocatedToken | Reduced) -> None:
        """Enter a state by a symbol."""
        self.states.append(state)
        self.symbols.append(symbol)

    def pop(self, count: int) -> None:
        """Leave the last symbols."""
        if count:
            del self.states[-count:]
            del self.symbols[-count:]


class Reading:
    """Tokens, the place among them, and the stack of what came before.

    Attributes:
        at: the number of the token that is to come next.
        braces: the braces that came.
        name: the last word that came.
        faults: what was told so far.
        mistrusted: lines of which nothing more is told.
        steps: tokens taken since the last repair.
        follows: whether the fault at hand stands so close to another that it follows from it.
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
        """Whether the end of the text was taken."""
        return self.at >= len(self.pieces)

    @property
    def here(self) -> LocatedToken:
        """The token that is to come next."""
        return self.pieces[self.at]

    @property
    def next(self) -> LocatedToken:
        """The token behind it; the end of the text stands behind itself."""
        return self.pieces[min(self.at + 1, len(self.pieces) - 1)]

    def top(self, depth: int = 1) -> LocatedToken | None:
        """The token on top of the stack, or below; None where a nonterminal stands."""
        symbols = self.stack.symbols
        symbol = symbols[-depth] if len(symbols) >= depth else None
        return symbol if isinstance(symbol, LocatedToken) else None

    def tops(self, *terminals: str) -> bool:
        """Whether the stack ends in these terminals."""
        found = [self.top(depth) for depth in range(len(terminals), 0, -1)]
        return [p.terminal if p else "" for p in found] == list(terminals)

    def top_is(self, *terminals: str) -> bool:
        """Whether one of these came last."""
        top = self.top()
        return top is not None and top.terminal in terminals

    def can(self, terminal: str) -> bool:
        """Whether a terminal could come here."""
        return self.stack.allows(terminal)

    def shift(self) -> bool:
        """Take the tokens at hand as long as the grammar lets them come; whether one could.

        A text of a megabyte has a million tokens, and nearly all of them come this way: what
        needs no reduction is shifted at once, and only braces go to those who count them.
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
        """Leave the token at hand out."""
        self.braces.leave(self.here)
        self.at += 1

    def insert(self, terminal: str, text: str) -> None:
        """Put a token in before the one at hand; it stands where the one before it ends."""
        begin = self.pieces[self.at - 1].stop if self.at else self.here.begin
        self.pieces.insert(self.at, LocatedToken(terminal, text, begin, begin, unknown=True))
        self.braces.leave(self.here, -1)

    def replace(self, terminal: str, text: str) -> None:
        """Read the token at hand as another."""
        old = self.here
        self.braces.leave(old)
        self.pieces[self.at] = LocatedToken(terminal, text, old.begin, old.stop)
        self.braces.leave(self.here, -1)

    def line(self, offset: int) -> int:
        """The line of an offset."""
        return self.source.position(offset)[0]

    def follows_on_line(self) -> bool:
        """Whether the token at hand stands on the line on which the one before it ends."""
        top = self.top()
        return top is not None and self.line(top.stop) == self.line(self.here.begin)

    def drop_text(self) -> LocatedToken:
        """Leave out the rest of a line's words, as far as a block's end; returns the last."""
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
        """Tell a fault, unless an earlier one on its line explains it; whether it was told."""
        if self.follows or at.unknown or self.line(at.begin) in self.mistrusted:
            return False
        span = Span(self.source, at.begin, (last or at).stop)
        self.faults.append(Diagnostic(code, message, span, help=(help,) if help else ()))
        return True

    def note(self, message: str, piece: LocatedToken) -> None:
        """Add a second place to the fault told last."""
        last = self.faults[-1]
        note = Note(message, Span(self.source, piece.begin, piece.stop))
        self.faults[-1] = replace(last, notes=(*last.notes, note))

    def mistrust_line(self, piece: LocatedToken) -> None:
        """Tell nothing more of a token's line."""
        self.mistrusted.add(self.line(piece.begin))
