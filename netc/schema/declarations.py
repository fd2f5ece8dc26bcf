"""The declarations in a .proto file, with spans; names of types are not yet resolved."""

from __future__ import annotations

from typing import Literal, NamedTuple

from netc.diagnostics import Source, Span

Label = Literal["optional", "required", "repeated"]


class ProtoToken(NamedTuple):
    """A name or literal of a .proto file, with its span."""

    text: str
    span: Span


class Constant(NamedTuple):
    """The value of an option: an identifier, a number or a string as Python's own type."""

    kind: Literal["identifier", "integer", "float", "string", "aggregate"]
    value: str | int | float | bytes
    span: Span


class ProtoField(NamedTuple):
    """``label type name = number [default = ..., packed = ...];``."""

    name: ProtoToken
    type: ProtoToken
    number: int
    number_span: Span
    label: Label = "optional"
    default: Constant | None = None
    packed: bool | None = None
    oneof: str | None = None


class ProtoEnum(NamedTuple):
    """``enum name { NAME = number; ... }``."""

    name: ProtoToken
    values: tuple[tuple[ProtoToken, int], ...]


class ProtoMessage(NamedTuple):
    """``message name { ... }``; ``map_entry`` marks the entry message of a ``map<K, V>`` field."""

    name: ProtoToken
    fields: tuple[ProtoField, ...] = ()
    messages: tuple[ProtoMessage, ...] = ()
    enums: tuple[ProtoEnum, ...] = ()
    map_entry: bool = False


class ProtoFile(NamedTuple):
    """A .proto file; ``package`` is empty where none is declared."""

    source: Source
    package: str
    syntax: Literal["proto2", "proto3"]
    messages: tuple[ProtoMessage, ...]
    enums: tuple[ProtoEnum, ...]
