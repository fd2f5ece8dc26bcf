"""BlobProto: where a blob's numbers lie in the file, its shape, and reading them.

Field numbers are Caffe's (caffe.proto): shape 7, data 5, double_data 8, the legacy num, channels,
height and width 1 to 4, diffs 6 and 9. NVIDIA's fork adds raw_data_type 10, raw_diff_type 11,
raw_data 12 and raw_diff 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.ir.types import MAX_AXES, MAX_COUNT, Shape, shape_fault
from netc.weights.bytefile import ByteFile
from netc.weights.faults import fault, malformed
from netc.weights.model import read_only
from netc.weights.runs import Chunk, data_chunk, read_chunk
from netc.weights.wire import FIXED32, FIXED64, LENGTH, VARINT, Scanner, WireField, signed

_DIFFS = {6: (LENGTH, FIXED32), 9: (LENGTH, FIXED64), 11: (VARINT,), 13: (LENGTH,)}
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # NVIDIA's enum Type
_RAW_TYPE_NAMES = {3: "INT", 4: "UINT", 5: "BOOL"}
_FOREIGN = {11: "packed_data", 101: "int32_data"}


@dataclass(slots=True)
class BlobRecord:
    """A BlobProto as found in the file: byte ranges of its numbers, which are not yet read.

    ``at`` is its byte offset, ``legacy`` its num, channels, height and width by field number,
    ``foreign`` the numbers of fields that netc does not know.
    """

    at: int
    legacy: dict[int, int] = field(default_factory=dict)
    dims: list[int] = field(default_factory=list)
    floats: list[Chunk] = field(default_factory=list)
    doubles: list[Chunk] = field(default_factory=list)
    raw: WireField | None = None
    raw_type: int | None = None
    foreign: set[int] = field(default_factory=set)

    @property
    def packed_raw(self) -> bool:
        """Whether the numbers are in ``raw_data``, which wins over ``data`` where it has a type."""
        plain = self.doubles or self.floats
        return self.raw is not None and (self.raw_type is not None or not plain)

    @property
    def kind(self) -> str:
        """NumPy's name of the dtype of the stored numbers."""
        if self.packed_raw:
            return np.dtype(_RAW_TYPES.get(self.raw_type or 0, "<f4")).name
        return "float64" if self.doubles else "float32"


@dataclass(frozen=True, slots=True)
class BlobOrigin:
    """Which blob of which file: used in error messages."""

    path: str
    layer: str
    index: int

    def __str__(self) -> str:
        return f"blob {self.index} of layer `{self.layer}`" if self.layer else "the blob"

    def fault(self, at: int, message: str, *help: str) -> NetcError:
        """A bad-blob error at a byte offset."""
        return fault("bad-blob", self.path, f"{self} {message}", *help, at=at)


def scan_blob(scan: Scanner, start: int, end: int) -> BlobRecord:
    """The record of the BlobProto in the bytes ``start`` to ``end`` (exclusive).

    Raises:
        NetcError: malformed-weights or truncated-weights.
    """
    blob = BlobRecord(start)
    at = start
    while at < end:
        entry = scan.field(at, end)
        at = _take(scan, blob, entry, end)
    return blob


def _take(scan: Scanner, blob: BlobRecord, entry: WireField, end: int) -> int:
    """Take one field into the record; returns where the next one begins."""
    number = entry.number
    if number in (1, 2, 3, 4):
        scan.expect(entry, VARINT)
        blob.legacy[number] = signed(entry.value, 32)
    elif number in (5, 8):
        chunks = blob.floats if number == 5 else blob.doubles
        chunks.append(data_chunk(scan, entry, end))
        return chunks[-1].end
    elif number == 7:
        scan.expect(entry, LENGTH)
        _take_dims(scan, blob, entry)
    elif number == 12 and entry.wire == LENGTH:
        blob.raw = entry
    elif number == 10 and entry.wire == VARINT:
        blob.raw_type = entry.value
    elif entry.wire not in _DIFFS.get(number, ()):
        blob.foreign.add(number)
    return entry.end


