"""Makes google.protobuf classes of message types; only needed where bytes are read or written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from netc.schema.message import EnumType, FieldType, MessageType
from netc.schema.protobuf import DescriptorPool, MessageClass, ProtobufMessage

PACKAGE = "caffe"
ENUMS = "Enums"
"""Enums stand in messages of their own below this one: in protobuf the values of an enum share a
scope with those of its neighbours, and enums of several forks would clash."""


@cache
def message_class(type: MessageType) -> MessageClass:
    """The google.protobuf class of a message type, in a descriptor pool of its own."""
    pool = new_pool(file_descriptor(type))
    return class_of(pool, _message_name(type)[1:])


def new_pool(file: ProtobufMessage) -> DescriptorPool:
    """A descriptor pool with one file."""
    pool: DescriptorPool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def class_of(pool: DescriptorPool, name: str) -> MessageClass:
    """The class of a message in a pool, by its full name."""
    found: MessageClass = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return found


def file_descriptor(root: MessageType) -> ProtobufMessage:
    """A FileDescriptorProto (proto2) with a message type and all types that it refers to."""
    file: ProtobufMessage = descriptor_pb2.FileDescriptorProto(
        name=f"netc/{root.name}.proto", package=PACKAGE, syntax="proto2"
    )
    types = tuple(_reachable(root))
    for type in types:
        file.message_type.append(_descriptor(type))
    enums = {f.enum.name: f.enum for type in types for f in type.fields.values() if f.enum}
    if enums:
        holder = file.message_type.add(name=ENUMS)
        for enum in enums.values():
            scope = holder.nested_type.add(name=_flat(enum.name))
            scope.enum_type.append(_enum_descriptor(enum))
    return file


def _reachable(root: MessageType) -> Iterator[MessageType]:
    seen = {root}
    waiting = [root]
    while waiting:
        type = waiting.pop()
        yield type
        for field in type.fields.values():
            if field.kind == "message" and field.message and field.message not in seen:
                seen.add(field.message)
                waiting.append(field.message)


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _message_name(type: MessageType) -> str:
    return f".{PACKAGE}.{_flat(type.name)}"


def _descriptor(type: MessageType) -> ProtobufMessage:
    descriptor: ProtobufMessage = descriptor_pb2.DescriptorProto(name=_flat(type.name))
    for field in type.fields.values():
        descriptor.field.append(_field_descriptor(field))
    return descriptor


def _field_descriptor(field: FieldType) -> ProtobufMessage:
    wire = (field.wire or field.kind).upper()
    out: ProtobufMessage = descriptor_pb2.FieldDescriptorProto(
        name=field.name, number=field.number, json_name=field.name
    )
    out.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{wire}")
    out.label = descriptor_pb2.FieldDescriptorProto.Label.Value(f"LABEL_{_label(field)}")
    if field.kind == "message" and field.message:
        out.type_name = _message_name(field.message)
    elif field.enum:
        scope = f".{PACKAGE}.{ENUMS}.{_flat(field.enum.name)}"
        out.type_name = f"{scope}.{field.enum.name.rpartition('.')[2]}"
    if field.packed:
        out.options.packed = True
    if not field.repeated and field.kind != "message":
        out.default_value = _default(field.default)
    return out


def _label(field: FieldType) -> str:
    if field.repeated:
        return "REPEATED"
    return "REQUIRED" if field.required else "OPTIONAL"


def _default(value: object) -> str:
    """A default as descriptors write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "".join(f"\\{byte:03o}" for byte in value)
    return str(value)


def _enum_descriptor(enum: EnumType) -> ProtobufMessage:
    out: ProtobufMessage = descriptor_pb2.EnumDescriptorProto(name=enum.name.rpartition(".")[2])
    for name, number in enum.numbers.items():
        out.value.add(name=name, number=number)
    if len(set(enum.numbers.values())) < len(enum.numbers):
        out.options.allow_alias = True
    return out
