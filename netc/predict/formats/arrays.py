"""Arrays: `.npz` and HDF5, an array a field, its first axis the row.

What rows have different numbers of lies one after another in one array, and ``FIELD_count`` says
how many belong to each row.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray
from netc.predict.answers import OutputColumn
from netc.predict.formats.base import Columns
from netc.weights.hdf5 import h5py_module

if TYPE_CHECKING:
    import h5py

_COUNT = "_count"
_DTYPES: dict[str, Any] = {"integer": np.int64, "number": np.float32}


def _arrays(fields: Sequence[OutputColumn], columns: Columns) -> Iterator[tuple[str, Any]]:
    for field in fields:
        column = columns[field.name]
        if field.shape is not None:
            yield field.name, _typed(column, field)
            continue
        counts = np.array([len(row) for row in column], np.int64)
        rows = [row for row in column if len(row)]
        tail = (4,) if field.name.endswith("_box") else ()
        yield field.name, _typed(np.concatenate(rows) if rows else np.zeros((0, *tail)), field)
        yield field.name + _COUNT, counts


def _typed(column: Any, field: OutputColumn) -> AnyArray:
    if field.kind != "text":
        return np.asarray(column, _DTYPES[field.kind])
    listed = np.array([row if isinstance(row, str) else list(row) for row in column])
    if listed.dtype.kind == "U":
        return listed
    return np.zeros((len(column), *(field.shape or ())), "U1")


class Npz:
    """NumPy's archive; its arrays are stored as they are, so that parts of them can be read."""

    suffix = ".npz"

    def check(self, fields: Sequence[OutputColumn]) -> None:
        """Everything can be written."""

    def write(self, path: Path, fields: Sequence[OutputColumn], columns: Columns) -> None:
        """See :class:`netc.predict.formats.base.Format`."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in _arrays(fields, columns):
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, _plain_text(array))

    def join(self, parts: Sequence[Path], path: Path, fields: Sequence[OutputColumn]) -> None:
        """Each array of all parts, one part after another."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name in _names(fields):
                self._join(name, parts, archive)

    def _join(self, name: str, parts: Sequence[Path], archive: zipfile.ZipFile) -> None:
        heads = [_head(part, name) for part in parts]
        dtype = max((dtype for _, dtype in heads), key=lambda dtype: dtype.itemsize)
        shape = (sum(shape[0] for shape, _ in heads), *heads[0][0][1:])
        head = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, head)
            for part in parts:
                with zipfile.ZipFile(part) as opened, opened.open(f"{name}.npy") as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                file.write(np.ascontiguousarray(array, dtype).tobytes())


def _names(fields: Sequence[OutputColumn]) -> Iterator[str]:
    for field in fields:
        yield field.name
        if field.shape is None:
            yield field.name + _COUNT


def _plain_text(array: AnyArray) -> AnyArray:
    return array if array.dtype.kind != "U" or array.dtype.itemsize else array.astype("U1")


def _head(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return shape, dtype


class Hdf5:
    """HDF5, a dataset a field; texts are UTF-8 of any length."""

    suffix = ".h5"

    def check(self, fields: Sequence[OutputColumn]) -> None:
        """h5py is there, and no field's name is a group of another's."""
        h5py_module()
        names = set(_names(fields))
        for name in names:
            above = {name[:at] for at, char in enumerate(name) if char == "/"} & names
            if above:
                message = f"HDF5 cannot hold both `{above.pop()}` and `{name}`"
                raise NetcError(Diagnostic("unsupported-name", message, help=("write an .npz",)))

    def write(self, path: Path, fields: Sequence[OutputColumn], columns: Columns) -> None:
        """See :class:`netc.predict.formats.base.Format`."""
        h5py = h5py_module()
        with h5py.File(path, "w") as file:
            for name, array in _arrays(fields, columns):
                _dataset(file, name, array.shape, array.dtype, h5py)[...] = _encodable(array)

    def join(self, parts: Sequence[Path], path: Path, fields: Sequence[OutputColumn]) -> None:
        """Each dataset of all parts, one part after another."""
        h5py = h5py_module()
        with h5py.File(path, "w") as file:
            for name in _names(fields):
                _join_datasets(file, name, parts, h5py)


def _join_datasets(file: object, name: str, parts: Sequence[Path], h5py: ModuleType) -> None:
    shapes, dtype = [], None
    for part in parts:
        with h5py.File(part, "r") as opened:
            shapes.append(opened[name].shape)
            dtype = opened[name].dtype
    whole = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    target, start = _dataset(file, name, whole, dtype, h5py), 0
    for part, shape in zip(parts, shapes, strict=True):
        with h5py.File(part, "r") as opened:
            target[start : start + shape[0]] = opened[name][...]
        start += shape[0]


def _dataset(file: h5py.File, name: str, shape: Any, dtype: Any, h5py: ModuleType) -> Any:
    text = dtype.kind in "UO"
    kind = h5py.string_dtype("utf-8") if text else dtype
    return file.create_dataset(name, shape, kind)


def _encodable(array: AnyArray) -> AnyArray:
    """Texts as HDF5 takes them: what is no UTF-8 in a file's name is written as an escape."""
    if array.dtype.kind != "U":
        return array
    found = np.array([_encoded(text) for text in array.ravel()], object)
    return found.reshape(array.shape)


def _encoded(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
