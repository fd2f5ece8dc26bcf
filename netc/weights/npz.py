"""`.npz` weights: one array under each `<layer>/<index>`."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from netc.diagnostics import NetcError
from netc.ir.types import Shape
from netc.weights.archive import (
    Allowance,
    Entry,
    blob_name,
    check_array,
    entries_of,
    gather,
)
from netc.weights.faults import fault
from netc.weights.model import Weights, float32_array

_BAD = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError,
        RuntimeError)  # fmt: skip
_SUFFIX = ".npy"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def load_npz(path: str | os.PathLike[str]) -> Weights:
    """The weights of an ``.npz`` with keys ``<layer>/<index>``.

    Raises:
        NetcError: not-weights, malformed-weights, truncated-weights, bad-key, bad-blob or
            too-large.
    """
    name = os.fspath(path)
    try:
        with zipfile.ZipFile(name) as archive:
            return _load(name, archive)
    except NetcError:
        raise
    except _BAD as error:
        raise _damaged(name, str(error)) from None


def _damaged(path: str, reason: str) -> NetcError:
    if "End-of-central-directory" in reason or "not a zip file" in reason:
        return fault(
            "truncated-weights",
            path,
            "the archive's directory, at its end, is missing",
            "the download was cut off; download the file again",
        )
    return fault(
        "malformed-weights", path, f"the archive is damaged: {reason[:200]}", "download it again"
    )


def _load(path: str, archive: zipfile.ZipFile) -> Weights:
    infos = archive.infolist()
    _check_kind(path, [info.filename for info in infos])
    allowance = Allowance(path, os.path.getsize(path))
    entries = []
    for info in infos:
        key = info.filename.removesuffix(_SUFFIX)
        layer, index = blob_name(path, key)
        with archive.open(info) as file:
            entries.append(Entry(layer, index, _array(path, key, file, allowance)))
    return gather(path, "npz", (), entries)


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


def _array(path: str, key: str, file: IO[bytes], allowance: Allowance) -> Any:
    shape, column_major, dtype = _header(file)
    check_array(path, key, shape, dtype.kind)
    size = math.prod(shape) * dtype.itemsize
    allowance.take(key, size)
    values = np.empty(size, dtype=np.uint8)
    _fill(file, values.data, path, key)
    array = values.view(dtype).reshape(shape, order="F" if column_major else "C")
    return float32_array(array)


def _header(file: IO[bytes]) -> tuple[Shape, bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = _HEADERS.get(version)
    if read is None:
        raise ValueError(f"an array of format {version[0]}.{version[1]}")
    try:
        return read(file)
    except (TypeError, KeyError, SyntaxError, MemoryError) as error:
        raise ValueError(f"an array's header cannot be read, {error}") from None


def _fill(file: IO[bytes], view: memoryview, path: str, key: str) -> None:
    done = 0
    while done < len(view):
        part = file.read(min(1 << 20, len(view) - done))
        if not part:
            raise fault(
                "truncated-weights",
                path,
                f"the array `{key}` needs at least {len(view) - done:,} more bytes",
            )
        view[done : done + len(part)] = part
        done += len(part)
    if file.read(1):  # reading to the end checks the checksum too
        raise fault("malformed-weights", path, f"the array `{key}` has bytes after its values")


def save_npz(path: Path, weights: Weights) -> None:
    """Write an uncompressed ``.npz``, one array after the other."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for entry in entries_of(weights):
            key = f"{entry.layer}/{entry.index}{_SUFFIX}"
            with archive.open(zipfile.ZipInfo(key), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(entry.array, "<f4"))
