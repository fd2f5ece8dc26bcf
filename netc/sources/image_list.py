"""ImageData: pictures named by a list, each with a label (image_data_layer.cpp)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.sources.base import DataLayer, Epochs, stacked
from netc.sources.database import batch_size
from netc.sources.paths import find
from netc.sources.pixels import decode, resize
from netc.sources.transform import read_transform


class ImageListSource:
    """An ImageData layer.

    A line is a path and a label, which stands after the last space, so that paths may have spaces.
    `new_height` and `new_width` are given together or not at all.
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
            len(self._lines), shuffle=param.get("shuffle"), seed=source.seed, name=source.name
        )

    def batch(self, position: int) -> Mapping[str, Array]:
        """The pictures and labels of a pass; see :class:`netc.sources.base.DataSource`."""
        rows = self._epochs.records(position, self._size)
        names = [self._name(row) for row in rows]
        pictures = [
            self._transform.apply(self._picture(row), name, position, place)
            for place, (row, name) in enumerate(zip(rows, names, strict=True))
        ]
        labels = np.array([self._lines[row][1] for row in rows], np.float32)
        made = (stacked(pictures, self.layer, names), labels)
        return dict(zip(self.layer.tops, made, strict=False))

    def _name(self, row: int) -> str:
        return f"line {row + 1} of `{self._list}`"

    def _picture(self, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        folder = self.layer.folder or self._list.parent
        path = find(self._root + self._lines[row][0], folder, f"{self._name(row)}: the image")
        picture = decode(path, f"{self._name(row)}: `{path}`", self._color, self.layer)
        return resize(picture, *self._resized) if self._resized[0] else picture

    def _read_list(self) -> list[tuple[str, int]]:
        def bad(message: str) -> NetcError:
            return self.layer.fault("bad-record", f"`{self._list}`: {message}")

        with strangers_bytes(lambda error: self.layer.fault("bad-record", reason(error))):
            text = Path(self._list).read_text(encoding="utf-8", errors="surrogateescape")
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            path, _, label = line.rstrip().rpartition(" ")
            if not line.strip():
                continue
            if not path or not label.lstrip("+-").isdigit():
                raise bad(f"line {number} is no path with a label after it: {line[:80]!r}")
            found.append((path, int(label)))
        if not found:
            raise bad("there are no lines")
        return found
