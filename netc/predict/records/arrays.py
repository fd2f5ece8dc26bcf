"""Rows of arrays: of `.npz` and HDF5 files, by the names of the inputs.

An input's array is the one of its name, also below ``in/``; a file with one array is for the only
input. Rows are read where they lie in the file; a packed array of an `.npz` is unpacked as a whole.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.memory import check_memory
from netc.ops.array import AnyArray
from netc.predict.records.base import FileIdentity, InputRecord
from netc.weights.hdf5 import h5py_module
from netc.weights.numpy_file import open_archive

if TYPE_CHECKING:
    import h5py

SUFFIXES = frozenset({".npz", ".h5", ".hdf5"})


class ArrayPart(NamedTuple):
    """Rows of a file's arrays."""

    file: FileIdentity
    inputs: tuple[str, ...]
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    def read(self) -> Iterator[InputRecord]:
        """The rows, read together."""
        columns = open_arrays(self.file, self.inputs)
        with strangers_bytes(lambda error: _bad(self.file, reason(error))):
            rows = {b: np.asarray(a[self.first : self.last]) for b, a in columns.items()}
        for row in range(len(self)):
            content = {blob: values[row] for blob, values in rows.items()}
            yield InputRecord(f"{self.file}[{self.first + row}]", content)


class ArrayRecords:
    """All rows of a file."""

    images = False

    def __init__(self, path: str, inputs: Sequence[str]) -> None:
        self._file, self._inputs = FileIdentity.of(path), tuple(inputs)
        columns = open_arrays(self._file, self._inputs)
        self._rows = int(next(iter(columns.values())).shape[0])
        self._shapes = {blob: (tuple(a.shape), str(a.dtype)) for blob, a in columns.items()}

    def __len__(self) -> int:
        return self._rows

    def part(self, first: int, last: int) -> ArrayPart:
        """See :class:`netc.predict.records.base.Records`."""
        return ArrayPart(self._file, self._inputs, first, last)

    def identity(self) -> str:
        """The file's size, and the shapes of its arrays."""
        return f"{os.path.basename(self._file.path)} {self._file.stamp[0]} {self._shapes}"


@lru_cache(maxsize=8)
def open_arrays(file: FileIdentity, inputs: tuple[str, ...]) -> Mapping[str, AnyArray]:
    """Input blob -> what gives its rows by slices, (rows, ...), opened once a process.

    Raises:
        NetcError: input-format, where the file lacks an input or rows differ in number.
    """
    packed = file.path.lower().endswith(".npz")
    found = _of_archive(file, inputs) if packed else _of_hdf5(file, inputs)
    counts = {blob: array.shape[0] if array.shape else 0 for blob, array in found.items()}
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"`{blob}` {count}" for blob, count in counts.items())
        raise _bad(file, f"its arrays have different numbers of rows: {listed}")
    return found


def _chosen(file: FileIdentity, names: Sequence[str], inputs: tuple[str, ...]) -> dict[str, str]:
    """Input blob -> the name of its array."""
    inner = [name for name in names if name.startswith("in/")] or list(names)
    keys = {name.removeprefix("in/"): name for name in inner}
    if len(inputs) == 1 and len(keys) == 1:
        return {inputs[0]: next(iter(keys.values()))}
    missing = [blob for blob in inputs if blob not in keys]
    if missing:
        listed = ", ".join(f"`{name}`" for name in keys) or "none"
        raise _bad(file, f"it has no array for input `{missing[0]}`; its arrays are: {listed}")
    return {blob: keys[blob] for blob in inputs}


def _of_archive(file: FileIdentity, inputs: tuple[str, ...]) -> dict[str, Any]:
    with open_archive(file.path, "input-format") as archive:
        chosen = _chosen(file, archive.names, inputs)
        return {
            b: _mapped(file.path, name) or _Whole(archive.read(name)) for b, name in chosen.items()
        }


class _Whole:
    """An array in memory; a class, so that it is true whatever is in it."""

    def __init__(self, array: AnyArray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, rows: slice) -> AnyArray:
        return self.array[rows]


def _mapped(path: str, name: str) -> _Whole | None:
    """An array that lies in the archive as it is, read from the disk row by row; else None."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                return None
            shape, column_major, dtype = read(file)
            start = file.tell()
    if column_major or dtype.hasobject or not shape or 0 in shape:
        return None
    with open(path, "rb") as raw:
        raw.seek(info.header_offset + 26)
        sizes = [int.from_bytes(raw.read(2), "little") for _ in range(2)]
    offset = info.header_offset + 30 + sum(sizes) + start
    if offset + int(np.prod(shape, dtype=object)) * dtype.itemsize > os.path.getsize(path):
        return None
    return _Whole(np.memmap(path, dtype, "r", offset, shape))


def _of_hdf5(place: FileIdentity, inputs: tuple[str, ...]) -> dict[str, AnyArray]:
    h5py = h5py_module()
    with strangers_bytes(lambda error: _bad(place, reason(error))):
        file = h5py.File(place.path, "r")
        names = [name for name in file if _local(file, name, h5py)]
        chosen = _chosen(place, names, inputs)
        found = {blob: file[name] for blob, name in chosen.items()}
        for blob, dataset in found.items():
            if dataset.external or dataset.is_virtual:
                raise _bad(place, f"the dataset of `{blob}` lies in other files")
            chunk = int(np.prod(dataset.chunks or (1,), dtype=object)) * dataset.dtype.itemsize
            check_memory(chunk, f"a chunk of `{blob}` in `{place}`")
    return found


def _local(file: h5py.File, name: str, h5py: ModuleType) -> bool:
    """Whether a name is a dataset of this very file: links to others are not followed."""
    link = file.get(name, getlink=True)
    return isinstance(link, h5py.HardLink) and isinstance(file[name], h5py.Dataset)


def _bad(file: FileIdentity, why: str) -> NetcError:
    return NetcError(Diagnostic("input-format", f"`{file}`: {why}"))
