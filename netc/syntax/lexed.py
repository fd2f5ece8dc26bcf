"""The tokens of a text with errors, and its lexical errors."""

from __future__ import annotations

from dataclasses import dataclass, field

from netc.diagnostics import Diagnostic, Source, Span
from netc.syntax.limits import MAX_ERRORS
from netc.syntax.pieces import LocatedToken


@dataclass
class Lexed:
    """The tokens of a text with errors.

    Attributes:
        pieces: legal tokens only, ``$END`` the last.
        faults: the lexical errors.
        lines: the lines with a lexical error, on which syntax errors are not to be trusted.
        untrusted: whether that holds for the whole text, as for a template with ``{% %}``.
    """

    source: Source
    pieces: list[LocatedToken] = field(default_factory=list)
    faults: list[Diagnostic] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)
    untrusted: bool = False

    def report(
        self, code: str, message: str, start: int, end: int, help: tuple[str, ...] = ()
    ) -> None:
        """Add an error and its lines; beyond the limit, an error that there are more."""
        if len(self.faults) > MAX_ERRORS:
            return
        span = Span(self.source, start, end)
        self.faults.append(Diagnostic(code, message, span, help=help))
        last, _ = self.source.position(end)
        self.lines.update(range(span.line, last + 1))
