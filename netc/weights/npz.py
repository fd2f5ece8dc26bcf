"""`.npz` weights: one array under each `<layer>/<index>`."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from netc.weights.archive import ArchiveEntry, blob_name, check_kind, entries_of, gather
from netc.weights.model import Weights, float32_array
from netc.weights.numpy_file import NumpyArchive, open_archive
from netc.weights.quantized import RECORD, SCALES, decoded


def load_npz(path: str | os.PathLike[str]) -> Weights:
    """The weights of an ``.npz`` with keys ``<layer>/<index>``.

    Raises:
        NetcError: not-weights, malformed-weights, truncated-weights, bad-key, bad-blob,
            duplicate-array or too-large.
    """
    name = os.fspath(path)
    with open_archive(name) as archive:
        entries = [_entry(archive, key) for key in archive.names if not _is_beside(archive, key)]
    return gather(name, "npz", (), entries)


def _is_beside(archive: NumpyArchive, key: str) -> bool:
    """True for an array that belongs to others: what `netc quantize` writes besides weights."""
    return RECORD in archive.names and (key == RECORD or key.startswith(SCALES))


def _entry(archive: NumpyArchive, key: str) -> ArchiveEntry:
    layer, index = blob_name(archive.path, key)
    array = archive.read(key)
    check_kind(archive.path, key, array.dtype.kind)
    return ArchiveEntry(layer, index, float32_array(decoded(archive, key, array)), key)


def save_npz(path: Path, weights: Weights) -> None:
    """Write an uncompressed ``.npz``, one array after the other."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for entry in entries_of(weights):
            key = f"{entry.layer}/{entry.index}.npy"
            with archive.open(zipfile.ZipInfo(key), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(entry.array, entry.stored))
