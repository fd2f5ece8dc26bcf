"""Writing `.caffemodel`: the current format, with the bytes that protobuf itself would write.

Sizes are computed first and arrays then written from their own memory, so that no copy is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.weights.faults import fault
from netc.weights.model import LayerWeights, Weights
from netc.weights.wire import LENGTH, VARINT

Piece = bytes | memoryview

_MAX_FILE = 2**31 - 1  # what protobuf, and so Caffe, reads of one message


class Pieces(NamedTuple):
    """Bytes to be written one after the other, and how many they are."""

    parts: tuple[Piece, ...]
    size: int


class Definitions(NamedTuple):
    """An encoded net without blobs: the net's own fields, and each layer's name and fields."""

    net: bytes
    layers: tuple[tuple[str, bytes], ...]


def save_caffemodel(path: Path, weights: Weights, definitions: Definitions | None = None) -> None:
    """Write weights as a current NetParameter.

    Args:
        path: the file.
        weights: the layers in order.
        definitions: the net and its layers in order. A layer with arrays that is not among them
            comes last with name and type alone; without definitions all layers of the weights do.

    Raises:
        NetcError: too-large, where the file would exceed 2,147,483,647 bytes, which Caffe cannot
            read.
    """
    head = string_field(1, weights.net_name) if definitions is None else definitions.net
    layers = [record(100, pieces) for pieces in _layers(weights, definitions)]
    size = len(head) + sum(layer.size for layer in layers)
    if size > _MAX_FILE:
        raise fault(
            "too-large",
            str(path),
            f"the caffemodel would have {size:,} bytes, and Caffe reads at most {_MAX_FILE:,}",
            "save as .caffemodel.h5 or .npz",
        )
    with open(path, "wb") as file:
        file.write(head)
        for layer in layers:
            file.writelines(layer.parts)


def _layers(weights: Weights, definitions: Definitions | None) -> Iterator[Pieces]:
    defined = definitions.layers if definitions else ()
    known = {name for name, _ in defined}
    for name, definition in defined:
        yield layer_pieces(weights.layers.get(name, LayerWeights(name)), definition)
    for name, layer in weights.layers.items():
        if name not in known and (layer.arrays or definitions is None):
            yield layer_pieces(layer, None)


def layer_pieces(layer: LayerWeights, definition: bytes | None) -> Pieces:
    """An encoded LayerParameter: the given definition, else name and type, then its blobs."""
    if definition is None:
        definition = string_field(1, layer.name) + string_field(2, layer.type)
    diffs = layer.diffs or (None,) * len(layer.arrays)
    stored = zip(layer.arrays, layer.legacy, layer.kinds, diffs, strict=True)
    blobs = (
        record(7, half_pieces(array) if kind == "float16" else blob_pieces(array, legacy, diff))
        for array, legacy, kind, diff in stored
    )
    return joined([_piece(definition), *blobs])


def blob_pieces(array: Array, legacy: bool = False, diff: Array | None = None) -> Pieces:
    """An encoded BlobProto; with ``legacy`` it has num, channels, height and width and no diff."""
    values = _numbers(5, array)
    if legacy:
        old = b"".join(
            varint(n << 3 | VARINT) + varint(size) for n, size in enumerate(array.shape, 1)
        )
        return joined([_piece(old), *([values] if array.size else [])])
    parts = [values] if diff is None else [values, _numbers(6, diff)]
    return joined([*(parts if array.size else []), _piece(shape_field(array.shape))])


def _numbers(field: int, array: Array) -> Pieces:
    """A field of packed float32."""
    data = np.ascontiguousarray(array, "<f4").reshape(-1)
    return record(field, Pieces((data.view(np.uint8).data,), data.nbytes))


def half_pieces(array: Array) -> Pieces:
    """An encoded BlobProto of 16-bit floats, as NVIDIA's Caffe and OpenCV write and read it.

    ``raw_data_type`` (field 10) is FLOAT16 (2), and ``raw_data`` (field 12) has the numbers.
    """
    data = np.ascontiguousarray(array, "<f2").reshape(-1)
    values = record(12, Pieces((data.view(np.uint8).data,), data.nbytes))
    kind = varint(10 << 3 | VARINT) + varint(2)
    return joined([_piece(shape_field(array.shape)), _piece(kind), values])


def shape_field(shape: Shape) -> bytes:
    """The field ``shape`` of a BlobProto; empty for a blob of no axes, as Blob::ToProto has it."""
    dims = b"".join(varint(size) for size in shape)
    return length_field(7, length_field(1, dims)) if shape else b""


def string_field(number: int, text: str) -> bytes:
    """A string field; empty for an empty text."""
    return length_field(number, text.encode("utf-8", "replace")) if text else b""


def length_field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | LENGTH) + varint(len(payload)) + payload


def record(number: int, content: Pieces) -> Pieces:
    """A length-delimited field around pieces."""
    head = varint(number << 3 | LENGTH) + varint(content.size)
    return Pieces((head, *content.parts), len(head) + content.size)


def joined(parts: Iterable[Pieces]) -> Pieces:
    """Pieces one after the other."""
    flat = list(parts)
    return Pieces(tuple(_all(flat)), sum(part.size for part in flat))


def _all(parts: Iterable[Pieces]) -> Iterator[Piece]:
    for part in parts:
        yield from part.parts


def _piece(data: bytes) -> Pieces:
    return Pieces((data,), len(data))


def varint(value: int) -> bytes:
    """An unsigned number in 7-bit groups, the least first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
