"""Converts messages to documents (prototxt), and to and from google.protobuf messages."""

from __future__ import annotations

import math
from typing import Any

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.schema.message import Entry, FieldType, Message, MessageType
from netc.schema.protobuf import ProtobufMessage
from netc.schema.scalars import as_float32
from netc.syntax.ast import Block, Document, Field, Scalar

_NOWHERE = Span(Source("<message>", ""), 0, 0)


def to_document(message: Message) -> Document:
    """The message as a document: fields in order of their numbers, enums as identifiers.

    Entries keep their spans, so that a mistake found later still points at its place.
    """
    span = message.span or _NOWHERE
    return Document(span.source, _fields(message))


def _fields(message: Message) -> tuple[Field, ...]:
    types = message.type.fields
    names = sorted(message.entries, key=lambda name: types[name].number)
    return tuple(
        Field(name, _value(entry, types[name]), entry.name_span or entry.span or _NOWHERE)
        for name in names
        for entry in message.entries[name]
    )


def _value(entry: Entry, field: FieldType) -> Scalar | Block:
    span = entry.span or _NOWHERE
    value = entry.value
    if isinstance(value, Message):
        return Block(_fields(value), span)
    if isinstance(value, bool):
        return Scalar("identifier", "true" if value else "false", span)
    if field.kind == "enum":
        return Scalar("identifier", value, span)
    if isinstance(value, str):
        return Scalar("string", value.encode("utf-8"), span)
    if isinstance(value, bytes):
        return Scalar("string", value, span)
    if isinstance(value, float):
        return Scalar("float", short_float(value) if field.kind == "float" else value, span)
    return Scalar("integer", value, span)


def short_float(value: float) -> float:
    """The decimal number with the fewest digits that rounds to this float32."""
    if not math.isfinite(value):
        return value
    for digits in range(1, 9):
        short = float(f"{value:.{digits}g}")
        if as_float32(short) == value:
            return short
    return float(f"{value:.9g}")


def to_protobuf(message: Message) -> ProtobufMessage:
    """Convert to a google.protobuf message, to be serialised.

    Raises:
        NetcError: repeated-field, where a fork's field has several values and BVLC Caffe's schema
            allows one; wrong-kind, where a fork's field is a message and BVLC Caffe's a scalar.
    """
    from netc.schema.descriptors import message_class

    out = message_class(message.type)()
    _fill(out, message)
    return out


def _fill(out: ProtobufMessage, message: Message) -> None:
    for name, entries in message.entries.items():
        field = message.type.fields[name]
        if field.kind == "message":
            for entry in entries:
                _fill(_part(out, field), entry.value)
        elif any(isinstance(entry.value, Message) for entry in entries):
            raise message.error(name, "wrong-kind", f"`{name}` has no form in bytes as a block")
        elif field.repeated:
            getattr(out, name).extend(_plain(entry.value, field) for entry in entries)
        else:
            setattr(out, name, _plain(message.get(name), field))


def _part(out: ProtobufMessage, field: FieldType) -> ProtobufMessage:
    if field.repeated:
        added: ProtobufMessage = getattr(out, field.name).add()
        return added
    part: ProtobufMessage = getattr(out, field.name)
    part.SetInParent()
    return part


def _plain(value: Any, field: FieldType) -> Any:
    return field.enum.numbers[value] if field.enum else value


def from_protobuf(pb: ProtobufMessage, type: MessageType) -> Message:
    """Convert from a google.protobuf message; the entries have no spans.

    ``pb`` may be of any class whose fields have the type's names. It is meant for nets and solvers:
    each number becomes an entry, so that trained weights are read by netc.weights instead.

    Raises:
        NetcError: unknown-field for a field, unknown-enum-value for an enum value the type lacks.
    """
    entries: dict[str, tuple[Entry, ...]] = {}
    for descriptor, value in pb.ListFields():
        field = type.fields.get(descriptor.name)
        if field is None:
            message = f"{type.name} has no field `{descriptor.name}`"
            raise NetcError(Diagnostic("unknown-field", message))
        values = value if field.repeated else (value,)
        entries[field.name] = tuple(Entry(_ours(v, field, type)) for v in values)
    return Message(type, entries)


def _ours(value: Any, field: FieldType, type: MessageType) -> object:
    if field.kind == "message" and field.message:
        return from_protobuf(value, field.message)
    if field.enum is None:
        return value
    if value in field.enum.names:
        return field.enum.names[value]
    message = f"{value} is no value of `{type.name}.{field.name}` ({field.enum.name})"
    raise NetcError(Diagnostic("unknown-enum-value", message))
