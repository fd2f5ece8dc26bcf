"""Caffe's weight messages as google.protobuf classes, declared here apart from netc's schemas."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
KINDS = {
    "int32": FIELD.TYPE_INT32,
    "int64": FIELD.TYPE_INT64,
    "float": FIELD.TYPE_FLOAT,
    "double": FIELD.TYPE_DOUBLE,
    "string": FIELD.TYPE_STRING,
    "bytes": FIELD.TYPE_BYTES,
}
BLOB = """
1 num int32; 2 channels int32; 3 height int32; 4 width int32; 5 data float* {packed};
6 diff float* packed; 7 shape BlobShape; 8 double_data double* {packed};
9 double_diff double* packed; 10 raw_data_type int32; 11 raw_diff_type int32; 12 raw_data bytes;
13 raw_diff bytes; 101 int32_data int32* packed
"""
MESSAGES = {
    "BlobShape": "1 dim int64* packed",
    "BlobProto": BLOB.format(packed="packed"),
    "LooseBlobProto": BLOB.format(packed=""),
    "V0Layer": "1 name string; 2 type string; 3 num_output int32; 50 blobs BlobProto*",
    "V1Layer": "1 layer V0Layer; 2 bottom string*; 4 name string; 5 type int32; 6 blobs BlobProto*",
    "Layer": "1 name string; 2 type string; 3 bottom string*; 7 blobs BlobProto*; 10 phase int32",
    "Net": "1 name string; 2 layers V1Layer*; 3 input string*; 100 layer Layer*",
}


def _field(message: Any, text: str) -> None:
    number, name, kind, *rest = text.split()
    repeated, kind = kind.endswith("*"), kind.rstrip("*")
    field = message.field.add(name=name, number=int(number))
    field.label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
    if kind in KINDS:
        field.type = KINDS[kind]
    else:
        field.type, field.type_name = FIELD.TYPE_MESSAGE, f".oracle.{kind}"
    if rest:
        field.options.packed = True


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="oracle.proto", package="oracle", syntax="proto2"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(";"):
            _field(message, text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"oracle.{name}")) for name in MESSAGES}


_CLASSES = _classes()
BlobProto = _CLASSES["BlobProto"]
LooseBlobProto = _CLASSES["LooseBlobProto"]  # data not packed: a tag before each value
Net = _CLASSES["Net"]