def _take_dims(scan: Scanner, blob: BlobRecord, shape: WireField) -> None:
    for entry in scan.fields(shape.start, shape.end):
        if entry.number == 1 and entry.wire == VARINT:
            blob.dims.append(signed(entry.value, 64))
        elif entry.number == 1:
            scan.expect(entry, LENGTH)
            _take_packed_dims(scan, blob, entry)
        if len(blob.dims) > MAX_AXES:
            raise malformed(scan.path, shape.at, f"a blob has more than {MAX_AXES} axes")


def _take_packed_dims(scan: Scanner, blob: BlobRecord, entry: WireField) -> None:
    at = entry.start
    while at < entry.end and len(blob.dims) <= MAX_AXES:
        value, at = scan.varint(at, entry.end)
        blob.dims.append(signed(value, 64))


def blob_shape(blob: BlobRecord, place: BlobOrigin) -> Shape:
    """The blob's shape; the legacy fields win over ``shape``, as in Blob::FromProto.

    Raises:
        NetcError: bad-blob, a negative size or more elements than a blob may have.
    """
    shape = tuple(blob.legacy.get(n, 0) for n in (1, 2, 3, 4)) if blob.legacy else tuple(blob.dims)
    if any(size < 0 for size in shape):
        raise place.fault(blob.at, f"has a negative size, its shape is {shape}")
    if math.prod(shape) > MAX_COUNT:
        raise place.fault(
            blob.at, f"has {math.prod(shape):,} elements by its shape, more than {MAX_COUNT:,}"
        )
    wrong = shape_fault(shape)
    if wrong:
        raise place.fault(blob.at, f"has the shape {shape}, {wrong}")
    return shape


def read_blob(file: ByteFile, blob: BlobRecord, place: BlobOrigin) -> Array:
    """The blob's numbers as a new read-only float32 array in its shape.

    Raises:
        NetcError: bad-blob, the numbers are not as many as the shape wants, or of a kind that
            netc does not read.
    """
    shape = blob_shape(blob, place)
    chunks = _chunks(blob, place)
    count = sum(chunk.count for chunk in chunks)
    if count != math.prod(shape):
        raise _count_fault(blob, place, shape, count)
    values = np.empty(count, dtype="<f4")
    start = 0
    for chunk in chunks:
        read_chunk(file, chunk, values[start : start + chunk.count])
        start += chunk.count
    return read_only(values.reshape(shape).astype(np.float32, copy=False))


def _chunks(blob: BlobRecord, place: BlobOrigin) -> list[Chunk]:
    """Where the numbers lie: raw_data first, then double_data, then data, as the readers do."""
    if blob.raw is not None and blob.packed_raw:
        return [_raw_chunk(blob, blob.raw, place)]
    return blob.doubles or blob.floats


def _raw_chunk(blob: BlobRecord, raw: WireField, place: BlobOrigin) -> Chunk:
    if blob.raw_type is None:
        raise place.fault(raw.at, "has `raw_data` and no `raw_data_type`")
    dtype = _RAW_TYPES.get(blob.raw_type)
    if dtype is None:
        name = _RAW_TYPE_NAMES.get(blob.raw_type, str(blob.raw_type))
        raise place.fault(
            raw.at, f"has `raw_data` of type {name}, and netc reads FLOAT, FLOAT16 and DOUBLE"
        )
    size, item = raw.end - raw.start, np.dtype(dtype).itemsize
    if size % item:
        raise place.fault(raw.at, f"has {size:,} bytes of `raw_data`, no multiple of {item}")
    return Chunk(raw.start, raw.end, size // item, dtype, item)


def _count_fault(blob: BlobRecord, place: BlobOrigin, shape: Shape, count: int) -> NetcError:
    wanted = f"its shape {shape} wants {math.prod(shape):,}"
    if count or not blob.foreign:
        return place.fault(blob.at, f"holds {count:,} values, and {wanted}")
    named = ", ".join(
        f"{n} (`{_FOREIGN[n]}`)" if n in _FOREIGN else str(n) for n in sorted(blob.foreign)
    )
    return place.fault(
        blob.at,
        f"holds no values that netc reads, and {wanted}; it has the unknown fields {named}",
        "a fork of Caffe wrote it in its own way; save it again from that fork as plain floats",
    )
