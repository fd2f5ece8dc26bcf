"""Where a statement runs: the names it sees, the scope its layers' names get, and its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from netc.diagnostics import Diagnostic, NetcError, Note, Span
from netc.language.values import Blob, Value


@dataclass
class Frame:
    """The state of a file's statements, or of one use of a module.

    Attributes:
        values: parameters, ``let``s, loops' names and named blobs.
        made: names, as layers write them here, of blobs made here.
        scopes: what is put before names, outermost first; "" is the file's own.
        file: the file's frame; None in that frame itself.
        used_at: the use that this frame belongs to, in a chain.
        depth: of modules within each other.
        phase: the ``phase`` block around the statement, "" for none.
        prev: what the last chain, layer or input gave.
    """

    values: dict[str, Value] = field(default_factory=dict)
    made: dict[str, Blob] = field(default_factory=dict)
    scopes: tuple[str, ...] = ("",)
    file: Frame | None = None
    used_at: Span | None = None
    depth: int = 0
    phase: str = ""
    prev: Value | None = None

    @property
    def scope(self) -> str:
        """What is put before a name: empty, or ending in ``/``."""
        return self.scopes[-1]

    def place(self, span: Span) -> Span:
        """A span of the text as it is meant here: with the chain of uses."""
        return span if self.used_at is None else span._replace(used_at=self.used_at)

    def error(
        self, code: str, message: str, span: Span, *help: str, notes: tuple[Note, ...] = ()
    ) -> NetcError:
        """A fault at a place of the text; to be raised."""
        return NetcError(Diagnostic(code, message, self.place(span), notes=notes, help=help))

    def find(self, name: str) -> Value | None:
        """A value by its name: this frame's, or else the file's; blobs of the file are not seen."""
        if name in self.values:
            return self.values[name]
        found = self.file.values.get(name) if self.file else None
        return None if isinstance(found, Blob) else found

    def visible(self) -> Iterator[str]:
        """Every name that stands for something here."""
        yield from self.values
        yield from self.made
        if self.file:
            yield from self.file.values

    def inner(self, label: str, used_at: Span) -> Frame:
        """The frame of a module used here; with a label its names are scoped."""
        scopes = (*self.scopes, f"{self.scope}{label}/") if label else self.scopes
        return Frame(
            scopes=scopes,
            file=self.file or self,
            used_at=self.place(used_at),
            depth=self.depth + 1,
            phase=self.phase,
        )
