"""The formats, by name and by suffix."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from netc.predict.formats.arrays import Hdf5, Npz
from netc.predict.formats.base import Format
from netc.predict.formats.parquet import Parquet
from netc.predict.formats.text import Csv, JsonLines

FORMATS: Mapping[str, Format] = MappingProxyType(
    {"jsonl": JsonLines(), "csv": Csv(), "parquet": Parquet(), "npz": Npz(), "h5": Hdf5()}
)
BY_SUFFIX: Mapping[str, str] = MappingProxyType(
    {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".npz": "npz"}
    | {".h5": "h5", ".hdf5": "h5"}
)
