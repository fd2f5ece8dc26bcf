"""The names of the plain net's layers and blobs."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from netc.diagnostics import NetcError, Note, Span
from netc.language.frame import Frame
from netc.language.values import BlobRef


class _Layer(NamedTuple):
    span: Span
    ruled: bool  # it has rules of phase, level or stage, so that another of its name may stand by
    free: bool  # it was written as in prototxt, where two layers may have one name


class PlainNetNames:
    """Layers and blobs of the plain net so far."""

    def __init__(self) -> None:
        self.blobs: set[str] = set()
        self.read: set[str] = set()
        self._layers: dict[str, _Layer] = {}
        self._counts: Counter[str] = Counter()

    def automatic(self, base: str, frame: Frame) -> str:
        """A unique name for a layer that has none: ``base`` and a number, such as ``conv3``."""
        while True:
            key = frame.scope + base
            self._counts[key] += 1
            name = f"{base}{self._counts[key]}"
            if frame.scope + name not in self._layers:
                return name

    def add_layer(
        self, name: str, span: Span, frame: Frame, *, ruled: bool = False, free: bool = False
    ) -> None:
        """Register a layer's name with its scope.

        Two layers may have one name if one has rules (``ruled``), or both are ``layer { }``
        (``free``).

        Raises:
            NetcError: duplicate-name.
        """
        first = self._layers.get(name)
        if first and not (first.ruled or ruled) and not (first.free and free):
            raise self._twice(name, first, span, frame)
        self._layers[name] = _Layer(span, ruled, free)

    def _twice(self, name: str, first: _Layer, span: Span, frame: Frame) -> NetcError:
        notes = (Note("the first is made here", first.span),)
        help = 'give one of them, or the module they are in, another name with `as "..."`'
        message = f"two layers have the name `{name}`"
        return frame.error("duplicate-name", message, span, help, notes=notes)

    def make(self, local: str, frame: Frame) -> BlobRef:
        """A new blob, of this name in the frame's scope."""
        blob = BlobRef(frame.scope + local)
        self.blobs.add(blob.name)
        frame.made[local] = blob
        if isinstance(frame.values.get(local), BlobRef):
            frame.values[local] = blob
        return blob

    def find(self, name: str, frame: Frame) -> BlobRef | None:
        """The blob of a name in a frame or in a scope around it; None where there is none."""
        value = frame.values.get(name)
        if isinstance(value, BlobRef):
            return value
        if name in frame.made:
            return frame.made[name]
        for scope in reversed(frame.scopes):
            if scope + name in self.blobs:
                return BlobRef(scope + name)
        return None
