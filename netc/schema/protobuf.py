"""What netc uses of google.protobuf's objects, which have no types of their own.

google.protobuf makes the classes of messages while it runs, from descriptors that netc builds out
of the schema it has read. So what fields a message has, and of what types, is known to no checker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class EnumValueDescriptor(Protocol):
    """A value of an enum."""

    @property
    def number(self) -> int:
        """As it is written."""


class EnumDescriptor(Protocol):
    """An enum."""

    @property
    def values_by_name(self) -> Mapping[str, EnumValueDescriptor]:
        """Its values."""


class FieldDescriptor(Protocol):
    """A field of a message."""

    @property
    def name(self) -> str:
        """As the schema has it."""

    @property
    def message_type(self) -> Descriptor | None:
        """Of a field of messages."""

    @property
    def enum_type(self) -> EnumDescriptor | None:
        """Of a field of an enum's values."""


class FileDescriptor(Protocol):
    """A file of messages."""

    @property
    def enum_types_by_name(self) -> Mapping[str, EnumDescriptor]:
        """Enums outside of messages."""


class Descriptor(Protocol):
    """What a message may hold."""

    @property
    def name(self) -> str:
        """Of the message."""

    @property
    def file(self) -> FileDescriptor:
        """It stands in."""

    @property
    def fields(self) -> Sequence[FieldDescriptor]:
        """In the schema's order."""

    @property
    def fields_by_name(self) -> Mapping[str, FieldDescriptor]:
        """The same."""


class ProtobufMessage(Protocol):
    """A message. Its fields are attributes, of the types that its descriptor says."""

    @property
    def DESCRIPTOR(self) -> Descriptor:  # noqa: N802
        """What it may hold."""

    def __getattr__(self, name: str) -> Any:
        """A field's value."""

    def __setattr__(self, name: str, value: object) -> None:
        """Change a field."""


class MessageClass(Protocol):
    """The class of a message."""

    def __call__(self, **fields: object) -> ProtobufMessage:
        """A message with these fields."""

    def FromString(self, data: bytes) -> ProtobufMessage:  # noqa: N802
        """The message that bytes hold."""


class DescriptorPool(Protocol):
    """Files of messages that know each other."""

    def Add(self, file: ProtobufMessage) -> None:  # noqa: N802
        """Know a FileDescriptorProto's messages."""

    def FindMessageTypeByName(self, name: str) -> Descriptor:  # noqa: N802
        """A message's descriptor by its full name."""
