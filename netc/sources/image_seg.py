"""ImageSegData: pictures with a label for each pixel, as DeepLab's Caffe reads them.

image_seg_data_layer.cpp and DataTransformer::TransformImgAndSeg of DeepLab v2
(github.com/xmyqsh/deeplab-v2 has them). A picture and its labels are scaled alike by one of
`scale_factors`, filled up below and on the right where they are smaller than the crop (by the mean,
and by `ignore_label`), cropped and mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.ir.graph import Array
from netc.memory import check_memory, on_behalf
from netc.ops.fields import fork_field
from netc.sources.base import DataLayer, Epochs, check_known, draws, stacked
from netc.sources.batches import batch_size, check_room, skipped
from netc.sources.paths import find, resolve
from netc.sources.pixels import Bytes, decode, nearest, resize

_BLOCK = "image_data_param"
_READ = frozenset(
    {
        "source", "batch_size", "rand_skip", "shuffle", "new_height", "new_width", "is_color",
        "root_folder", "label_type", "ignore_label",
    }
)  # fmt: skip
_TRANSFORM = frozenset(
    {"scale", "mirror", "crop_size", "crop_height", "crop_width", "mean_value", "scale_factors"}
)


class Line(NamedTuple):
    """A line of the list: its number from 1, a picture's path, its labels' path or its label."""

    number: int
    picture: str
    labels: str = ""


class ImageSegSource:
    """An ImageSegData layer, whose `label_type` is PIXEL, IMAGE (one label for all) or NONE.

    Its third top has height and width of each picture, at most those of the crop.
    """

    def __init__(self, source: DataLayer) -> None:
        param, transform = source.layer.get(_BLOCK), source.layer.get("transform_param")
        self.layer = source
        check_known(source, param, _READ)
        check_known(source, transform, _TRANSFORM)
        self._size = batch_size(source, _BLOCK)
        self._kind = str(fork_field(param, "label_type", "IMAGE"))
        self._ignored = int(fork_field(param, "ignore_label", 255))
        if not 0 <= self._ignored <= 255:
            message = f"`ignore_label` is {self._ignored}, and labels are bytes"
            raise source.fault("out-of-range", message, f"{_BLOCK}.ignore_label", "0 to 255")
        self._resized = self._together(_BLOCK, "new_height", "new_width")
        self._crop = self._crop_size()
        self._mirror = bool(transform.get("mirror"))
        self._scale = np.float32(transform.get("scale"))
        self._means = tuple(transform.get("mean_value"))
        self._factors = self._read_factors()
        span = param.span_of("source")
        self._list = find(param.get("source"), source.folder, "the list of images", span)
        self._lines = read_lines(self._list, self.layer, self._kind)
        self._color = bool(param.get("is_color"))
        self._root = param.get("root_folder")
        self._epochs = Epochs(
            len(self._lines),
            shuffle=param.get("shuffle"),
            seed=source.seed,
            name=source.name,
            skip=skipped(source, _BLOCK, len(self._lines)),
        )

    def batch(self, position: int) -> Mapping[str, Array]:
        """Pictures, labels and sizes of a pass; see :class:`netc.sources.base.DataSource`."""

        def read(row: int, place: int) -> tuple[Array, Array, Array, str]:
            name = self._name(row)
            made = self._read(row, position, place)
            if not place:
                check_room(self.layer, _BLOCK, self._size, made[0].nbytes + made[1].nbytes)
            return (*made, name)

        rows = self._epochs.whole(position, self._size, self.layer, read)
        pictures, labels, sizes, names = zip(*rows, strict=True)
        made = (stacked(part, self.layer, names) for part in (pictures, labels, sizes))
        return dict(zip(self.layer.tops, made, strict=False))

    def names(self, position: int) -> list[str]:
        """The pictures of a pass, by their lines."""
        return [self._name(row) for row in self._epochs.records(position, self._size)]

    def _read(self, row: int, position: int, place: int) -> tuple[Array, Array, Array]:
        """A picture, its labels, and its size, as the net sees them."""
        what = self._name(row)
        generator = draws(self.layer.seed, self.layer.name, position, place)
        with on_behalf(f"layer `{self.layer.name}`: {what}", self.layer.layer.span):
            picture = self._decoded(self._lines[row].picture, what, self._color)
            labels = self._labels(row, picture, what)
            size = picture.shape[1:]
            picture, labels = self._scaled(picture, labels, generator)
            values, labels = self._filled(picture.astype(np.float32), labels)
        values, labels = self._cropped(values, labels, generator)
        if self._mirror and generator.integers(2):
            values, labels = values[:, :, ::-1], labels[:, :, ::-1]
        if self._means:
            values = values - self._mean(len(values))
        kept = np.minimum(size, values.shape[1:]).astype(np.float32).reshape(1, 1, 2)
        return np.ascontiguousarray(values * self._scale), labels.astype(np.float32), kept

    def _decoded(self, path: str, what: str, color: bool) -> Bytes:
        folder = self.layer.folder or self._list.parent
        found = resolve(self._root + path, folder, f"{what}: the image")
        picture = decode(found, f"{what}: `{found}`", color, self.layer)
        return resize(picture, *self._resized) if self._resized else picture

    def _labels(self, row: int, picture: Bytes, what: str) -> Bytes:
        if self._kind != "PIXEL":
            number = int(self._lines[row].labels) if self._kind == "IMAGE" else self._ignored
            return np.full((1, *picture.shape[1:]), number, np.uint8)
        labels = self._decoded(self._lines[row].labels, f"{what}: the labels", False)
        if labels.shape[1:] != picture.shape[1:]:
            sizes = [f"{a.shape[1]}x{a.shape[2]}" for a in (labels, picture)]
            message = f"{what}: the labels are {sizes[0]}, and the picture is {sizes[1]}"
            raise self.layer.fault("bad-record", message)
        return labels

    def _scaled(
        self, picture: Bytes, labels: Bytes, generator: np.random.Generator
    ) -> tuple[Bytes, Bytes]:
        """Both by one of the factors: pictures linearly, labels by the nearest pixel."""
        if not self._factors:
            return picture, labels
        factor = np.float32(self._factors[int(generator.integers(len(self._factors)))])
        if factor == 1:
            return picture, labels
        high, wide = (max(1, int(np.float32(side) * factor)) for side in picture.shape[1:])
        return resize(picture, high, wide), nearest(labels, high, wide)

    def _filled(self, values: Array, labels: Bytes) -> tuple[Array, Bytes]:
        """Both as large as the crop at least, with more below and on the right."""
        if self._crop is None:
            return values, labels
        channels, high, wide = values.shape
        below, right = max(self._crop[0] - high, 0), max(self._crop[1] - wide, 0)
        if not below and not right:
            return values, labels
        check_memory(8 * channels * (high + below) * (wide + right), "a picture filled up")
        larger = np.empty((channels, high + below, wide + right), np.float32)
        larger[...] = self._mean(channels) if self._means else 0
        larger[:, :high, :wide] = values
        around = ((0, 0), (0, below), (0, right))
        return larger, np.pad(labels, around, constant_values=self._ignored)

    def _cropped(
        self, values: Array, labels: Bytes, generator: np.random.Generator
    ) -> tuple[Array, Bytes]:
        """The same part of both: a random one in TRAIN, the middle in TEST."""
        if self._crop is None:
            return values, labels
        rooms = [size - crop for size, crop in zip(values.shape[1:], self._crop, strict=True)]
        if self.layer.phase == "TRAIN":
            top, left = (int(generator.integers(room + 1)) for room in rooms)
        else:
            top, left = (room // 2 for room in rooms)
        rows, columns = slice(top, top + self._crop[0]), slice(left, left + self._crop[1])
        return values[:, rows, columns], labels[:, rows, columns]

    def _mean(self, channels: int) -> Array:
        if len(self._means) not in (1, channels):
            message = f"there are {len(self._means)} `mean_value` for {channels} channels"
            raise self.layer.fault("bad-record", message)
        return np.array(self._means, np.float32).reshape(-1, 1, 1)

    def _crop_size(self) -> tuple[int, int] | None:
        """`crop_size`, or `crop_height` and `crop_width`."""
        transform = self.layer.layer.get("transform_param")
        size, pair = transform.get("crop_size"), None
        if "crop_height" in transform.type.fields:
            pair = self._together("transform_param", "crop_height", "crop_width")
        if size and pair:
            message = "`crop_size` and `crop_height` are both given"
            field = "transform_param.crop_height"
            raise self.layer.fault("conflicting-fields", message, field, "give one of them")
        return (size, size) if size else pair

    def _together(self, block: str, *names: str) -> tuple[int, int] | None:
        """A height and a width; None where both are 0."""
        high, wide = (int(self.layer.layer.get(block).get(name)) for name in names)
        if (high > 0) != (wide > 0):
            message = f"`{names[0]}` is {high} and `{names[1]}` is {wide}"
            field = f"{block}.{names[0]}"
            raise self.layer.fault("out-of-range", message, field, "give both or neither")
        return (high, wide) if high else None

    def _read_factors(self) -> tuple[float, ...]:
        factors = tuple(fork_field(self.layer.layer.get("transform_param"), "scale_factors", ()))
        if any(not 0 < factor <= 100 for factor in factors):
            message = "a `scale_factors` is not above 0 and at most 100"
            raise self.layer.fault("out-of-range", message, "transform_param.scale_factors")
        return factors

    def _name(self, row: int) -> str:
        return f"line {self._lines[row].number} of `{self._list}`"


def read_lines(path: Path, source: DataLayer, kind: str) -> list[Line]:
    """Read the lines of a list; blank lines are skipped.

    Raises:
        NetcError: bad-record, with the number of a line that has not what the kind of labels
            needs, or where there are no lines.
    """

    def bad(message: str) -> Exception:
        return source.fault("bad-record", f"`{path}`: {message}")

    with strangers_bytes(lambda error: source.fault("bad-record", f"`{path}` {reason(error)}")):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    wanted = {"PIXEL": "the paths of a picture and its labels", "IMAGE": "a path and a label"}
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words:
            continue
        if kind != "NONE" and len(words) != 2:
            raise bad(f"line {number} is not {wanted[kind]}: {line[:80]!r}")
        if kind == "IMAGE" and not (words[1].isdecimal() and int(words[1]) <= 255):
            raise bad(f"line {number} has the label {words[1][:20]!r}, and labels are 0 to 255")
        found.append(Line(number, *words[:2]))
    if not found:
        raise bad("there are no lines")
    return found
