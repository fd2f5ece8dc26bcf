"""The protobuf wire format: tags, varints and length-delimited records, by byte offset.

https://protobuf.dev/programming-guides/encoding/. Only structure is read here; payloads are
named by where they start and end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netc.weights.bytefile import ByteFile
from netc.weights.faults import fault, malformed, truncated

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 2_000_000  # of one file; ResNet-152 has 20,000
_MAX_VARINT = 10  # bytes of a 64-bit varint
_MAX_RECORD = 2**31 - 1  # protobuf's limit of a record's bytes
_MAX_NUMBER = 2**29 - 1


class WireField(NamedTuple):
    """A field of a message: its payload is the bytes ``start`` to ``end`` (exclusive).

    ``number`` is the field's number, ``wire`` its wire type, ``at`` the byte offset of its tag,
    ``value`` the number of a varint field, else 0.
    """

    number: int
    wire: int
    at: int
    start: int
    end: int
    value: int = 0


class Scanner:
    """Iterates over the messages of one file, with a limit on the number of fields it visits."""

    def __init__(self, file: ByteFile) -> None:
        self.file = file
        self.path = file.path
        self.fields_seen = 0

    def fields(self, start: int, end: int) -> Iterator[WireField]:
        """The fields of the message at ``start`` to ``end``, in order.

        Raises:
            NetcError: malformed-weights or truncated-weights, at the byte.
        """
        at = start
        while at < end:
            field = self.field(at, end)
            yield field
            at = field.end

    def field(self, at: int, end: int) -> WireField:
        """The field whose tag begins at ``at``, in a message that ends at ``end``.

        Raises:
            NetcError: malformed-weights or truncated-weights, at the byte.
        """
        self.count(1, at)
        tag, start = self.varint(at, end)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number <= _MAX_NUMBER:
            raise malformed(self.path, at, f"field number {number} is not in 1 to {_MAX_NUMBER}")
        if wire == VARINT:
            value, stop = self.varint(start, end)
            return WireField(number, wire, at, start, stop, value)
        if wire == LENGTH:
            length, start = self.varint(start, end)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise malformed(self.path, at, f"field {number} has wire type {wire}, which is unused")
        self._check_length(number, at, start, length, end)
        return WireField(number, wire, at, start, start + length)

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The unsigned 64-bit number at ``at`` and the offset after it.

        Raises:
            NetcError: malformed-weights or truncated-weights, at the byte.
        """
        value = 0
        for index, byte in enumerate(self.file.peek(at, min(_MAX_VARINT, end - at))):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at + index + 1
        if end - at < _MAX_VARINT:
            if end == self.file.size:
                raise truncated(self.path, at, 1, "the number that begins here")
            raise malformed(self.path, at, "a number runs over the end of its record")
        raise malformed(self.path, at, "a number has more than 10 bytes")

    def count(self, fields: int, at: int) -> None:
        """Count fields against the limit, which bounds the time that reading a file can take.

        Raises:
            NetcError: too-many-fields.
        """
        self.fields_seen += fields
        if self.fields_seen > MAX_FIELDS:
            raise fault(
                "too-many-fields",
                self.path,
                f"the file has more than {MAX_FIELDS:,} fields, the limit",
                "no real caffemodel comes near it; the file is damaged",
                at=at,
            )

    def _check_length(self, number: int, at: int, start: int, length: int, end: int) -> None:
        if start + length <= end:
            return
        if end == self.file.size and length <= _MAX_RECORD:
            missing = start + length - end
            raise truncated(self.path, at, missing, f"field {number} of {length:,} bytes")
        raise malformed(
            self.path,
            at,
            f"field {number} says it has {length:,} bytes, and its record has {end - start:,} left",
        )

    def text(self, field: WireField) -> str:
        """A string field's value.

        Raises:
            NetcError: malformed-weights, where it is no string or is longer than 64 KiB.
        """
        self.expect(field, LENGTH)
        if field.end - field.start > 65536:
            raise malformed(
                self.path, field.at, f"a name has {field.end - field.start:,} bytes, over 65,536"
            )
        return self.file.peek(field.start, field.end - field.start).decode(
            "utf-8", "backslashreplace"
        )

    def expect(self, field: WireField, *wires: int) -> None:
        """Check that a field has one of these wire types.

        Raises:
            NetcError: malformed-weights.
        """
        if field.wire not in wires:
            wanted = " or ".join(str(w) for w in wires)
            raise malformed(
                self.path,
                field.at,
                f"field {field.number} has wire type {field.wire}, and {wanted} is wanted",
            )


def signed(value: int, bits: int) -> int:
    """A varint's value as an int32 or int64, as protobuf truncates it."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
