"""ImageData: pictures named by a list, each with a label (image_data_layer.cpp)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.ir.graph import Array
from netc.memory import on_behalf
from netc.sources.base import DataLayer, Epochs, stacked
from netc.sources.batches import batch_size, check_room, skipped
from netc.sources.lists import ListLine, read_list
from netc.sources.paths import find, resolve
from netc.sources.pixels import decode, resize
from netc.sources.transform import read_transform


class ImageListSource:
    """An ImageData layer (image_data_layer.cpp).

    A line has a path and, after the last space, a label; paths may have spaces. `new_height` and
    `new_width` must be given together.
    """

    def __init__(self, source: DataLayer) -> None:
        param = source.layer.get("image_data_param")
        self.layer = source
        self._size = batch_size(source, "image_data_param")
        self._transform = read_transform(source)
        self._resized = (param.get("new_height"), param.get("new_width"))
        if (self._resized[0] > 0) != (self._resized[1] > 0):  # image_data_layer.cpp:33
            raise source.fault(
                "out-of-range",
                f"`new_height` is {self._resized[0]} and `new_width` is {self._resized[1]}",
                "image_data_param.new_height",
                "give both or neither",
            )
        span = param.span_of("source")
        self._list = find(param.get("source"), source.folder, "the list of images", span)
        self._lines = self._read_list()
        self._color = bool(param.get("is_color"))
        self._root = param.get("root_folder")
        self._epochs = Epochs(
            len(self._lines),
            shuffle=param.get("shuffle"),
            seed=source.seed,
            name=source.name,
            skip=skipped(source, "image_data_param", len(self._lines)),
        )

    def batch(self, position: int) -> Mapping[str, Array]:
        """The pictures and labels of a pass; see :class:`netc.sources.base.DataSource`."""

        def read(row: int, place: int) -> tuple[Array, int, str]:
            name = self._name(row)
            pixels = self._transform.apply(self._picture(row), name, position, place)
            if not place:
                check_room(self.layer, "image_data_param", self._size, pixels.nbytes)
            return pixels, self._lines[row].label, name

        rows = self._epochs.whole(position, self._size, self.layer, read)
        pictures, labels, names = zip(*rows, strict=True)
        made = (stacked(pictures, self.layer, names), np.array(labels, np.float32))
        return dict(zip(self.layer.tops, made, strict=False))

    def names(self, position: int) -> list[str]:
        """The pictures of a pass, by their lines."""
        return [self._name(row) for row in self._epochs.records(position, self._size)]

    def _name(self, row: int) -> str:
        return f"line {self._lines[row].number} of `{self._list}`"

    def _picture(self, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        folder = self.layer.folder or self._list.parent
        path = resolve(self._root + self._lines[row].path, folder, f"{self._name(row)}: the image")
        with on_behalf(f"layer `{self.layer.name}`: {self._name(row)}", self.layer.layer.span):
            picture = decode(path, f"{self._name(row)}: `{path}`", self._color, self.layer)
            return resize(picture, *self._resized) if self._resized[0] else picture

    def _read_list(self) -> list[ListLine]:
        found = read_list(self._list, lambda message: self.layer.fault("bad-record", message))
        if not found:
            raise self.layer.fault("bad-record", f"`{self._list}`: there are no lines")
        return found
