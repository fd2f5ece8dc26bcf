"""Data: records of an LMDB or LevelDB in the order of their keys (data_layer.cpp, db_lmdb.cpp)."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.ops.fields import fork_field
from netc.sources.base import DataLayer, Epochs, stacked
from netc.sources.batch_transform import goes_together, size_of, transformed, try_shape
from netc.sources.batches import batch_size, check_room
from netc.sources.decoded import DecodedRecords
from netc.sources.environment import environment, lmdb_module, missing_package
from netc.sources.mapped import Probe
from netc.sources.paths import find
from netc.sources.records import ImageRecord, read_datum
from netc.sources.transform import Transform, read_transform


class Database(Protocol):
    """A key-value database, in byte order of the keys."""

    def keys(self) -> list[bytes]:
        """All keys, in byte order."""

    def value(self, key: bytes) -> bytes:
        """The value stored under a key."""


class DatabaseSource:
    """A Data layer (data_layer.cpp).

    With `shuffle` (a field of forks) each epoch has another order of keys. `rand_skip` has no
    effect, as in Caffe since it reads ahead in one thread (caffe.proto: deprecated).
    """

    def __init__(self, source: DataLayer) -> None:
        param = source.layer.get("data_param")
        self.layer = source
        if len(source.tops) > 1 and fork_field(param, "get_mirror_crop", False):
            raise param.error(
                "get_mirror_crop",
                "unsupported-data-field",
                f"layer `{source.name}` (Data): netc's readers do not tell how each picture was "
                "mirrored and cropped",
                "feed the net the arrays themselves",
            )
        self._size = batch_size(source, "data_param")
        self._transform = self._read_transform()
        self._decoded = DecodedRecords()
        span = param.span_of("source")
        self._path = find(param.get("source"), source.folder, "the database", span)
        self._database = open_database(self._path, param.get("backend"), source)
        self._keys = self._database.keys()
        if not self._keys:
            raise source.fault("bad-record", f"the database `{self._path}` has no records")
        shuffle = bool(param.get("shuffle")) if "shuffle" in param.type.fields else False
        self._epochs = Epochs(len(self._keys), shuffle=shuffle, seed=source.seed, name=source.name)

    def _read_transform(self) -> Transform:
        return read_transform(self.layer)

    def batch(self, position: int) -> Mapping[str, Array]:
        """The pictures and labels of a pass; see :class:`netc.sources.base.DataSource`."""

        together = goes_together(self._transform)
        data, labels = self._together(position) if together else self._one_by_one(position)
        return dict(zip(self.layer.tops, (data, np.array(labels, np.float32)), strict=False))

    def _together(self, position: int) -> tuple[Array, Sequence[int]]:
        """The pictures of a pass, transformed as one array, and their labels."""

        def read(record: int, place: int) -> ImageRecord:
            found, what = self._record(record)
            try_shape(self._transform, found.pixels, what, position, place)
            if not place:
                size = size_of(self._transform, found.pixels)
                check_room(self.layer, "data_param", self._size, size)
            return found

        rows = self._decoded.all_of(self._epochs.records(position, self._size))
        if rows is None:
            rows = self._epochs.whole(position, self._size, self.layer, read)
        pictures = [row.pixels for row in rows]
        data = transformed(self._transform, pictures, lambda: self.names(position), position)
        return data, [row.label for row in rows]

    def _one_by_one(self, position: int) -> tuple[Array, Sequence[int]]:
        """The pictures of a pass, each transformed by itself, and their labels."""

        def read(record: int, place: int) -> tuple[Array, int, str]:
            found, what = self._record(record)
            pixels = self._transform.apply(found.pixels, what, position, place)
            if not place:
                check_room(self.layer, "data_param", self._size, pixels.nbytes)
            return pixels, found.label, what

        rows = self._epochs.whole(position, self._size, self.layer, read)
        pictures, labels, names = zip(*rows, strict=True)
        return stacked(pictures, self.layer, names), labels

    def _record(self, record: int) -> tuple[ImageRecord, str]:
        """A record as it was decoded, and its name."""
        key = self._keys[record]
        what = self._name(key)

        def make() -> ImageRecord:
            return read_datum(self._database.value(key), what, self._transform)

        return self._decoded.get(record, make), what

    def names(self, position: int) -> list[str]:
        """The records of a pass, by their keys."""
        rows = self._epochs.records(position, self._size)
        return [self._name(self._keys[row]) for row in rows]

    def _name(self, key: bytes) -> str:
        return f"record `{key.decode('utf-8', 'backslashreplace')}` of `{self._path}`"


def open_database(path: Path, backend: str, source: DataLayer) -> Database:
    """Open a database for reading; ``backend`` is "LMDB" or "LEVELDB".

    Raises:
        NetcError: file-not-found; missing-package; bad-record, where it is damaged or no database.
    """

    def complaint(error: Exception) -> NetcError:
        message = f"`{path}` cannot be read as a database ({backend}): {reason(error)}"
        return source.fault("bad-record", message, "data_param.source")

    if not path.exists():
        raise source.fault("file-not-found", f"there is no database `{path}`", "data_param.source")
    with strangers_bytes(complaint):
        return _Guarded(_Lmdb(path) if backend == "LMDB" else _LevelDb(path), complaint)


class _Guarded:
    """A database of which whatever its library raises is told as a fault of its file."""

    def __init__(self, database: Database, complaint: Callable[[Exception], NetcError]) -> None:
        self._database = database
        self._told = complaint

    def keys(self) -> list[bytes]:
        with strangers_bytes(self._told):
            return self._database.keys()

    def value(self, key: bytes) -> bytes:
        with strangers_bytes(self._told):
            return self._database.value(key)


class _Lmdb:
    def __init__(self, path: Path) -> None:
        lmdb_module()
        self._shared = environment(path)
        self._environment = self._shared.lmdb
        self._probe = Probe()

    def keys(self) -> list[bytes]:
        most, entries = self._environment.max_key_size(), self._environment.stat()["entries"]
        found: list[bytes] = []
        with self._environment.begin(buffers=True) as transaction, transaction.cursor() as cursor:
            for key in cursor.iternext(keys=True, values=False):
                if len(key) > most or len(found) >= entries:
                    raise ValueError(f"its keys are damaged behind record {len(found)}")
                found.append(bytes(key))
        return found

    def value(self, key: bytes) -> bytes:
        with self._environment.begin(buffers=True) as transaction:
            view = transaction.get(key)
            if view is None:
                raise ValueError(f"a key leads to no record: {key!r}")
            self._probe.check(view)
            return bytes(view)


class _LevelDb:
    """A LevelDB, which LevelDB itself would write to when it opens it; so a copy is opened.

    Its tables, which are never changed, are linked to and not copied; its log and lists are small.
    """

    def __init__(self, path: Path) -> None:
        try:
            import plyvel
        except ImportError:
            raise missing_package("plyvel", "netc[leveldb]", "LevelDB") from None
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
