"""Runs of floats in a BlobProto: packed, or unpacked with a tag before each value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netc.ir.graph import Array
from netc.weights.bytefile import ByteFile
from netc.weights.faults import malformed
from netc.weights.wire import FIXED32, FIXED64, LENGTH, VARINT, Scanner, WireField

_BLOCK = 1 << 18  # values converted at a time
_DTYPE = {5: "<f4", 8: "<f8"}  # data, double_data
_SINGLE = {5: FIXED32, 8: FIXED64}


@dataclass(frozen=True, slots=True)
class Chunk:
    """``count`` values of ``dtype`` in the bytes ``start`` to ``end`` (exclusive) of the file.

    ``step`` is the number of bytes from one value to the next: the size of a value where they are
    packed, one more where each has a tag.
    """

    start: int
    end: int
    count: int
    dtype: str
    step: int


def data_chunk(scan: Scanner, entry: WireField, end: int) -> Chunk:
    """The values of a ``data`` or ``double_data`` field and of the equal fields right after it.

    Raises:
        NetcError: malformed-weights, where a packed field's length is no multiple of a value's.
    """
    dtype = _DTYPE[entry.number]
    item = np.dtype(dtype).itemsize
    if entry.wire == LENGTH:
        size = entry.end - entry.start
        if size % item:
            raise malformed(
                scan.path, entry.at, f"packed values have {size:,} bytes, no multiple of {item}"
            )
        return Chunk(entry.start, entry.end, size // item, dtype, item)
    if entry.wire == VARINT and entry.number == 5:
        raise malformed(
            scan.path,
            entry.at,
            "`data` is a whole number; C3D's fork writes its blobs' width here, which netc does "
            "not read",
        )
    scan.expect(entry, _SINGLE[entry.number], LENGTH)
    return _tagged_run(scan, entry, end)


def _tagged_run(scan: Scanner, entry: WireField, end: int) -> Chunk:
    """All values that follow one another from this one on, each with the same tag."""
    dtype = _DTYPE[entry.number]
    step = entry.end - entry.at
    tag = scan.file.peek(entry.at, entry.start - entry.at)
    count, rows = 1, 16
    while rows := min(rows, (end - entry.at) // step - count):
        block = scan.file.read(entry.at + count * step, rows * step)
        same = _leading_rows(block, tag, step)
        count += same
        if same < rows:
            break
        rows = min(rows * 8, _BLOCK)
    scan.count(1 + 16 // count, entry.at)  # a short run costs as much as many fields
    return Chunk(entry.start, entry.at + count * step, count, dtype, step)


def _leading_rows(block: bytes, tag: bytes, step: int) -> int:
    """How many rows of ``step`` bytes begin with the tag before one that does not."""
    table = np.frombuffer(block, dtype=np.uint8).reshape(-1, step)
    other = (table[:, : len(tag)] != np.frombuffer(tag, dtype=np.uint8)).any(axis=1)
    return int(other.argmax()) if other.any() else len(table)


def read_chunk(file: ByteFile, chunk: Chunk, target: Array) -> None:
    """Fill ``target`` (little-endian float32) with the chunk's values."""
    if chunk.dtype == "<f4" and chunk.step == 4:
        file.read_into(chunk.start, target.view(np.uint8))
        return
    for first in range(0, chunk.count, _BLOCK):
        part = target[first : first + _BLOCK]
        with np.errstate(over="ignore", invalid="ignore"):
            part[:] = _block(file, chunk, first, len(part))


def _block(file: ByteFile, chunk: Chunk, first: int, count: int) -> NDArray[np.floating]:
    """``count`` values from the ``first`` on, in the file's own type."""
    item = np.dtype(chunk.dtype).itemsize
    size = (count - 1) * chunk.step + item  # the last value has no tag after it
    block = np.empty(count * chunk.step, dtype=np.uint8)
    file.read_into(chunk.start + first * chunk.step, block[:size])
    rows = np.ascontiguousarray(block.reshape(count, chunk.step)[:, :item])
    return rows.view(chunk.dtype)[:, 0]
