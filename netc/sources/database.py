"""Data: records of an LMDB or LevelDB in the order of their keys (data_layer.cpp, db_lmdb.cpp)."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.sources.base import DataLayer, Epochs, stacked
from netc.sources.batches import batch_size, check_room
from netc.sources.paths import find
from netc.sources.records import read_datum
from netc.sources.transform import read_transform


class Database(Protocol):
    """Records by key, in the order of the keys' bytes."""

    def keys(self) -> list[bytes]:
        """All keys, in order."""

    def value(self, key: bytes) -> bytes:
        """A record's bytes."""


class DatabaseSource:
    """A Data layer.

    With `rand_skip` the first record is a random one; netc shuffles where `shuffle` (a field of
    forks) says so, by another order of keys in each epoch.
    """

    def __init__(self, source: DataLayer) -> None:
        param = source.layer.get("data_param")
        self.layer = source
        self._size = batch_size(source, "data_param")
        self._transform = read_transform(source)
        span = param.span_of("source")
        self._path = find(param.get("source"), source.folder, "the database", span)
        self._database = open_database(self._path, param.get("backend"), source)
        self._keys = self._database.keys()
        if not self._keys:
            raise source.fault("bad-record", f"the database `{self._path}` has no records")
        shuffle = bool(param.get("shuffle")) if "shuffle" in param.type.fields else False
        self._epochs = Epochs(len(self._keys), shuffle=shuffle, seed=source.seed, name=source.name)

    def batch(self, position: int) -> Mapping[str, Array]:
        """The pictures and labels of a pass; see :class:`netc.sources.base.DataSource`."""
        keys, names = self._batch_keys(position), self.names(position)
        pictures, labels = [], []
        for place, (key, what) in enumerate(zip(keys, names, strict=True)):
            record = read_datum(self._database.value(key), what, self._transform)
            pictures.append(self._transform.apply(record.pixels, what, position, place))
            labels.append(record.label)
            if not place:
                check_room(self.layer, "data_param", self._size, pictures[0].nbytes)
        made = [stacked(pictures, self.layer, names), np.array(labels, np.float32)]
        return dict(zip(self.layer.tops, made, strict=False))

    def names(self, position: int) -> list[str]:
        """The records of a pass, by their keys."""
        keys = (key.decode("utf-8", "backslashreplace") for key in self._batch_keys(position))
        return [f"record `{key}` of `{self._path}`" for key in keys]

    def _batch_keys(self, position: int) -> list[bytes]:
        return [self._keys[i] for i in self._epochs.records(position, self._size)]


def open_database(path: Path, backend: str, source: DataLayer) -> Database:
    """A database that is read only.

    Raises:
        NetcError: missing-package; bad-record, where it is none.
    """

    def told(error: Exception) -> NetcError:
        message = f"`{path}` cannot be read as a database ({backend}): {reason(error)}"
        return source.fault("bad-record", message, "data_param.source")

    with strangers_bytes(told):
        return _Lmdb(path) if backend == "LMDB" else _LevelDb(path)


def _missing(package: str, extra: str, kind: str) -> NetcError:
    return NetcError(
        Diagnostic(
            "missing-package",
            f"{kind} databases need the package `{package}`, which is not installed",
            help=(f"pip install '{extra}'",),
        )
    )


def lmdb_module() -> Any:
    """The package lmdb; NetcError missing-package where it is not installed."""
    try:
        import lmdb
    except ImportError:
        raise _missing("lmdb", "lmdb", "LMDB") from None
    return lmdb


class _Environment:
    """An open LMDB, closed when nobody has it any more."""

    def __init__(self, path: Path) -> None:
        lmdb, folder = lmdb_module(), path.is_dir()
        self.lmdb: Any = lmdb.open(
            str(path), readonly=True, lock=False, readahead=False, subdir=folder, create=False
        )
        weakref.finalize(self, self.lmdb.close)


# LMDB refuses to be opened twice in a process, and the nets of a solver, or two solvers, may read
# one database. File -> what is open; a database made anew in its place is another file.
_OPEN: weakref.WeakValueDictionary[tuple[int, int], _Environment] = weakref.WeakValueDictionary()
_OPENING = threading.Lock()


def _environment(path: Path) -> _Environment:
    file = (path / "data.mdb" if path.is_dir() else path).stat()
    key = (file.st_dev, file.st_ino)
    with _OPENING:
        found = _OPEN.get(key)
        if found is None:
            found = _OPEN[key] = _Environment(path)
        return found


class _Lmdb:
    def __init__(self, path: Path) -> None:
        lmdb_module()
        self._shared = _environment(path)
        self._environment = self._shared.lmdb

    def keys(self) -> list[bytes]:
        with self._environment.begin() as transaction:
            return list(self._iterate(transaction))

    def _iterate(self, transaction: Any) -> Iterator[bytes]:
        with transaction.cursor() as cursor:
            yield from cursor.iternext(keys=True, values=False)

    def value(self, key: bytes) -> bytes:
        with self._environment.begin() as transaction:
            return bytes(transaction.get(key))


class _LevelDb:
    """A LevelDB, which LevelDB itself would write to when it opens it; so a copy is opened.

    Its tables, which are never changed, are linked to and not copied; its log and lists are small.
    """

    def __init__(self, path: Path) -> None:
        try:
            import plyvel
        except ImportError:
            raise _missing("plyvel", "netc[leveldb]", "LevelDB") from None
        copy = Path(tempfile.mkdtemp(prefix="netc-leveldb-"))
        weakref.finalize(self, shutil.rmtree, copy, ignore_errors=True)
        for file in path.iterdir():
            target = copy / file.name
            if file.suffix in (".ldb", ".sst"):
                target.symlink_to(file.resolve())
            else:
                shutil.copy(file, target)
        self._database: Any = plyvel.DB(str(copy), create_if_missing=False)

    def keys(self) -> list[bytes]:
        return list(self._database.iterator(include_value=False))

    def value(self, key: bytes) -> bytes:
        return bytes(self._database.get(key))
