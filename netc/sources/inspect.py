"""Statistics of a database: number of records, shapes, labels, range, and the mean picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.schema.load import load_schema
from netc.schema.message import Entry, Message
from netc.sources.base import DataLayer
from netc.sources.database import Database, open_database
from netc.sources.make import Progress
from netc.sources.records import ImageRecord, annotated_datum, read_datum, record_of
from netc.sources.transform import read_transform


@dataclass
class Contents:
    """A database's statistics: counts of shapes and labels, smallest and largest pixel.

    Of pictures with boxes the labels are those of the boxes. ``first`` are its first records.
    """

    records: int = 0
    shapes: Counter[Shape] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    minimum: float = np.inf
    maximum: float = -np.inf
    first: list[ImageRecord] = field(default_factory=list)


def contents_of(path: Path, backend: str, pictures: int, progress: Progress) -> Contents:
    """The statistics of a database, and its first ``pictures`` records.

    Raises:
        NetcError: bad-record, missing-package.
    """
    found = Contents()
    for record, labels in labelled(path, backend, progress):
        found.records += 1
        found.shapes[record.pixels.shape] += 1
        found.labels.update(labels)
        found.minimum = min(found.minimum, float(record.pixels.min()))
        found.maximum = max(found.maximum, float(record.pixels.max()))
        if len(found.first) < pictures:
            found.first.append(record)
    return found


def mean_of(path: Path, backend: str, progress: Progress) -> Array:
    """The mean picture, float32 (channels, height, width), summed in float64 in key order.

    Raises:
        NetcError: bad-record, where pictures have several shapes or there are none.
    """
    total: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None = None
    count = 0
    for record in records_of(path, backend, progress):
        if total is None:
            total = np.zeros(record.pixels.shape)
        if total.shape != record.pixels.shape:
            message = (
                f"`{path}`: record {count} is {record.pixels.shape}, and those before are "
                f"{total.shape}"
            )
            help = ("make the database with --resize",)
            raise NetcError(Diagnostic("bad-record", message, help=help))
        total += record.pixels
        count += 1
    if total is None:
        raise NetcError(Diagnostic("bad-record", f"`{path}` has no records"))
    return (total / count).astype(np.float32)


def records_of(path: Path, backend: str, progress: Progress) -> Iterator[ImageRecord]:
    """All records of a database, in key order."""
    return (record for record, _ in labelled(path, backend, progress))


def labelled(
    path: Path, backend: str, progress: Progress
) -> Iterator[tuple[ImageRecord, Sequence[int]]]:
    """All records of a database, in key order, each with its label or those of its boxes."""
    layer = plain_layer()
    transform = read_transform(layer)
    database: Database = open_database(path, backend, layer)
    keys = database.keys()
    for number, key in enumerate(keys):
        what = f"record `{key.decode('utf-8', 'backslashreplace')}` of `{path}`"
        content = database.value(key)
        annotated = annotated_datum(content)
        if annotated is None:
            record = read_datum(content, what, transform)
            yield record, (record.label,)
        else:
            groups = annotated.annotation_group
            labels = [group.group_label for group in groups for _ in group.annotation]
            yield record_of(annotated.datum, what, transform), labels
        progress(number + 1, len(keys))


def plain_layer() -> DataLayer:
    """A Data layer with only a name, for error messages about a database outside of a net."""
    message = Message(load_schema([]).message("LayerParameter"))
    named = message.with_entries(name=(Entry("data"),), type=(Entry("Data"),))
    return DataLayer(named, "TEST")


def backend_of(path: Path) -> str:
    """The database's backend: "LMDB" where the folder has LMDB's data file, else "LEVELDB"."""
    return "LMDB" if (path / "data.mdb").exists() or path.is_file() else "LEVELDB"
