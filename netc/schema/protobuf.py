"""Protocols for the parts of google.protobuf that netc uses, for static type checking.

google.protobuf creates message classes at run time, from descriptors that netc builds from its
schemas. So no type checker knows which fields a message has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class EnumValueDescriptor(Protocol):
    """A value of an enum."""

    @property
    def number(self) -> int:
        """Its number in the .proto file."""


class EnumDescriptor(Protocol):
    """An enum."""

    @property
    def values_by_name(self) -> Mapping[str, EnumValueDescriptor]:
        """Its values by name."""


class FieldDescriptor(Protocol):
    """A field of a message."""

    @property
    def name(self) -> str:
        """The field's name in the schema."""

    @property
    def message_type(self) -> Descriptor | None:
        """The type of a message field; None for other fields."""

    @property
    def enum_type(self) -> EnumDescriptor | None:
        """The type of an enum field; None for other fields."""


class FileDescriptor(Protocol):
    """A .proto file."""

    @property
    def enum_types_by_name(self) -> Mapping[str, EnumDescriptor]:
        """The top-level enums, outside of messages, by name."""


class Descriptor(Protocol):
    """The type of a message."""

    @property
    def name(self) -> str:
        """The message's name."""

    @property
    def file(self) -> FileDescriptor:
        """The file that declares it."""

    @property
    def fields(self) -> Sequence[FieldDescriptor]:
        """Its fields in the schema's order."""

    @property
    def fields_by_name(self) -> Mapping[str, FieldDescriptor]:
        """Its fields by name."""


class ProtobufMessage(Protocol):
    """A message. Its fields are attributes, with the types given by its descriptor."""

    @property
    def DESCRIPTOR(self) -> Descriptor:  # noqa: N802
        """The message's type."""

    def __getattr__(self, name: str) -> Any:
        """A field's value."""

    def __setattr__(self, name: str, value: object) -> None:
        """Change a field."""


class MessageClass(Protocol):
    """The class of a message."""

    def __call__(self, **fields: object) -> ProtobufMessage:
        """A message with these fields."""

    def FromString(self, data: bytes) -> ProtobufMessage:  # noqa: N802
        """Parse a serialised message; raises ``google.protobuf.message.DecodeError``."""


class DescriptorPool(Protocol):
    """A set of .proto files that may refer to each other."""

    def Add(self, file: ProtobufMessage) -> None:  # noqa: N802
        """Add a FileDescriptorProto's messages and enums."""

    def FindMessageTypeByName(self, name: str) -> Descriptor:  # noqa: N802
        """A message's descriptor by its full name; raises KeyError."""
