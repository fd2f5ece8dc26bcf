"""Decodes records to columns: the net's inputs, with each record's number, name and error."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from netc.arguments import float32_array
from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import Encoded, read_header
from netc.images import Preprocessing, load_input, placement, preprocess, resized_size
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.memory import Budget, check_memory, using
from netc.predict.prepare import InputTransform, arranged
from netc.predict.records import base
from netc.predict.records.base import InputRecord, Part, Pixels
from netc.syntax.reader import unreadable

INDEX, NAME, FAULT, PLACE = "index", "name", "fault", "place"
"""Columns beside the inputs: number, name, why it cannot be read, and where what the net sees lies
in the picture (left, top, width, height; of arrays 0, 0, 1, 1)."""

_CONFIGURED = frozenset({"bad-mean", "missing-package"})  # of no record's own


@dataclass(frozen=True, slots=True, eq=False)
class ImageInput:
    """An input fed with images; each net of an ensemble has one.

    Args:
        column: the column's name: the blob, or ``BLOB@1`` for the second net, and so on.
        how: the preprocessing.
        any_size: whether images are resized but not cropped, so that their sizes differ.
    """

    column: str
    how: Preprocessing
    any_size: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """Reads and decodes parts of a source; can be pickled for a worker.

    Args:
        images: the inputs fed with images; empty where the net takes none.
        shapes: input blob -> the shape of one row, for records of arrays.
        said: input blob -> the text's preprocessing, for records of arrays.
        strict: whether the first record that cannot be read raises an error.
        memory: limit in bytes, as ``--max-memory``; None for a share of what is free.
    """

    images: tuple[ImageInput, ...]
    shapes: Mapping[str, Shape]
    said: Mapping[str, InputTransform]
    strict: bool = False
    memory: int | None = None

    def __call__(self, part: Part, first: int) -> dict[str, Any]:
        """The columns of a part.

        Args:
            part: the records.
            first: the number of its first record.

        Raises:
            NetcError: with ``strict``, what is wrong with the first record that cannot be read;
                else what is no record's fault, such as a mean that fits none.
        """
        with using(None if self.memory is None else Budget(self.memory)):
            return self._columns([self._row(record) for record in part.read()], first)

    def batches(self, part: Part, first: int, size: int) -> Iterator[dict[str, Any]]:
        """The columns of a part in batches of ``size`` records; the last one may be smaller.

        Raises:
            NetcError: as a call.
        """
        with using(None if self.memory is None else Budget(self.memory)):
            rows: list[_Row] = []
            for record in part.read():
                rows.append(self._row(record))
                if len(rows) == size:
                    yield self._columns(rows, first)
                    rows, first = [], first + size
            if rows:
                yield self._columns(rows, first)

    def _columns(self, rows: Sequence[_Row], first: int) -> dict[str, Any]:
        columns: dict[str, Any] = {
            INDEX: np.arange(first, first + len(rows), dtype=np.int64),
            NAME: np.array([row.name for row in rows], object),
            FAULT: np.array([row.fault for row in rows], object),
            PLACE: np.array([row.place for row in rows], np.float64).reshape(-1, 4),
        }
        names = dict.fromkeys(name for row in rows for name in row.feeds) or self._expected
        for name in names:
            columns[name] = _stacked(
                [row.feeds.get(name) for row in rows], self._expected.get(name)
            )
        return columns

    @property
    def _expected(self) -> dict[str, Shape]:
        """Column -> the shape of a row with its crops, where no record tells it."""
        if not self.images:
            return {blob: (1, *shape) for blob, shape in self.shapes.items()}
        number = {"center": 1, "flip": 2, "ten": 10}
        return {
            i.column: (number[i.how.crops], i.how.channels, *((1, 1) if i.any_size else i.how.size))
            for i in self.images
        }

    def _row(self, record: InputRecord) -> _Row:
        try:
            if isinstance(record.content, NetcError):
                raise record.content
            return self._read(record)
        except NetcError as error:
            fault = error.diagnostics[0]
            if self.strict or fault.code in _CONFIGURED:
                raise
            return _Row(record.name, {}, fault.message)

    def _read(self, record: InputRecord) -> _Row:
        content = record.content
        if isinstance(content, base.Path):
            return self._image(record.name, _file(content.path, record.name))
        if isinstance(content, Encoded):
            return self._image(record.name, content)
        if isinstance(content, Pixels):
            return self._pixels(record.name, content)
        assert isinstance(content, Mapping)
        return _Row(record.name, {b: self._array(b, a, record) for b, a in content.items()})

    def _image(self, name: str, file: Encoded) -> _Row:
        self._check_images(name)
        header = read_header(file)
        size = header.height, header.width
        feeds = {}
        for image in self.images:
            how = image.how
            if image.any_size:
                how = replace(how, size=resized_size(size, how))
            feeds[image.column] = load_input(file, how)
        return _Row(name, feeds, "", tuple(placement(size, self._how(size))))

    def _pixels(self, name: str, pixels: Pixels) -> _Row:
        """A database's picture: of bytes, BGR or grey."""
        self._check_images(name)
        plain = pixels.values.astype(np.float32) / np.float32(255)
        feeds = {}
        for image in self.images:
            rgb = _channels(name, plain[::-1], image.how.channels)
            how = image.how
            if image.any_size:
                how = replace(how, size=resized_size(rgb.shape[1:], how))
            feeds[image.column] = preprocess(rgb, how)
        size = plain.shape[1], plain.shape[2]
        return _Row(name, feeds, "", tuple(placement(size, self._how(size))))

    def _how(self, size: tuple[int, int]) -> Preprocessing:
        first = self.images[0]
        if not first.any_size:
            return first.how
        return replace(first.how, size=resized_size(size, first.how))

    def _check_images(self, name: str) -> None:
        if not self.images:
            message = f"`{name}` is an image, and the net has no single input of images"
            raise NetcError(Diagnostic("input-format", message))

    def _array(self, blob: str, array: Array, record: InputRecord) -> Array:
        """A row of numbers as the net takes it, (1, *shape), as an image's one crop.

        Raises:
            NetcError: input-shape, input-dtype.
        """
        shape = self.shapes[blob]
        given = arranged(array[None], self.said[blob])[0] if blob in self.said else array
        if given.shape != shape and given.size == int(np.prod(shape)) and given.ndim <= 1:
            given = given.reshape(shape)
        if given.shape != shape:
            message = f"`{record.name}` is {given.shape} for input `{blob}`, which is {shape}"
            raise NetcError(Diagnostic("input-shape", message))
        return np.asarray(float32_array(given, f"`{record.name}`"))[None]


