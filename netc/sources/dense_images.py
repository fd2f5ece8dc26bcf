"""DenseImageData: pictures with a label image each (SegNet's dense_image_data_layer.cpp).

A line of the list has the paths of a picture and of its labels, both without spaces. A label image
is read as grey bytes, and resized by the nearest pixel. Pictures and labels are mirrored and
cropped together, in TRAIN and TEST alike, as in the forks that have `mirror` and `crop_height`
(TimoSaemann/caffe-segnet-cudnn5, Synopsys's); then transform_param's mean and scale apply to the
picture only. ENet's `label_divide_factor` makes the labels smaller than the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.ir.graph import Array
from netc.memory import on_behalf
from netc.ops.fields import fork_field
from netc.sources.base import DataLayer, Epochs, draws, stacked
from netc.sources.batches import batch_size, check_room, skipped
from netc.sources.paths import find, resolve
from netc.sources.pixels import Bytes, decode, nearest, resize
from netc.sources.transform import read_transform

_BLOCK = "dense_image_data_param"
_READ = frozenset(
    {
        "source", "batch_size", "rand_skip", "shuffle", "new_height", "new_width", "is_color",
        "root_folder", "root_folder_image", "root_folder_label", "mirror", "crop_height",
        "crop_width", "label_divide_factor",
    }
)  # fmt: skip

# Of transform_param: what would move a picture's pixels and leave its labels where they are.
_OF_ONE = ("mirror", "crop_size", "crop_h", "crop_w", "vertical_mirror", "random_90_deg_rot")


class ImagePair(NamedTuple):
    """A line of the list: its number from 1, the path of a picture and of its labels."""

    number: int
    picture: str
    labels: str


class DenseImageSource:
    """A DenseImageData layer.

    `new_height` and `new_width` must be given together, and so must `crop_height` and `crop_width`.
    """

    def __init__(self, source: DataLayer) -> None:
        param = source.layer.get(_BLOCK)
        self.layer = source
        self._check_fields()
        self._size = batch_size(source, _BLOCK)
        self._transform = read_transform(source)
        self._resized = self._together("new_height", "new_width")
        self._crop = self._together("crop_height", "crop_width")
        self._mirror = bool(param.get("mirror"))
        self._divided = self._label_divisor()
        span = param.span_of("source")
        self._list = find(param.get("source"), source.folder, "the list of images", span)
        self._pairs = self._read_list()
        self._color = bool(param.get("is_color"))
        root = param.get("root_folder")
        self._roots = tuple(
            fork_field(param, name, "") or root
            for name in ("root_folder_image", "root_folder_label")
        )
        self._epochs = Epochs(
            len(self._pairs),
            shuffle=param.get("shuffle"),
            seed=source.seed,
            name=source.name,
            skip=skipped(source, _BLOCK, len(self._pairs)),
        )

    def batch(self, position: int) -> Mapping[str, Array]:
        """The pictures and labels of a pass; see :class:`netc.sources.base.DataSource`."""

        def read(row: int, place: int) -> tuple[Array, Array, str]:
            name = self._name(row)
            pixels, labels = self._read(row, position, place)
            if not place:
                check_room(self.layer, _BLOCK, self._size, pixels.nbytes + labels.nbytes)
            return pixels, labels, name

        rows = self._epochs.whole(position, self._size, self.layer, read)
        pictures, labels, names = zip(*rows, strict=True)
        made = (stacked(part, self.layer, names) for part in (pictures, labels))
        return dict(zip(self.layer.tops, made, strict=False))

    def names(self, position: int) -> list[str]:
        """The pictures of a pass, by their lines."""
        return [self._name(row) for row in self._epochs.records(position, self._size)]

    def _read(self, row: int, position: int, place: int) -> tuple[Array, Array]:
        """A picture and its labels as the net sees them."""
        pair, what = self._pairs[row], self._name(row)
        with on_behalf(f"layer `{self.layer.name}`: {what}", self.layer.layer.span):
            picture = self._decoded(pair.picture, self._roots[0], what, self._color)
            labels = self._decoded(pair.labels, self._roots[1], f"{what}: the labels", False)
            if self._resized is not None:
                high, wide = self._resized
                picture = resize(picture, high, wide)
                labels = nearest(labels, high // self._divided, wide // self._divided)
        self._check_sizes(picture, labels, what)
        picture, labels = self._drawn(picture, labels, what, position, place)
        return self._transform.apply(picture, what, position, place), labels.astype(np.float32)

    def _decoded(self, path: str, root: str, what: str, color: bool) -> Bytes:
        folder = self.layer.folder or self._list.parent
        found = resolve(root + path, folder, f"{what}: the image")
        return decode(found, f"{what}: `{found}`", color, self.layer)

    def _drawn(
        self, picture: Bytes, labels: Bytes, what: str, position: int, place: int
    ) -> tuple[Bytes, Bytes]:
        """Both mirrored and cropped alike, by numbers that the pass and the place draw."""
        if not self._mirror and self._crop is None:
            return picture, labels
        generator = draws(self.layer.seed, self.layer.name, position, place)
        if self._mirror and generator.integers(2):
            picture, labels = picture[:, :, ::-1], labels[:, :, ::-1]
        if self._crop is None:
            return picture, labels
        rooms = [size - crop for size, crop in zip(picture.shape[1:], self._crop, strict=True)]
        if min(rooms) < 0:
            size, crop = (f"{h}x{w}" for h, w in (picture.shape[1:], self._crop))
            raise self.layer.fault("bad-record", f"{what} is {size}, smaller than the crop {crop}")
        top, left = (int(generator.integers(room + 1)) for room in rooms)
        rows, columns = slice(top, top + self._crop[0]), slice(left, left + self._crop[1])
        return picture[:, rows, columns], labels[:, rows, columns]

    def _check_sizes(self, picture: Bytes, labels: Bytes, what: str) -> None:
        """Labels must be as large as their picture, or smaller by the divisor."""
        high, wide = (size // self._divided for size in picture.shape[1:])
        if labels.shape[1:] != (high, wide):
            have = f"{labels.shape[1]}x{labels.shape[2]}"
            wanted = f"{high}x{wide}"
            raise self.layer.fault("bad-record", f"{what}: the labels are {have}, and not {wanted}")

    def _together(self, *names: str) -> tuple[int, int] | None:
        """A height and a width; None where both are 0."""
        param = self.layer.layer.get(_BLOCK)
        high, wide = (int(param.get(name)) for name in names)
        if (high > 0) != (wide > 0):
            raise self.layer.fault(
                "out-of-range",
                f"`{names[0]}` is {high} and `{names[1]}` is {wide}",
                f"{_BLOCK}.{names[0]}",
                "give both or neither",
            )
        return (high, wide) if high else None

    def _label_divisor(self) -> int:
        """ENet's `label_divide_factor`, whose labels a crop would miss."""
        by = int(fork_field(self.layer.layer.get(_BLOCK), "label_divide_factor", 1))
        if by < 1 or (by > 1 and self._crop is not None):
            raise self.layer.fault(
                "out-of-range",
                f"`label_divide_factor` is {by}" + (" beside a crop" if by > 1 else ""),
                f"{_BLOCK}.label_divide_factor",
                "it is at least 1, and labels that are smaller than pictures cannot be cropped",
            )
        return by

    def _check_fields(self) -> None:
        """Refuse fields that no known fork obeys, and what would part a picture from its labels."""
        param, transform = self.layer.layer.get(_BLOCK), self.layer.layer.get("transform_param")
        for name in param.entries:
            if name not in _READ and param.get(name) != param.type.fields[name].default:
                raise self.layer.fault(
                    "unsupported-data-field",
                    f"`{name}` is a field of some forks that netc does not read data by",
                    f"{_BLOCK}.{name}",
                    "remove it, or feed the net the arrays themselves",
                )
        for name in _OF_ONE:
            if transform.has(name) and transform.get(name):
                raise self.layer.fault(
                    "conflicting-fields",
                    f"`{name}` would be of the picture alone, and not of its labels",
                    f"transform_param.{name}",
                    f"`mirror`, `crop_height` and `crop_width` of `{_BLOCK}` are of both",
                )

    def _name(self, row: int) -> str:
        return f"line {self._pairs[row].number} of `{self._list}`"

    def _read_list(self) -> list[ImagePair]:
        found = read_pairs(self._list, self.layer)
        if not found:
            raise self.layer.fault("bad-record", f"`{self._list}`: there are no lines")
        return found


def read_pairs(path: Path, source: DataLayer) -> list[ImagePair]:
    """Read the lines of a list of pairs; blank lines are skipped.

    Raises:
        NetcError: bad-record, with the number of a line that is not two paths.
    """

    def bad(message: str) -> Exception:
        return source.fault("bad-record", f"`{path}`: {message}")

    with strangers_bytes(lambda error: source.fault("bad-record", f"`{path}` {reason(error)}")):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        names = line.split()
        if names and len(names) != 2:
            raise bad(f"line {number} is not the paths of a picture and its labels: {line[:80]!r}")
        if names:
            found.append(ImagePair(number, *names))
    return found
