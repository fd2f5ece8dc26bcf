"""Parameters of layers with equal fields: parsed once, and one object for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from netc.ops.define import ErasedOp, LayerContext
from netc.schema.message import Message

# What a layer is called, and what it is connected to, is no parameter of it.
_CONNECTIONS = frozenset({"name", "type", "bottom", "top", "include", "exclude", "loss_weight"})


class Parsed:
    """The parameters parsed so far for one net.

    A net of thousands of layers has a few dozen different ones. Where an op reads the layer's own
    name or blobs, as one that draws random numbers does, each layer is parsed.
    """

    def __init__(self) -> None:
        self._known: dict[object, object] = {}

    def params(self, op: ErasedOp, layer: Message, context: LayerContext) -> object:
        """What ``op.params`` gives for a layer.

        Raises:
            NetcError: as ``op.params``.
        """
        key = (id(op), context, _content(layer, _CONNECTIONS))
        if key in self._known:
            return self._known[key]
        watched = _Watched(layer.type, layer.entries, layer.span)
        params = op.params(watched, context)
        if watched.asked.isdisjoint(_CONNECTIONS):
            self._known[key] = params
        return params


@dataclass(frozen=True, slots=True, eq=False)
class _Watched(Message):
    """A layer that remembers which of its fields were looked at."""

    asked: set[str] = field(default_factory=set)

    def has(self, name: str) -> bool:
        self.asked.add(name)
        return Message.has(self, name)

    def get(self, name: str) -> Any:
        self.asked.add(name)
        return Message.get(self, name)


def _content(message: Message, but: frozenset[str] = frozenset()) -> tuple[object, ...]:
    """A message's values without their places: equal where two messages say the same."""
    parts: list[object] = []
    for name, entries in message.entries.items():
        if name in but:
            continue
        parts.append(name)
        parts.append(tuple([_value(entry.value) for entry in entries]))
    return tuple(parts)


def _value(value: object) -> object:
    if value.__class__ is Message:
        return _content(value)
    if value.__class__ is float and value == 0:
        return repr(value)  # 0.0 and -0.0 are equal, and not the same
    return value
