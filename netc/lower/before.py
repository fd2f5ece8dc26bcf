"""The part of a net that some blobs depend on, found before it is lowered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypedDict

from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.lower.lower import lower
from netc.schema.message import Message


def layers_before(net: Message, blobs: Iterable[str]) -> Message:
    """The net without the layers that none of these blobs depends on.

    Layers are kept whatever their phase: the rules are applied later.

    Args:
        net: a NetParameter in the current format.
        blobs: names of blobs, ``blob@layer`` for one before a later layer rewrites it. Where one is
            no layer's top the net is returned unchanged, so that lowering reports it.
    """
    entries = net.entries.get("layer", ())
    tops = {top for entry in entries for top in entry.value.get("top")}
    needed = {name if name in tops else name.partition("@")[0] for name in blobs}
    if not needed <= tops:
        return net
    kept = []
    for entry in reversed(entries):
        if needed.intersection(entry.value.get("top")):
            needed.update(entry.value.get("bottom"))
            kept.append(entry)
    return net.with_entries(layer=tuple(reversed(kept)))


class LayerChoice(TypedDict):
    """The keyword arguments of :func:`netc.lower.lower.lower` that choose the net's layers."""

    phase: str
    level: int
    stages: Sequence[str]


class NetPart(NamedTuple):
    """A net of the layers that the wanted blobs may depend on, and the shapes given for its inputs.

    ``inputs`` are the input blobs of the whole net; empty where the net was not divided.
    """

    message: Message
    shapes: Mapping[str, Shape]
    inputs: tuple[str, ...] = ()

    def unneeded(self, graph: Graph) -> frozenset[str]:
        """Inputs of the whole net that the graph does not have; feeding them is no error."""
        return frozenset(self.inputs) - set(graph.input_blobs)


def wanted_part(
    message: Message,
    names: Sequence[str],
    shapes: Mapping[str, Shape] | None = None,
    *,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
) -> NetPart:
    """The layers that some blobs may depend on; all layers where ``names`` is empty.

    Errors in the other layers, and unknown shapes there, then do not matter.

    Args:
        message: a NetParameter in the current format.
        names: of blobs, as for :func:`layers_before`.
        shapes: of inputs; those of inputs that are dropped are left out.
        phase, level, stages: the NetState.
    """
    shapes = shapes or {}
    if not names:
        return NetPart(message, shapes)
    part = layers_before(message, names)
    if part is message:
        return NetPart(message, shapes)
    state: LayerChoice = {"phase": phase, "level": level, "stages": stages}
    whole, kept = (tuple(lower(m, **state).graph.input_blobs) for m in (message, part))
    dropped = set(whole) - set(kept)
    return NetPart(part, {n: s for n, s in shapes.items() if n not in dropped}, whole)
