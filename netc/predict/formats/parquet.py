"""Parquet (extra `parquet`): a column a field; arrays are lists of their values, row by row.

Of a blob of more than one axis the column's metadata has its ``shape``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from netc.ir.types import count
from netc.ops.array import AnyArray
from netc.predict.answers import OutputColumn
from netc.predict.formats.base import Columns
from netc.predict.records.parquet import pyarrow_module


class Parquet:
    """One row group a shard."""

    suffix = ".parquet"

    def check(self, fields: Sequence[OutputColumn]) -> None:
        """Pyarrow is there."""
        pyarrow_module()

    def write(self, path: Path, fields: Sequence[OutputColumn], columns: Columns) -> None:
        """See :class:`netc.predict.formats.base.Format`."""
        arrow = pyarrow_module()
        schema = arrow.schema([_field(field, arrow) for field in fields])
        made = [_column(f, columns[f.name], schema.field(f.name).type, arrow) for f in fields]
        arrow.parquet.write_table(arrow.Table.from_arrays(made, schema=schema), path)

    def join(self, parts: Sequence[Path], path: Path, fields: Sequence[OutputColumn]) -> None:
        """The row groups of all."""
        arrow = pyarrow_module()
        schema = arrow.schema([_field(field, arrow) for field in fields])
        with arrow.parquet.ParquetWriter(path, schema) as writer:
            for part in parts:
                writer.write_table(arrow.parquet.read_table(part, schema=schema))


def _field(field: OutputColumn, arrow: ModuleType) -> object:
    types = {"integer": arrow.int64(), "number": arrow.float32(), "text": arrow.string()}
    inner = types[field.kind]
    if field.shape == ():
        return arrow.field(field.name, inner)
    if field.shape is not None:
        metadata = {"shape": json.dumps(list(field.shape))}
        return arrow.field(field.name, arrow.list_(inner, count(field.shape)), metadata=metadata)
    boxes = field.name.endswith("_box")
    return arrow.field(field.name, arrow.list_(arrow.list_(inner, 4) if boxes else inner))


def _column(field: OutputColumn, column: AnyArray, type: Any, arrow: ModuleType) -> object:
    if field.kind == "text":
        return arrow.array([_text(value) for value in column], type)
    if field.shape == ():
        return arrow.array(np.asarray(column), type)
    if field.shape is None:
        return arrow.array([np.asarray(row).tolist() for row in column], type)
    values = np.ascontiguousarray(column).reshape(-1)
    return arrow.FixedSizeListArray.from_arrays(arrow.array(values, type.value_type), type=type)


def _text(value: Any) -> Any:
    """UTF-8, in which a file's name may hold bytes that are none: they are written as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return [_text(item) for item in value]
