"""All messages in one pool, with enums where Caffe's own module has them."""

from __future__ import annotations

from functools import cache

from netc.schema.descriptors import ENUMS, PACKAGE, class_of, file_descriptor, new_pool
from netc.schema.load import load_schema
from netc.schema.message import FieldType, MessageType
from netc.schema.protobuf import (
    DescriptorPool,
    EnumDescriptor,
    FileDescriptor,
    MessageClass,
    ProtobufMessage,
)

_ALL = "AllMessages"  # a message with a field of each other, so that one file has them all


@cache
def pool() -> DescriptorPool:
    """A pool of every message that netc knows, those of Caffe and its forks."""
    messages = load_schema().messages
    parts = enumerate(messages.values(), start=1)
    fields = {f"m{n}": FieldType(f"m{n}", n, "message", message=type) for n, type in parts}
    file = file_descriptor(MessageType(_ALL, lambda: fields))
    _move_enums(file)
    return new_pool(file)


@cache
def find(name: str) -> object:
    """A message class, an enum's wrapper or an enum's value by its name; None for no name."""
    for look in (_message, _enum, _value):
        found = look(name)
        if found is not None:
            return found
    return None


def names() -> list[str]:
    """The messages there are."""
    return sorted(load_schema().messages)


def _message(name: str) -> MessageClass | None:
    if name not in load_schema().messages:
        return None
    return class_of(pool(), f"{PACKAGE}.{name}")


def _enum(name: str) -> object:
    from google.protobuf.internal import enum_type_wrapper

    found = _top_enums().get(name)
    return None if found is None else enum_type_wrapper.EnumTypeWrapper(found)


def _value(name: str) -> int | None:
    for enum in _top_enums().values():
        if name in enum.values_by_name:
            return int(enum.values_by_name[name].number)
    return None


def file() -> FileDescriptor:
    """The descriptor of the file that has all messages."""
    return pool().FindMessageTypeByName(f"{PACKAGE}.{_ALL}").file


def _top_enums() -> dict[str, EnumDescriptor]:
    return dict(file().enum_types_by_name)


def _move_enums(file: ProtobufMessage) -> None:
    """Put enums into the messages they belong to, where none of their values clashes there."""
    holder = next(m for m in file.message_type if m.name == ENUMS)
    messages = {m.name: m for m in file.message_type}
    taken: dict[str, set[str]] = {name: {f.name for f in m.field} for name, m in messages.items()}
    taken[""] = set(messages)
    moved: dict[str, str] = {}
    for scope in holder.nested_type:
        enum = scope.enum_type[0]
        home = scope.name.removesuffix(enum.name).removesuffix("_")
        values = {enum.name, *(value.name for value in enum.value)}
        if (home == "" or home in messages) and not values & taken[home]:
            taken[home] |= values
            (messages[home] if home else file).enum_type.append(enum)
            path = f"{home}.{enum.name}" if home else enum.name
            moved[f".{PACKAGE}.{ENUMS}.{scope.name}.{enum.name}"] = f".{PACKAGE}.{path}"
    for message in file.message_type:
        for field in message.field:
            if field.type_name in moved:
                field.type_name = moved[field.type_name]
