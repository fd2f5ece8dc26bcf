"""Recovery from failed statements, so that each mistake is reported once.

The error of a statement that fails is collected, and the next statement runs. Names that it would
have given get values that cause no further errors: blobs that chains can go on from, and for
everything else ``LOST``; a statement that uses it is given up without a message.
"""

from __future__ import annotations

from netc.diagnostics import MAX_REPORTED, Diagnostic, NetcError, first_of
from netc.language.values import BlobRef, Value

_FINAL = {"too-many-steps", "too-many-layers", "too-deep", "too-large"}


class Lost:
    """The value of a name whose statement failed."""


LOST = Lost()
BLOB = BlobRef("?")
"""The blob of a layer that could not be made."""


class LostError(NetcError):
    """A lost value is used; the error has been reported where it was lost."""

    def __init__(self) -> None:
        super().__init__(())


class Faults:
    """The errors of statements, each once however often its statement runs.

    Attributes:
        found: the diagnostics so far.
        raised: how many statements failed, also those that failed in the same way again.
    """

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.raised = 0
        self._places: set[tuple[str, int, int, int]] = set()

    def note(self, error: NetcError) -> None:
        """Collect an error.

        Raises:
            NetcError: with all errors so far, where there are many or a limit was exceeded.
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
        """Raise the collected errors, if there are any.

        Raises:
            NetcError: with all errors so far, in the order of the text.
        """
        if self.found:
            sources = list(dict.fromkeys(d.span.source for d in self.found if d.span))
            order = {source: number for number, source in enumerate(sources)}
            found = sorted(
                self.found, key=lambda d: (order[d.span.source], d.span.start) if d.span else (0, 0)
            )
            raise NetcError(first_of(found))


def lost_outputs(count: int) -> Value:
    """The value of a use with ``count`` outputs that failed."""
    return BLOB if count == 1 else [BLOB] * count
