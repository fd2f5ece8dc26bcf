"""What stands in the place of what could not be made, so that one mistake is told once.

A statement that fails is told, and the text is read on. Names it would have given get values that
make no further complaint: blobs that chains can go on from, and for everything else ``LOST``,
whose use gives up the statement around it in silence.
"""

from __future__ import annotations

from netc.diagnostics import MAX_REPORTED, Diagnostic, NetcError, first_of
from netc.language.values import Blob, Value

_FINAL = {"too-many-steps", "too-many-layers", "too-deep", "too-large"}


class Lost:
    """The value of a name whose statement failed."""


LOST = Lost()
BLOB = Blob("?")
"""The blob of a layer that could not be made."""


class LostError(NetcError):
    """A lost value was needed; what was wrong has been told where it was lost."""

    def __init__(self) -> None:
        super().__init__(())


class Faults:
    """The faults of statements, each told once however often its statement runs.

    Attributes:
        found: what is to be told.
        raised: how many statements failed, those that failed the same way again among them.
    """

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.raised = 0
        self._places: set[tuple[str, int, int, int]] = set()

    def note(self, error: NetcError) -> None:
        """Remember a fault.

        Raises:
            NetcError: all faults so far, where there are many or a limit was met.
        """
        self.raised += 1
        for diagnostic in error.diagnostics:
            span = diagnostic.span
            place = (diagnostic.code, id(span.source), span.start, span.end) if span else None
            if place is None or place not in self._places:
                self.found.append(diagnostic)
            if place:
                self._places.add(place)
        if len(self.found) > MAX_REPORTED or any(d.code in _FINAL for d in error.diagnostics):
            self.check()

    def check(self) -> None:
        """Raise what was found.

        Raises:
            NetcError: every fault so far.
        """
        if self.found:
            sources = list(dict.fromkeys(d.span.source for d in self.found if d.span))
            order = {source: number for number, source in enumerate(sources)}
            found = sorted(
                self.found, key=lambda d: (order[d.span.source], d.span.start) if d.span else (0, 0)
            )
            raise NetcError(first_of(found))


def lost_outputs(count: int) -> Value:
    """What a use that failed gives."""
    return BLOB if count == 1 else [BLOB] * count
