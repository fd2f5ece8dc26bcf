"""Caffe's named, rewritable blobs as values in single-assignment form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netc.diagnostics import Diagnostic, Note, Span, did_you_mean
from netc.ir.graph import Node, Value

AUTOMATIC = "(automatic)"  # the blob of a loss layer with no top, net.cpp AppendTop


class Version(NamedTuple):
    """One value of a blob: the layer that produces it, its serial number, and where it is named."""

    blob: str
    layer: str
    serial: int
    span: Span | None


@dataclass(slots=True)
class Blobs:
    """The blobs met so far while layers are walked in order.

    Values have serial numbers, as text, for provisional names; they get their names at the end,
    when it is known which version of each blob is the last.
    """

    versions: list[Version] = field(default_factory=list)
    current: dict[str, Version] = field(default_factory=dict)

    def produce(self, blob: str, layer: str, span: Span | None) -> str:
        """Add a version of a blob; returns its provisional name."""
        version = Version(blob, layer, len(self.versions), span)
        self.versions.append(version)
        self.current[blob] = version
        return str(version.serial)

    def read(self, blob: str) -> str | None:
        """The provisional name of a blob's latest version; None if there is no such blob."""
        version = self.current.get(blob)
        return None if version is None else str(version.serial)

    def final_names(self) -> dict[str, str]:
        """Provisional name -> value name: the plain blob name for the last version of a blob,
        ``blob@layer`` for the ones before.
        """
        names: dict[str, str] = {}
        unique = NamePool(set(self.current))
        for version in self.versions:
            if self.current[version.blob] is version:
                name = version.blob
            else:
                name = unique.take(f"{version.blob}@{version.layer}")
            names[str(version.serial)] = name
        return names

    def values(self, names: Mapping[str, str]) -> dict[str, Value]:
        """All values by their final names; ``names`` is what :meth:`final_names` returns."""
        return {
            name: Value(name, version.blob, None, version.span)
            for name, version in zip(names.values(), self.versions, strict=True)
        }


@dataclass(slots=True)
class NamePool:
    """Names that are each given out once."""

    taken: set[str] = field(default_factory=set)
    _numbers: dict[str, int] = field(default_factory=dict)

    def take(self, name: str) -> str:
        """The name itself, or where it is taken ``name#2``, ``name#3`` ..."""
        free, number = name, self._numbers.get(name, 2)
        while free in self.taken:
            free, number = f"{name}#{number}", number + 1
        self.taken.add(free)
        self._numbers[name] = number  # where the next search begins
        return free


def renamed(nodes: Sequence[Node], names: Mapping[str, str]) -> tuple[Node, ...]:
    """The nodes with provisional value names replaced by final ones."""
    return tuple(
        Node(
            n.name,
            n.op,
            n.params,
            tuple([names[v] for v in n.inputs]),
            tuple([names[v] for v in n.outputs]),
            n.parameters,
            n.spans,
            n.param_specs,
            n.propagate_down,
        )
        for n in nodes
    )


class Elsewhere(NamedTuple):
    """Where a missing blob is produced: by a later layer, or in another phase; and what to do."""

    note: Note
    help: str


def unknown_bottom(
    layer: str, blob: str, span: Span | None, known: Sequence[str], elsewhere: Elsewhere | None
) -> Diagnostic:
    """The error unknown-bottom: no layer before produces a bottom.

    Args:
        layer, blob: names.
        span: where the bottom is written.
        known: blobs that there are, for near names.
        elsewhere: where the blob is produced after all, if anywhere.
    """
    help = (elsewhere.help,) if elsewhere else did_you_mean(blob, known)
    return Diagnostic(
        "unknown-bottom",
        f"layer `{layer}` reads blob `{blob}`, which no layer before it produces",
        span,
        notes=(elsewhere.note,) if elsewhere else (),
        help=help or ("give it an Input layer, or a layer whose `top` it is",),
    )


def duplicate_top(layer: str, blob: str, span: Span | None, first: Version) -> Diagnostic:
    """The error duplicate-top: ``first`` produced the blob, and the layer is not in place."""
    return Diagnostic(
        "duplicate-top",
        f"layer `{layer}` produces blob `{blob}`, which layer `{first.layer}` produced already",
        span,
        notes=(Note(f"`{blob}` is first produced here", first.span),),
        help=(
            "rename one of the two, or make the layer run in place by naming the blob as the "
            "bottom at the same position",
        ),
    )
