"""Databases made of pictures: LMDB as convert_imageset makes it, or HDF5 with its list.

BVLC/caffe tools/convert_imageset.cpp: a record's key is its number in eight digits, "_" and its
name; its value is a Datum.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.files import cannot_write
from netc.image_files import FORMATS
from netc.ops.array import AnyArray
from netc.sources.base import draws
from netc.sources.environment import lmdb_module
from netc.sources.pictures import Picture
from netc.sources.pixels import open_picture
from netc.sources.records import datum_class
from netc.weights.hdf5 import h5py_module

Progress = Callable[[int, int], None]

_FIRST_SIZE = 1 << 24  # bytes of an LMDB's map at first; it grows by doubling
_AT_ONCE = 256  # records of one transaction


class MakeResult(NamedTuple):
    """The number of records written, and the error message of each picture that was skipped."""

    written: int
    broken: tuple[str, ...]


def shuffled(pictures: Sequence[Picture], seed: int) -> list[Picture]:
    """The pictures in a random order that depends on the seed and their number only."""
    order = draws(seed, "shuffle").permutation(len(pictures))
    return [pictures[index] for index in order]


def make_lmdb(
    path: Path, pictures: Sequence[Picture], *, encoded: bool = False, progress: Progress
) -> MakeResult:
    """Write an LMDB of Datum messages.

    Args:
        path: the folder to create; it must not exist.
        pictures: in the order of their keys.
        encoded: whether to store the encoded image files instead of pixels; they are then decoded
            in each epoch. Resized and grayscale pictures are encoded again (convert_imageset.cpp):
            JPEG files as JPEG, all others as PNG.
        progress: called as (done, total).

    Raises:
        NetcError: cannot-write, also where the path exists; missing-package.
    """
    lmdb = lmdb_module()
    if path.exists():
        raise NetcError(
            Diagnostic("cannot-write", f"`{path}` is there already", help=("remove it first",))
        )
    broken: list[str] = []
    try:
        with lmdb.open(str(path), map_size=_FIRST_SIZE) as environment:
            for block in _blocks(_records(pictures, encoded, broken, progress)):
                _put(lmdb, environment, block)
    except OSError as error:
        raise cannot_write(path, error) from None
    return MakeResult(len(pictures) - len(broken), tuple(broken))


def _put(lmdb: ModuleType, environment: Any, block: Sequence[tuple[bytes, bytes]]) -> None:
    """Write records in one transaction, in a larger map where it is full."""
    while True:
        with suppress(lmdb.MapFullError):
            with environment.begin(write=True) as transaction:
                for key, value in block:
                    transaction.put(key, value)
            return
        environment.set_mapsize(2 * environment.info()["map_size"])


def _blocks(records: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    block: list[tuple[bytes, bytes]] = []
    for record in records:
        block.append(record)
        if len(block) == _AT_ONCE:
            yield block
            block = []
    yield block


def _records(
    pictures: Sequence[Picture], encoded: bool, broken: list[str], progress: Progress
) -> Iterator[tuple[bytes, bytes]]:
    for number, picture in enumerate(pictures):
        try:
            value = _datum(picture, encoded)
        except NetcError as error:
            broken.append(error.diagnostics[0].message)
        else:
            key = f"{number:08}_{picture.name}".encode("utf-8", "surrogateescape")
            yield key[:511], value  # LMDB's longest key
        progress(number + 1, len(pictures))


def _datum(picture: Picture, encoded: bool) -> bytes:
    datum = datum_class()(label=picture.label)
    pixels = picture.read()
    if encoded and picture.path is not None:
        datum.encoded, datum.data = True, _encoded(picture, picture.path, pixels)
        return bytes(datum.SerializeToString())
    datum.channels, datum.height, datum.width = pixels.shape
    if pixels.dtype == np.uint8:
        datum.data = np.ascontiguousarray(pixels).tobytes()
    else:
        datum.float_data.extend(pixels.reshape(-1))
    return bytes(datum.SerializeToString())


def _encoded(picture: Picture, path: Path, pixels: AnyArray) -> bytes:
    """A file of these pixels: the picture's own, where it has them."""
    data = path.read_bytes()
    if not picture.changed:
        return data
    stored = open_picture(io.BytesIO(data), None, lambda why: _bad(f"`{path}` {why}"))
    if np.array_equal(stored, pixels):
        return data
    from PIL import Image

    rows = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0))
    file = io.BytesIO()
    is_jpeg = path.suffix.lower() in FORMATS["JPEG"]
    Image.fromarray(rows).save(file, "JPEG" if is_jpeg else "PNG", quality=95)  # as OpenCV's
    return file.getvalue()


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-record", message))


def make_hdf5(path: Path, pictures: Sequence[Picture], *, progress: Progress) -> MakeResult:
    """Write an HDF5 file with `data` and `label`, and a `.txt` list with its path for HDF5Data.

    All pictures must have the same shape.

    Raises:
        NetcError: cannot-write; bad-record, where one has another shape; missing-package.
    """
    h5py, broken, rows, labels = h5py_module(), [], [], []
    for number, picture in enumerate(pictures):
        try:
            rows.append(picture.read().astype(np.float32))
            labels.append(picture.label)
        except NetcError as error:
            broken.append(error.diagnostics[0].message)
        if rows and rows[-1].shape != rows[0].shape:
            message = f"`{picture.name}` is {rows[-1].shape}, and those before are {rows[0].shape}"
            raise NetcError(Diagnostic("bad-record", message, help=("give --resize",)))
        progress(number + 1, len(pictures))
    try:
        with h5py.File(path, "w") as file:
            file["data"], file["label"] = np.stack(rows), np.array(labels, np.float32)
        path.with_suffix(".txt").write_text(f"{path.name}\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from None
    return MakeResult(len(rows), tuple(broken))
