"""Untrusted NumPy files: `.npy`, and `.npz`, which is a zip archive of them.

Pickled objects are never loaded. A header is checked, and its array's size counted, before memory
is allocated; an archive with a duplicate name is refused, since readers differ in which they take.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import NetcError
from netc.ir.types import Shape
from netc.weights.archive import Allowance, check_kind, check_shape
from netc.weights.bytefile import open_bytes
from netc.weights.faults import fault

MAGIC = b"\x93NUMPY"
_SUFFIX = ".npy"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA takes what memory a file says
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def load_array(path: str | os.PathLike[str], code: str = "malformed-weights") -> Any:
    """The array of a ``.npy`` file, in its stored dtype.

    Args:
        path: the file.
        code: the error code for a damaged file.

    Raises:
        NetcError: ``code``, bad-blob, truncated-weights, missing-file and the like.
    """
    name = os.fspath(path)
    with open_bytes(name) as file:
        size = file.size
        if file.peek(0, min(size, len(MAGIC))) != MAGIC:
            raise fault(code, name, "this is no NumPy file")
    with strangers_bytes(lambda error: _unreadable(name, error, code)), open(name, "rb") as opened:
        return _read(opened, name, os.path.basename(name), Allowance(name, size), code, size)


def _unreadable(path: str, error: Exception, code: str) -> NetcError:
    return fault(code, path, f"the NumPy file cannot be read: {reason(error)}")


class NumpyArchive:
    """The arrays of an open ``.npz``, each read on request; made by :func:`open_archive`."""

    def __init__(self, path: str, archive: zipfile.ZipFile, code: str) -> None:
        self.path = path
        self.code = code
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._allowance = Allowance(path, os.path.getsize(path))
        _check_kind(path, archive.namelist())
        for info in archive.infolist():
            self._add(info)

    def _add(self, info: zipfile.ZipInfo) -> None:
        name = info.filename.removesuffix(_SUFFIX)
        if name in self._members:
            raise fault(
                "duplicate-array",
                self.path,
                f"the file has an array `{name}` twice",
                "only one of them can be meant: write the file again",
            )
        if info.compress_type not in _METHODS:
            raise fault(
                self.code,
                self.path,
                f"the array `{name}` is compressed by method {info.compress_type} of zip, and "
                "NumPy stores or deflates",
                "write it with numpy.savez or numpy.savez_compressed",
            )
        self._members[name] = info

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays' names in the file's order."""
        return tuple(self._members)

    def read(self, name: str) -> Any:
        """An array in its stored dtype.

        Raises:
            NetcError: the archive's code for damage; bad-blob, too-large, truncated-weights.
            KeyError: there is no array of this name.
        """
        with self._archive.open(self._members[name]) as file:
            return _read(file, self.path, name, self._allowance, self.code)


def _check_kind(path: str, names: list[str]) -> None:
    if any(name.endswith("data.pkl") for name in names):
        raise fault("not-weights", path, "this is a PyTorch file", "save its arrays as an .npz")
    other = [name for name in names if not name.endswith(_SUFFIX)]
    if other:
        raise fault(
            "compressed-file",
            path,
            f"this is a zip archive with `{other[0][:200]}` in it, not an .npz",
            "unpack it first",
        )


@contextmanager
def open_archive(
    path: str | os.PathLike[str], code: str = "malformed-weights"
) -> Iterator[NumpyArchive]:
    """A context with an open ``.npz``; ``code`` is the error code for a damaged file.

    Raises:
        NetcError: ``code``, duplicate-array, not-weights, compressed-file, truncated-weights,
            missing-file and the like; also for what is read inside the context.
    """
    name = os.fspath(path)
    with open_bytes(name):
        pass
    with strangers_bytes(lambda error: _damaged(name, error, code)):
        with zipfile.ZipFile(name) as archive:
            yield NumpyArchive(name, archive, code)


def _damaged(path: str, error: Exception, code: str) -> NetcError:
    why = reason(error)
    if "End-of-central-directory" in why or "not a zip file" in why:
        return fault(
            "truncated-weights" if code == "malformed-weights" else code,
            path,
            "the archive's directory, at its end, is missing",
            "the download was cut off; download the file again",
        )
    return fault(code, path, f"the archive is damaged: {why}", "download it again")


def _read(
    file: IO[bytes],
    path: str,
    key: str,
    allowance: Allowance,
    code: str,
    at_most: int | None = None,
) -> Any:
    shape, column_major, dtype = _header(file)
    if dtype.hasobject and at_most is not None:
        raise ValueError("it holds Python objects, and no pickle is opened")
    if dtype.hasobject:
        check_kind(path, key, "O")
    check_shape(path, key, shape)
    size = math.prod(shape) * dtype.itemsize
    if at_most is not None and size > at_most:
        raise _short(path, key, size - at_most)
    allowance.take(key, math.prod(shape) * max(4, dtype.itemsize))
    values = np.empty(size, dtype=np.uint8)
    _fill(file, values.data, path, key, code)
    return values.view(dtype).reshape(shape, order="F" if column_major else "C")


def _header(file: IO[bytes]) -> tuple[Shape, bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    read = _HEADERS.get(version)
    if read is None:
        raise ValueError(f"an array of format {version[0]}.{version[1]}")
    return read(file)


def _fill(file: IO[bytes], view: memoryview, path: str, key: str, code: str) -> None:
    done = 0
    while done < len(view):
        part = file.read(min(1 << 20, len(view) - done))
        if not part:
            raise _short(path, key, len(view) - done)
        view[done : done + len(part)] = part
        done += len(part)
    if file.read(1):  # reading to the end checks the checksum too
        raise fault(code, path, f"the array `{key}` has bytes after its values")


def _short(path: str, key: str, missing: int) -> NetcError:
    return fault(
        "truncated-weights", path, f"the array `{key}` needs at least {missing:,} more bytes"
    )
