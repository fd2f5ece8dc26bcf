"""Rows of a Parquet file: images' bytes, paths of images, or numbers (extra `parquet`).

The column is named by the input's blob, or else is the only one of its kind: of bytes, of structs
of ``bytes`` and ``path`` as data sets of images have them, of texts, which are paths from the
file's folder on, or of lists of numbers. A row group is unpacked at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.image_files import Encoded
from netc.memory import check_memory
from netc.predict.records.base import Content, FileIdentity, InputRecord, Path
from netc.predict.records.files import FilePart

SUFFIXES = frozenset({".parquet"})
_READING = threading.Lock()
_LABELS = ("name", "path", "key", "id", "filename", "file_name", "__key__")


def pyarrow_module() -> ModuleType:
    """pyarrow with its Parquet reader; NetcError missing-package where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        message = "Parquet needs the package `pyarrow`, which is not installed"
        help = ("pip install 'netc[parquet]'",)
        raise NetcError(Diagnostic("missing-package", message, help=help)) from None
    module: ModuleType = pyarrow
    return module


class ParquetColumn(NamedTuple):
    """A column that is read: of "image", "path" or "numbers", for an input; and one of names."""

    name: str
    kind: str
    input: str


class ParquetPart(NamedTuple):
    """Rows of a file."""

    file: FileIdentity
    columns: tuple[ParquetColumn, ...]
    label: str
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    def read(self) -> Iterator[InputRecord]:
        """The rows."""
        names = tuple(dict.fromkeys([*(c.name for c in self.columns), *filter(None, [self.label])]))
        for group, start, stop in _groups_of(self.file, self.first, self.last):
            base = _starts(self.file)[group]
            with _READING:
                table = _group(self.file, group, names)
            for number in range(start, stop):
                row = {name: table.column(name)[number - base] for name in names}
                yield self._record(row, number)

    def _record(self, row: dict[str, Any], number: int) -> InputRecord:
        what = f"{self.file}[{number}]"
        named = bool(self.label) and row[self.label].is_valid
        name = str(row[self.label].as_py()) if named else what
        if self.columns[0].kind != "numbers":
            return InputRecord(name, self._image(row[self.columns[0].name].as_py(), what))
        arrays = {}
        for column in self.columns:
            if not row[column.name].is_valid:
                return InputRecord(name, _bad(what, f"`{column.name}` is null"))
            arrays[column.input] = _numbers(row[column.name])
        return InputRecord(name, arrays)

    def _image(self, value: object, what: str) -> Content:
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return Encoded(value, what)
        if not isinstance(value, str):
            return _bad(what, f"`{self.columns[0].name}` is null")
        record = next(FilePart((value,), str(FilePath(self.file.path).parent)).read())
        assert isinstance(record.content, (Path, NetcError))
        return record.content


class ParquetRecords:
    """All rows of a file."""

    def __init__(self, path: str, inputs: Sequence[str], column: str | None = None) -> None:
        self._file = FileIdentity.of(path)
        self._columns, self._label = _chosen(self._file, tuple(inputs), column)
        self.images = self._columns[0].kind != "numbers"

    def __len__(self) -> int:
        return _starts(self._file)[-1]

    def part(self, first: int, last: int) -> ParquetPart:
        """See :class:`netc.predict.records.base.Records`."""
        return ParquetPart(self._file, self._columns, self._label, first, last)

    def identity(self) -> str:
        """The file's size, rows and columns."""
        name = os.path.basename(self._file.path)
        return f"{name} {self._file.stamp[0]} {len(self)} {self._columns}"


@lru_cache(maxsize=64)
def _file(file: FileIdentity) -> Any:
    pyarrow = pyarrow_module()
    with strangers_bytes(lambda error: _bad(file, reason(error))):
        return pyarrow.parquet.ParquetFile(file.path)


@lru_cache(maxsize=4096)
def _starts(file: FileIdentity) -> list[int]:
    """The first row of each row group, and the number of all rows."""
    data = _file(file).metadata
    counts = [data.row_group(group).num_rows for group in range(data.num_row_groups)]
    return [0, *np.cumsum(counts, dtype=np.int64).tolist()]


def _groups_of(file: FileIdentity, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """The row groups that rows lie in, and which rows of each, counted from the file's first."""
    starts = _starts(file)
    for group, (start, stop) in enumerate(pairwise(starts)):
        low, high = max(first, start), min(last, stop)
        if low < high:
            yield group, low, high


@lru_cache(maxsize=2)
def _group(file: FileIdentity, group: int, columns: tuple[str, ...]) -> Any:
    """A row group's columns; the last ones are kept, since parts are smaller."""
    with strangers_bytes(lambda error: _bad(file, reason(error))):
        size = _file(file).metadata.row_group(group).total_byte_size
        check_memory(2 * size, f"row group {group} of `{file}`")
        return _file(file).read_row_group(group, columns=list(columns))


def _chosen(
    file: FileIdentity, inputs: tuple[str, ...], column: str | None
) -> tuple[tuple[ParquetColumn, ...], str]:
    """The columns that are read, and the one that names rows, or nothing."""
    schema = _file(file).schema_arrow
    kinds = {field.name: kind for field in schema if (kind := _kind(field.type))}
    label = next((n for n in _LABELS if n in schema.names and n != column), "")
    if column is not None:
        if column not in kinds:
            help = did_you_mean(column, kinds) or (f"columns to read are: {', '.join(kinds)}",)
            raise _bad(file, f"it has no column `{column}` of images, paths or numbers", *help)
        return (ParquetColumn(column, kinds[column], inputs[0]),), label
    named = tuple(ParquetColumn(blob, kinds[blob], blob) for blob in inputs if blob in kinds)
    if len(named) == len(inputs) and (len(inputs) == 1 or {c.kind for c in named} == {"numbers"}):
        return named, label
    for kind in ("image", "path", "numbers"):
        found = [name for name, its in kinds.items() if its == kind]
        if len(found) == 1 and len(inputs) == 1:
            return (ParquetColumn(found[0], kind, inputs[0]),), "" if label == found[0] else label
    listed = ", ".join(f"`{name}`" for name in schema.names)
    message = f"it does not say which column is input `{inputs[0]}`: {listed}"
    raise _bad(file, message, "name one with --column")


def _numbers(value: Any) -> Any:
    """A list of numbers, or lists of lists, as one flat array."""
    values = value.values
    while hasattr(values, "flatten") and _kind(values.type) == "numbers":
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).astype(np.float32)


def _kind(type: Any) -> str:
    types = pyarrow_module().types
    if types.is_struct(type):
        names = {type.field(index).name for index in range(type.num_fields)}
        return "image" if "bytes" in names else ""
    if types.is_binary(type) or types.is_large_binary(type):
        return "image"
    if types.is_string(type) or types.is_large_string(type):
        return "path"
    listing = types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)
    if listing:
        inner = type.value_type
        nested = _kind(inner) == "numbers"
        return "numbers" if nested or types.is_floating(inner) or types.is_integer(inner) else ""
    return ""


def _bad(file: FileIdentity | str, why: str, *help: str) -> NetcError:
    return NetcError(Diagnostic("input-format", f"`{file}`: {why}", help=help))
