"""JSON lines and CSV."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netc.ir.types import count
from netc.ops.array import AnyArray
from netc.predict.answers import OutputColumn
from netc.predict.formats.base import Columns, rows_of
from netc.printable import csv_cell


def _plain(value: object) -> Any:
    """A value for JSON, which has no infinities and no not-a-number: they become null."""
    if isinstance(value, np.ndarray):
        finite = value.dtype.kind != "f" or bool(np.isfinite(value).all())
        return _short(value).tolist() if finite else [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(str(value)) if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _short(values: AnyArray) -> Any:
    """float32 numbers as the shortest decimals that mean them, and not as float64's digits."""
    if values.dtype != np.float32:
        return values
    return np.array([float(str(v)) for v in values.ravel()]).reshape(values.shape)


class JsonLines:
    """One object a line, a field a key."""

    suffix = ".jsonl"

    def check(self, fields: Sequence[OutputColumn]) -> None:
        """Everything can be written."""

    def write(self, path: Path, fields: Sequence[OutputColumn], columns: Columns) -> None:
        """See :class:`netc.predict.formats.base.Format`."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in range(rows_of(columns)):
                line = {field.name: _plain(columns[field.name][row]) for field in fields}
                file.write(json.dumps(line, ensure_ascii=True) + "\n")

    def join(self, parts: Sequence[Path], path: Path, fields: Sequence[OutputColumn]) -> None:
        """The lines of all."""
        with path.open("wb") as file:
            for part in parts:
                with part.open("rb") as opened:
                    shutil.copyfileobj(opened, file, 1 << 20)


class Csv:
    """A table with a header; what a row has several of has a column each, numbered from 1.

    Of boxes, which are as many as there are, a cell holds a JSON list. Cells that a spreadsheet
    would take for a formula begin with an apostrophe.
    """

    suffix = ".csv"

    def check(self, fields: Sequence[OutputColumn]) -> None:
        """Everything can be written."""

    def write(self, path: Path, fields: Sequence[OutputColumn], columns: Columns) -> None:
        """See :class:`netc.predict.formats.base.Format`."""
        with path.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([csv_cell(name) for field in fields for name in _heads(field)])
            for row in range(rows_of(columns)):
                cells = (c for f in fields for c in _cells(f, columns[f.name][row]))
                writer.writerow([csv_cell(cell) for cell in cells])

    def join(self, parts: Sequence[Path], path: Path, fields: Sequence[OutputColumn]) -> None:
        """The rows of all under one header; a header is one line, whatever blobs are called."""
        with path.open("wb") as file:
            for number, part in enumerate(parts):
                with part.open("rb") as opened:
                    header = opened.readline()
                    file.write(b"" if number else header)
                    shutil.copyfileobj(opened, file, 1 << 20)


def _heads(field: OutputColumn) -> list[str]:
    if field.shape is None or field.shape == ():
        return [field.name]
    return [f"{field.name}_{number + 1}" for number in range(count(field.shape))]


def _cells(field: OutputColumn, value: object) -> Iterator[object]:
    if field.shape is None:
        yield json.dumps(_plain(value))
    elif field.shape == ():
        yield value
    else:
        yield from np.asarray(value, object if field.kind == "text" else None).ravel()