def _file(path: str, name: str) -> Encoded:
    """An image file's bytes, read once and called as the output calls it.

    Raises:
        NetcError: too-little-memory; what the system says of a file that cannot be read.
    """
    try:
        check_memory(os.path.getsize(path), f"the bytes of `{name}`")
        with open(path, "rb") as file:
            return Encoded(file.read(), name)
    except OSError as error:
        raise NetcError(unreadable(name, error)) from None


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    feeds: dict[str, Array]
    fault: str = ""
    place: tuple[float, ...] = (0.0, 0.0, 1.0, 1.0)


def _stacked(rows: list[Any], expected: Shape | None) -> object:
    """Rows as one array, zeros for those that could not be read; an object array of many shapes.

    The axis of crops is left out where there is one of each.
    """
    shape = next((row.shape for row in rows if row is not None), expected)
    assert shape is not None
    whole = [np.zeros(shape, np.float32) if row is None else row for row in rows]
    whole = [row[0] if len(row) == 1 else row for row in whole]
    if len({row.shape for row in whole}) == 1:
        return np.stack(whole)
    found = np.empty(len(whole), object)
    for index, row in enumerate(whole):
        found[index] = row
    return found


def _channels(name: str, image: Array, channels: int) -> Array:
    """A picture, RGB or grey, with a net's number of channels.

    Raises:
        NetcError: input-shape.
    """
    if image.shape[0] == channels:
        return image
    if channels == 1 and image.shape[0] == 3:
        weights = np.array([0.299, 0.587, 0.114], np.float32).reshape(3, 1, 1)
        return np.asarray((image * weights).sum(0, keepdims=True), np.float32)
    if channels == 3 and image.shape[0] == 1:
        return np.repeat(image, 3, axis=0)
    message = f"`{name}` has {image.shape[0]} channels, and the net takes {channels}"
    raise NetcError(Diagnostic("input-shape", message))
