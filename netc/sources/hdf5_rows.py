"""HDF5Data: rows of HDF5 files, one after the other (hdf5_data_layer.cpp).

Each top is read from the dataset of its name, whose first axis is the row. Batches continue across
files and start again after the last. Files are read in slices, so that they may be larger than
memory. Integers and doubles become float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.memory import check_memory
from netc.ops.array import AnyArray
from netc.sources.base import DataLayer, Epochs
from netc.sources.batches import batch_size, check_room
from netc.sources.paths import find, resolve
from netc.weights.hdf5 import h5py_module

if TYPE_CHECKING:
    import h5py


class Hdf5Source:
    """An HDF5Data layer. With `shuffle` the rows of all files together are shuffled each epoch."""

    def __init__(self, source: DataLayer) -> None:
        param = source.layer.get("hdf5_data_param")
        self.layer = source
        if source.layer.has("transform_param"):  # hdf5_data_layer.cpp:77
            raise source.fault(
                "out-of-range",
                "HDF5Data does not transform data, and `transform_param` is given",
                "transform_param",
                "remove it, and transform the data before they are written",
            )
        self._size = batch_size(source, "hdf5_data_param")
        span = param.span_of("source")
        listed = find(param.get("source"), source.folder, "the list of HDF5 files", span)
        self._files = [self._open(path) for path in self._paths(listed)]
        counts = [self._rows(path, file) for path, file in self._files]
        self._ends = np.cumsum(counts)
        if not counts or not self._ends[-1]:
            raise source.fault("bad-record", f"`{listed}` names no rows")
        self._epochs = Epochs(
            int(self._ends[-1]), shuffle=param.get("shuffle"), seed=source.seed, name=source.name
        )

    def batch(self, position: int) -> Mapping[str, Array]:
        """The rows of a pass; see :class:`netc.sources.base.DataSource`."""
        rows = self._epochs.records(position, self._size)
        return {top: self._read(top, rows) for top in self.layer.tops}

    def names(self, position: int) -> list[str]:
        """The rows of a pass, by their numbers in their files, from 0."""
        return [self._name(row) for row in self._epochs.records(position, self._size)]

    def _name(self, row: int) -> str:
        index = int(np.searchsorted(self._ends, row, side="right"))
        start = int(self._ends[index - 1]) if index else 0
        return f"row {row - start} of `{self._files[index][0]}`"

    def _read(self, top: str, rows: list[int]) -> Array:
        parts = [self._slice(top, first, count) for first, count in _runs(rows, self._ends)]
        return np.ascontiguousarray(np.concatenate(parts))

    def _slice(self, top: str, first: int, count: int) -> Array:
        index = int(np.searchsorted(self._ends, first, side="right"))
        path, file = self._files[index]
        start = first - (int(self._ends[index - 1]) if index else 0)
        with strangers_bytes(lambda error: self._bad(path, reason(error))):
            return np.asarray(file[top][start : start + count], dtype=np.float32)

    def _paths(self, listed: Path) -> list[Path]:
        with strangers_bytes(lambda error: self._bad(listed, reason(error))):
            names = listed.read_text(encoding="utf-8", errors="surrogateescape").split()
        folder = self.layer.folder or listed.parent
        return [resolve(name, folder, "the HDF5 file") for name in names]

    def _open(self, path: Path) -> tuple[Path, Any]:
        h5py = h5py_module()
        with strangers_bytes(lambda error: self._bad(path, reason(error))):
            return path, h5py.File(path, "r")

    def _rows(self, path: Path, file: h5py.File) -> int:
        """How many rows a file has, the same for all tops."""
        with strangers_bytes(lambda error: self._bad(path, reason(error))):
            counts = {top: self._rows_of(path, file, top) for top in self.layer.tops}
        if len(set(counts.values())) != 1:
            listed = ", ".join(f"`{top}` {count}" for top, count in counts.items())
            raise self._bad(path, f"its datasets have different numbers of rows: {listed}")
        return next(iter(counts.values()))

    def _rows_of(self, path: Path, file: h5py.File, top: str) -> int:
        if _is_elsewhere(file, top):
            raise self._bad(
                path, f"the dataset `{top}` lies in another file: copy it into this one"
            )
        if top not in file or not getattr(file[top], "shape", ()):
            raise self._bad(path, f"it has no dataset `{top}` with rows")
        check_room(self.layer, "hdf5_data_param", self._size, 4 * math.prod(file[top].shape[1:]))
        self._check_chunk(path, top, file[top])
        return int(file[top].shape[0])

    def _check_chunk(self, path: Path, top: str, dataset: h5py.Dataset) -> None:
        """A chunk is unpacked whole, however few of its rows are read."""
        chunk = math.prod(dataset.chunks) if dataset.chunks else 0
        what = f"layer `{self.layer.name}`: the bytes of a chunk of `{top}` in `{path}`"
        check_memory(2 * chunk * dataset.dtype.itemsize, what, self.layer.layer.span)

    def _bad(self, path: Path, why: str) -> NetcError:
        return self.layer.fault("bad-record", f"`{path}`: {why}")


def _is_elsewhere(file: h5py.File, name: str) -> bool:
    """Whether a link on the way to a dataset, or the dataset, refers to another file."""
    external = h5py_module().ExternalLink
    parts = [part for part in name.split("/") if part]
    for end in range(1, len(parts) + 1):
        if isinstance(file.get("/".join(parts[:end]), getlink=True), external):
            return True
    found = file.get(name)
    return bool(getattr(found, "external", None) or getattr(found, "is_virtual", False))


def _runs(rows: list[int], ends: AnyArray) -> list[tuple[int, int]]:
    """Rows as (first, count) of consecutive ones within a file."""
    found: list[tuple[int, int]] = []
    borders = {int(end) for end in ends}
    for row in rows:
        if found and row == sum(found[-1]) and row not in borders:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((row, 1))
    return found
