"""Which message of a layer a field belongs to, by the layer's type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netc.diagnostics import did_you_mean
from netc.language.hints import LAYERS
from netc.language.shorts import MESSAGES, OF_LAYER, SHORTS
from netc.schema.message import FieldType, MessageType


class FieldPlacement(NamedTuple):
    """A field's type, and the name of the message it belongs to; "" for the layer itself."""

    field: FieldType
    message: str = ""


class FieldFinder:
    """Finds the message of a layer type's fields.

    Args:
        layer: the message type of ``layer { }``.
    """

    def __init__(self, layer: MessageType) -> None:
        self.layer = layer
        self._by_type = {
            name.replace("_", ""): name for name, field in layer.fields.items() if field.message
        }

    def messages(self, type: str) -> tuple[str, ...]:
        """The names of a layer type's own messages, the one with the most fields first."""
        own = self._by_type.get(f"{type.lower()}param")
        names = MESSAGES.get(type, (own,) if own else ())
        if type.endswith("Loss") and "loss_param" not in names:
            names = (*names, "loss_param")
        return tuple(name for name in names if name in self.layer.fields)

    def find(self, type: str, name: str) -> FieldPlacement | None:
        """Where a field of a layer type belongs; None if the type has no such field."""
        if name in OF_LAYER:
            return FieldPlacement(self.layer.fields[name])
        for message in self.messages(type):
            fields = self._fields(message)
            if name in fields:
                return FieldPlacement(fields[name], message)
        found = self.layer.fields.get(name)
        return FieldPlacement(found) if found else None

    def _fields(self, message: str) -> Mapping[str, FieldType]:
        inner = self.layer.fields[message].message
        return inner.fields if inner else {}

    def help(self, type: str, name: str) -> tuple[str, ...]:
        """Hints for a field that a layer type does not have: near names of those it has."""
        known = [field for message in self.messages(type) for field in self._fields(message)]
        short = [v for s in SHORTS.values() if s.type == type for v in s.values]
        parts = [v for v in dict.fromkeys(short) if name in v.split("_")]  # kernel, ratio ...
        if parts:
            return (f"did you mean `{parts[0]}`?",)
        near = did_you_mean(name, [*known, *OF_LAYER, "in_place"])
        small = type.lower()
        meant = SHORTS.get(LAYERS.get(small, small))
        if not known and meant and meant.type != type:
            return (f"did you mean the type `{meant.type}`?",)
        if not near and not known:
            return (f"what `{type}` has of its own stands in a block: `... {{ {name}: ... }}`",)
        return near
