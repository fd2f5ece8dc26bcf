"""A linked schema as plain values, which are cached as JSON."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

WIRE_KINDS = {
    "double": "double", "float": "float", "bool": "bool", "string": "string", "bytes": "bytes",
    "int32": "int32", "sint32": "int32", "sfixed32": "int32",
    "int64": "int64", "sint64": "int64", "sfixed64": "int64",
    "uint32": "uint32", "fixed32": "uint32", "uint64": "uint64", "fixed64": "uint64",
}  # fmt: skip
"""The scalar types of .proto files and the kind of value each holds."""


class FieldRow(NamedTuple):
    """A linked field; ``type`` is a scalar type or the full name of a message or enum.

    ``several``: it is singular in BVLC Caffe and repeated in some fork. ``block``: it is a scalar,
    and in some fork a message of this type.
    """

    name: str
    number: int
    kind: str
    type: str
    label: str
    default: Any = None
    packed: bool = False
    oneof: str | None = None
    several: bool = False
    block: str | None = None


class SchemaTables(TypedDict):
    """A linked schema as plain values."""

    messages: dict[str, list[Any]]
    enums: dict[str, dict[str, int]]
    maps: list[str]
