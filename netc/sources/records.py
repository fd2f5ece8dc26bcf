"""Records of a database: Datum messages to pictures and labels (caffe.proto, Datum)."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol, cast

import numpy as np

from netc.boundary import strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import show
from netc.ops.array import AnyArray
from netc.schema.descriptors import message_class
from netc.schema.load import load_schema
from netc.schema.protobuf import MessageClass
from netc.sources.pixels import decode
from netc.sources.transform import Pixels, Transform


class Datum(Protocol):
    """The fields of a Datum message that are read."""

    channels: int
    height: int
    width: int
    data: bytes
    label: int
    float_data: Sequence[float]
    encoded: bool


class ImageRecord(NamedTuple):
    """A picture, (channels, height, width) of bytes or float32, and its label."""

    pixels: Pixels
    label: int


@cache
def datum_class() -> MessageClass:
    """The google.protobuf class of Datum (caffe.proto)."""
    return message_class(load_schema([]).message("Datum"))


class _Box(Protocol):
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool


class _Annotation(Protocol):
    instance_id: int
    bbox: _Box


class _Group(Protocol):
    group_label: int
    annotation: Sequence[_Annotation]


class AnnotatedDatum(Protocol):
    """The fields of an AnnotatedDatum message that are read."""

    datum: Datum
    annotation_group: Sequence[_Group]

    def HasField(self, name: str) -> bool:  # noqa: N802
        """Whether a field has been given."""


@cache
def _annotated_class() -> MessageClass:
    return message_class(load_schema([]).message("AnnotatedDatum"))


def annotated_datum(content: bytes) -> AnnotatedDatum | None:
    """A serialised AnnotatedDatum (weiliu89/caffe@ssd); None for a Datum, and for what is none."""
    datum = _annotated_class()()
    try:
        with strangers_bytes(lambda error: NetcError(Diagnostic("bad-record", str(error)))):
            datum.ParseFromString(content)
    except NetcError:
        return None
    found = cast(AnnotatedDatum, datum)
    return found if found.HasField("datum") else None


def read_datum(content: bytes, what: str, transform: Transform) -> ImageRecord:
    """Decode the picture and label of a serialised Datum; ``what`` names the record in messages.

    Raises:
        NetcError: bad-record, where it is no Datum, or its data does not fit its channels, height
            and width.
    """

    datum = datum_class()()
    with strangers_bytes(lambda error: _bad(transform, what, "is no Datum message")):
        datum.ParseFromString(content)
    found = cast(Datum, datum)
    if not found.channels and not found.encoded and annotated_datum(content) is not None:
        message = "is a picture with boxes (AnnotatedDatum), which AnnotatedData reads"
        raise _bad(transform, what, message)
    return record_of(found, what, transform)


def record_of(datum: Datum, what: str, transform: Transform) -> ImageRecord:
    """The picture and label of a Datum; see :func:`read_datum`."""
    if datum.encoded:
        color = True if transform.force_color else False if transform.force_gray else None
        pixels = decode(io.BytesIO(datum.data), what, color, transform.source)
        return ImageRecord(pixels, datum.label)
    shape = (datum.channels, datum.height, datum.width)
    plain = np.frombuffer(datum.data, np.uint8)
    values: AnyArray = plain if datum.data else np.array(datum.float_data, np.float32)
    if min(shape) < 1 or values.size != math.prod(shape):
        message = f"has {values.size} numbers, and says it is {show(shape)}"
        raise _bad(transform, what, message)
    return ImageRecord(values.reshape(shape), datum.label)


def _bad(transform: Transform, what: str, message: str) -> NetcError:
    return transform.source.fault("bad-record", f"{what} {message}")
