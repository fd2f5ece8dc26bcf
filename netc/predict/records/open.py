"""What a source is, told by what lies there: one file, many, a database, a folder of shards."""

from __future__ import annotations

import glob
import hashlib
import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError
from netc.predict.records import arrays, files, parquet
from netc.predict.records.base import JoinedPart, Part, Records
from netc.predict.records.database import MARKS, DatabaseRecords
from netc.predict.records.tar import TarRecords

_SHARDS = parquet.SUFFIXES | arrays.SUFFIXES | {".tar"}


class JoinedRecords:
    """Several sources, one after another."""

    def __init__(self, shards: Sequence[Records]) -> None:
        self._shards = shards
        self._starts = [0]
        self.images = shards[0].images
        for shard in shards:
            self._starts.append(self._starts[-1] + len(shard))

    def __len__(self) -> int:
        return self._starts[-1]

    def part(self, first: int, last: int) -> Part:
        """See :class:`netc.predict.records.base.Records`."""
        found: list[Part] = []
        number = bisect_right(self._starts, first) - 1
        while first < last:
            start, stop = self._starts[number], self._starts[number + 1]
            if first < stop:
                found.append(self._shards[number].part(first - start, min(last, stop) - start))
            first, number = max(first, stop), number + 1
        return found[0] if len(found) == 1 else JoinedPart(tuple(found))

    def identity(self) -> str:
        """A hash of what the shards tell of themselves."""
        digest = hashlib.sha256()
        for shard in self._shards:
            digest.update(shard.identity().encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()


def open_records(source: str, inputs: Sequence[str], column: str | None = None) -> Records:
    """The records of a source.

    Args:
        source: a folder of images, and of folders of them; a pattern; a `.txt` list of files; an
            LMDB or LevelDB; an `.npz`, HDF5, Parquet or tar file, or a folder of such.
        inputs: the net's input blobs that are fed.
        column: of Parquet files.

    Raises:
        NetcError: missing-file, input-format, missing-package.
    """
    path = Path(source)
    if path.is_dir():
        return _of_folder(source, inputs, column)
    if not path.exists() and glob.has_magic(source):
        matched = sorted(glob.glob(source, recursive=True))
        if not matched:
            raise NetcError(Diagnostic("missing-file", f"no file fits the pattern `{source}`"))
        return _of_several(matched, inputs, column)
    if not path.exists():
        raise NetcError(Diagnostic("missing-file", f"there is no file or folder `{source}`"))
    if path.suffix.lower() == ".txt":
        return files.Files(files.listed(source))
    return _of_several([source], inputs, column)


def _is_database(path: str) -> bool:
    return any(os.path.isfile(os.path.join(path, mark)) for mark in MARKS)


def _is_shard(path: str) -> bool:
    if os.path.isdir(path):
        return _is_database(path)
    return Path(path).suffix.lower() in _SHARDS or path.lower().endswith(".lmdb")


def _of_folder(folder: str, inputs: Sequence[str], column: str | None) -> Records:
    if _is_database(folder):
        return DatabaseRecords(folder, inputs[0])
    named = (name for name in os.listdir(folder) if not name.startswith((".", "_")))
    shards = [path for name in sorted(named) if _is_shard(path := os.path.join(folder, name))]
    images = files.images_below(folder)
    if shards and images:
        message = (
            f"the folder `{folder}` has images, and shards such as `{os.path.basename(shards[0])}`"
        )
        help = ("name one kind by a pattern in quotes, such as 'folder/*.jpg'",)
        raise NetcError(Diagnostic("input-format", message, help=help))
    if shards:
        return _of_several(shards, inputs, column)
    if not images:
        kinds = ", ".join(sorted(s[1:] for s in files.SUFFIXES | _SHARDS))
        message = f"the folder `{folder}` has no images, no database and no shards"
        raise NetcError(Diagnostic("input-format", message, help=(f"files may be {kinds}",)))
    return files.Files(images)


def _of_several(paths: Sequence[str], inputs: Sequence[str], column: str | None) -> Records:
    shards = [path for path in paths if _is_shard(path)]
    if not shards:
        return files.Files(paths)
    if len(shards) < len(paths):
        other = next(path for path in paths if path not in set(shards))
        message = f"`{shards[0]}` is a shard, and `{other}` is none"
        raise NetcError(Diagnostic("input-format", message))
    opened = [_shard(path, inputs, column) for path in shards]
    return opened[0] if len(opened) == 1 else JoinedRecords(opened)


def _shard(path: str, inputs: Sequence[str], column: str | None) -> Records:
    suffix = Path(path).suffix.lower()
    where = os.path.abspath(path)
    if suffix in parquet.SUFFIXES:
        return parquet.ParquetRecords(path, inputs, column)
    if suffix in arrays.SUFFIXES:
        return arrays.ArrayRecords(path, inputs)
    if suffix == ".tar":
        return TarRecords(path)
    return DatabaseRecords(where, inputs[0])
