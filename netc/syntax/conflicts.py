"""Git's merge conflict markers in a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from netc.diagnostics import Note, Span
from netc.syntax.lexed import Lexed
from netc.syntax.pieces import LocatedToken

_SIDES = {
    "|": "what both came from starts here",
    "=": "the other side starts here",
    ">": "the conflict ends here",
}


def without_conflicts(lexed: Lexed, found: Iterable[LocatedToken]) -> Iterator[LocatedToken]:
    """The tokens without conflict markers and the other side of each conflict.

    The side before ``=======`` stays; each conflict is reported to ``lexed`` as merge-conflict.
    """
    conflicts = _Conflicts(lexed)
    for piece in found:
        if piece.terminal == "CONFLICT":
            conflicts.meet(piece)
        elif not conflicts.skipping or piece.terminal == "$END":
            yield piece


@dataclass
class _Conflicts:
    """Where in a conflict we are; ``fault`` is the number of the one at hand, -1 before any."""

    lexed: Lexed
    depth: int = 0
    fault: int = -1
    skipping: bool = False

    def meet(self, piece: LocatedToken) -> None:
        """Take a mark. One merge upon another has no sides: only its first mark is told."""
        mark = piece.text[0]
        reported = self.fault >= 0
        if mark == "<" and self.depth:
            self.lexed.untrusted = True
        elif not self.lexed.untrusted and (mark == "<" or not reported):
            self.report(piece)
        elif not self.lexed.untrusted and self.depth:
            self.note(piece)
        self.depth = max(0, self.depth + {"<": 1, ">": -1}.get(mark, 0))
        self.skipping = self.depth > 0 and mark in "=|"

    def report(self, piece: LocatedToken) -> None:
        """Tell a conflict by its first mark."""
        self.lexed.report(
            "merge-conflict",
            f"`{piece.text[:7]}` is the mark of a merge conflict that nobody has settled",
            piece.begin,
            piece.stop,
            ("choose one side and delete the marks",),
        )
        self.fault = len(self.lexed.faults) - 1

    def note(self, piece: LocatedToken) -> None:
        """Add a further mark to the conflict at hand."""
        first = self.lexed.faults[self.fault]
        if len(first.notes) >= len(_SIDES):  # beyond the limit of faults no more are begun
            return
        note = Note(_SIDES[piece.text[0]], Span(self.lexed.source, piece.begin, piece.stop))
        self.lexed.faults[self.fault] = replace(first, notes=(*first.notes, note))
