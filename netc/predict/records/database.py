"""Records of an LMDB or LevelDB of Datum messages, in the order of their keys (caffe.proto)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import Encoded
from netc.ir.types import show
from netc.predict.records.base import Content, InputRecord, Pixels
from netc.sources.database import Database, open_database
from netc.sources.inspect import backend_of, plain_layer
from netc.sources.records import datum_class

MARKS = ("data.mdb", "CURRENT")  # the files by which a folder is an LMDB or a LevelDB


@lru_cache(maxsize=8)
def _opened(path: str) -> Database:
    """A database, opened once a process."""
    return open_database(Path(path), backend_of(Path(path)), plain_layer())


class DatabasePart(NamedTuple):
    """Some records of a database, by their keys."""

    path: str
    keys: tuple[bytes, ...]
    blob: str

    def __len__(self) -> int:
        return len(self.keys)

    def read(self) -> Iterator[InputRecord]:
        """The records."""
        database = _opened(self.path)
        for key in self.keys:
            name = key.decode("utf-8", "backslashreplace")
            try:
                yield InputRecord(name, self._content(database, key, name))
            except NetcError as error:
                yield InputRecord(name, error)

    def _content(self, database: Database, key: bytes, name: str) -> Content:
        what = f"record `{name}` of `{self.path}`"
        datum = datum_class()()
        with strangers_bytes(lambda error: _bad(f"{what} is no Datum message: {reason(error)}")):
            datum.ParseFromString(database.value(key))
        if datum.encoded:
            return Encoded(datum.data, f"{self.path}[{name}]")
        shape = (datum.channels, datum.height, datum.width)
        numbers = len(datum.data) or len(datum.float_data)
        if min(shape) < 1 or numbers != math.prod(shape):
            raise _bad(f"{what} has {numbers} numbers, and says it is {show(shape)}")
        if datum.data:
            return Pixels(np.frombuffer(datum.data, np.uint8).reshape(shape))
        return {self.blob: np.array(datum.float_data, np.float32).reshape(shape)}


class DatabaseRecords:
    """All records of a database.

    Args:
        path: of the database.
        blob: the input that records of float numbers are for.
    """

    images = None

    def __init__(self, path: str, blob: str) -> None:
        self._path, self._blob = path, blob
        self._keys = _opened(path).keys()

    def __len__(self) -> int:
        return len(self._keys)

    def part(self, first: int, last: int) -> DatabasePart:
        """See :class:`netc.predict.records.base.Records`."""
        return DatabasePart(self._path, tuple(self._keys[first:last]), self._blob)

    def identity(self) -> str:
        """A hash of all keys."""
        digest = hashlib.sha256()
        for key in self._keys:
            digest.update(len(key).to_bytes(4, "little") + key)
        return digest.hexdigest()


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-record", message))
