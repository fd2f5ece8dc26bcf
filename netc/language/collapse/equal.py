"""Equality of plain documents: fields, values and the order of repeated ones."""

from __future__ import annotations

from collections.abc import Sequence

from netc.language.collapse.take import LAYERS, single_fields
from netc.syntax.ast import Block, Document, Field, ListValue, Scalar, Value

Canonical = object


def same_net(left: Document, right: Document) -> bool:
    """Whether two documents are the same net.

    The order of fields of different names within a block has no meaning, nor has the spelling of
    numbers or whether repeated values stand in a list.
    """
    return bool(canonical(left.fields) == canonical(right.fields))


def canonical(fields: Sequence[Field]) -> Canonical:
    """A net's fields in a comparable form: layers in order, and the values of each other field."""
    block = Block(tuple(fields), fields[0].span) if fields else None
    single = list(single_fields(block)) if block else []
    layers = [(f.name, _value(f.value)) for f in single if f.name in LAYERS]
    return layers, _grouped([f for f in single if f.name not in LAYERS])


def _grouped(fields: Sequence[Field]) -> Canonical:
    groups: dict[str, list[Canonical]] = {}
    for field in fields:
        groups.setdefault(field.name, []).append(_value(field.value))
    return groups


def _value(value: Value) -> Canonical:
    if isinstance(value, Block):
        return _grouped(list(single_fields(value)))
    if isinstance(value, ListValue):
        return [_value(item) for item in value.items]
    return _scalar(value)


def _scalar(scalar: Scalar) -> Canonical:
    kind = "number" if scalar.kind in ("integer", "float") else scalar.kind
    same = scalar.value == scalar.value
    return kind, scalar.value if same else "nan"
