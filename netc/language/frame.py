"""A frame: the names a statement sees, the scope of its layers' names, and the chain of uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from netc.diagnostics import Diagnostic, NetcError, Note, Span
from netc.language.values import BlobRef, Value


@dataclass
class Frame:
    """The state of a file's statements, or of one use of a module.

    Attributes:
        values: values by name: parameters, ``let``, names of loops and named blobs.
        made: blobs made here, by the names that layers write here.
        scopes: prefixes of names, outermost first; "" is the file's own.
        file: the file's frame; None in that frame itself.
        used_at: where the module of this frame is used, as a chain of places.
        depth: how many modules are around it.
        phase: of the ``phase`` block around the statement, "" for none.
        prev: the value of the last chain, layer or input.
    """

    values: dict[str, Value] = field(default_factory=dict)
    made: dict[str, BlobRef] = field(default_factory=dict)
    scopes: tuple[str, ...] = ("",)
    file: Frame | None = None
    used_at: Span | None = None
    depth: int = 0
    phase: str = ""
    prev: Value | None = None

    @property
    def scope(self) -> str:
        """The prefix of names made here: empty, or ending in ``/``."""
        return self.scopes[-1]

    def place(self, span: Span) -> Span:
        """A place of the text with the chain of uses that leads to it."""
        return span if self.used_at is None else span._replace(used_at=self.used_at)

    def error(
        self, code: str, message: str, span: Span, *help: str, notes: tuple[Note, ...] = ()
    ) -> NetcError:
        """An error at a place of the text, with the chain of uses; to be raised."""
        return NetcError(Diagnostic(code, message, self.place(span), notes=notes, help=help))

    def find(self, name: str) -> Value | None:
        """A value by its name in this frame, else in the file's; None where there is none.

        Blobs of the file are not seen from within a module.
        """
        if name in self.values:
            return self.values[name]
        found = self.file.values.get(name) if self.file else None
        return None if isinstance(found, BlobRef) else found

    def visible(self) -> Iterator[str]:
        """All names that have a value here."""
        yield from self.values
        yield from self.made
        if self.file:
            yield from self.file.values

    def inner(self, label: str, used_at: Span) -> Frame:
        """The frame of a module used here; with a label the names made in it are scoped by it."""
        scopes = (*self.scopes, f"{self.scope}{label}/") if label else self.scopes
        return Frame(
            scopes=scopes,
            file=self.file or self,
            used_at=self.place(used_at),
            depth=self.depth + 1,
            phase=self.phase,
        )
