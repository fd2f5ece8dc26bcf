"""WindowData: windows of pictures, warped to one size (window_data_layer.cpp).

A batch has round-down(batch_size * fg_fraction) foreground windows, after the background ones, each
drawn at random. `window_data_param.scale` counts here, and `transform_param.scale` does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.memory import on_behalf
from netc.sources.augment import NONE
from netc.sources.base import DataLayer, draws
from netc.sources.batches import batch_size
from netc.sources.parallel import Readers
from netc.sources.paths import find, resolve
from netc.sources.pixels import Bytes, decode, resize
from netc.sources.transform import read_transform


class ImageWindow(NamedTuple):
    """A window: its picture's index in the file, its label, its overlap, and its corners.

    ``corners`` are x1, y1, x2, y2 in pixels, both ends inclusive.
    """

    picture: int
    label: int
    overlap: float
    corners: tuple[int, int, int, int]


class PlacedCrop(NamedTuple):
    """The part of a picture that is cut out, and its position in the crop; all in pixels.

    Args:
        corners: x1, y1, x2, y2 inside the picture.
        size: height and width that the part is resized to.
        above: rows of zeros above it in the crop.
        beside: columns of zeros to its left, after mirroring.
    """

    corners: tuple[int, int, int, int]
    size: tuple[int, int]
    above: int
    beside: int


class WindowSource:
    """A WindowData layer (window_data_layer.cpp), as for R-CNN."""

    def __init__(self, source: DataLayer) -> None:
        self.layer = source
        param = source.layer.get("window_data_param")
        self._size = batch_size(source, "window_data_param")
        self._transform = read_transform(source)
        if self._transform.augment != NONE:
            message = "windows are mirrored alone, and `transform_param` has more of some fork"
            raise source.fault("unsupported-data-field", message, "transform_param")
        self._crop = self._checked_crop()
        self._pad, self._square = param.get("context_pad"), self._is_square()
        self._scale = np.float32(param.get("scale"))
        self._root = param.get("root_folder")
        span = param.span_of("source")
        self._path = resolve(param.get("source"), source.folder, "the window file", span)
        self._pictures: list[str] = []
        self._readers = Readers()
        windows = list(self._read(param.get("fg_threshold"), param.get("bg_threshold")))
        foreground = int(np.float32(self._size) * np.float32(param.get("fg_fraction")))
        self._kinds = (
            (self._size - foreground, [window for window in windows if not window.label]),
            (foreground, [window for window in windows if window.label]),
        )
        for (count, found), kind in zip(self._kinds, ("background", "foreground"), strict=True):
            if count and not found:
                raise self._bad(f"there are no {kind} windows, and each batch takes {count}")

    def batch(self, position: int) -> Mapping[str, Array]:
        """The windows and labels of a pass; see :class:`netc.sources.base.DataSource`."""
        kinds = [windows for count, windows in self._kinds for _ in range(count)]

        def read(place: int) -> tuple[Array, int]:
            random = draws(self.layer.seed, self.layer.name, position, place)
            window = kinds[place][int(random.integers(len(kinds[place])))]
            mirror = self._transform.mirror and bool(random.integers(2))
            return self._pixels(window, mirror), window.label

        drawn = self._readers.read(len(kinds), read)
        pictures = np.stack([pixels for pixels, _ in drawn])
        labels = np.array([label for _, label in drawn], np.float32)
        return dict(zip(self.layer.tops, (pictures, labels), strict=False))

    def _pixels(self, window: ImageWindow, mirror: bool) -> Array:
        """A window as the net sees it; what lies outside the picture stays 0."""
        name = self._pictures[window.picture]
        folder = self.layer.folder or self._path.parent
        path = find(self._root + name, folder, f"`{self._path}`: the image")
        with on_behalf(f"layer `{self.layer.name}`: `{path}`", self.layer.layer.span):
            picture = decode(path, f"`{path}`", True, self.layer)
            placed = self._placed(window, picture, mirror)
            x1, y1, x2, y2 = placed.corners
            part = resize(picture[:, y1 : y2 + 1, x1 : x2 + 1], *placed.size)
        part = part[:, :, ::-1] if mirror else part
        top, left = placed.above, placed.beside
        made = np.zeros((len(part), self._crop, self._crop), np.float32)
        inside = (slice(None), slice(top, top + part.shape[1]), slice(left, left + part.shape[2]))
        made[inside] = (part - self._mean(len(part))[inside]) * self._scale
        return made

    def _mean(self, channels: int) -> Array:
        """What is subtracted, at each place of the crop: the middle of a mean file."""
        transform, crop = self._transform, self._crop
        if transform.mean is None:
            values = np.array(transform.values or (0.0,), np.float32)
            if len(values) not in (1, channels):
                raise self._bad(f"pictures have {channels} channels, not {len(values)}")
            return np.broadcast_to(values.reshape(-1, 1, 1), (channels, crop, crop))
        offset = (transform.mean.shape[2] - crop) // 2
        middle = transform.mean[:, offset : offset + crop, offset : offset + crop]
        if offset < 0 or middle.shape != (channels, crop, crop):
            raise self._bad(f"the mean is {transform.mean.shape}, and the crop is {crop}")
        return middle

    def _placed(self, window: ImageWindow, picture: Bytes, mirror: bool) -> PlacedCrop:
        _, height, width = picture.shape
        x1, y1, x2, y2 = window.corners
        if not (self._pad or self._square):
            placed = PlacedCrop(window.corners, (self._crop, self._crop), 0, 0)
        else:
            across = _Span.around(x1, x2, self._reach(x2 - x1 + 1, y2 - y1 + 1))
            down = _Span.around(y1, y2, self._reach(y2 - y1 + 1, x2 - x1 + 1))
            placed = _clipped(across, down, (height, width), self._crop, mirror)
        left, top, right, bottom = placed.corners
        fits = 0 <= left <= right < width and 0 <= top <= bottom < height
        if not fits or min(placed.size) < 1:
            size = f"{width} by {height} pixels"
            raise self._bad(
                f"the window {window.corners} of `{self._pictures[window.picture]}` does not lie "
                f"in the picture, which is {size}"
            )
        return placed

    def _reach(self, side: int, other: int) -> float:
        """Half of what is seen of a side, its context included."""
        half = max(side, other) / 2 if self._square else side / 2
        return half * float(np.float32(self._crop) / np.float32(self._crop - 2 * self._pad))

    def _read(self, foreground: float, background: float) -> Iterator[ImageWindow]:
        """The windows of the file; between the two thresholds are neither."""
        with strangers_bytes(lambda error: self._bad(reason(error))):
            text = self._path.read_text(encoding="utf-8", errors="surrogateescape")
            for window in self._windows(iter(text.split())):
                if window.overlap >= foreground:
                    if window.label < 1:
                        raise self._bad(f"a foreground window has the label {window.label}")
                    yield window
                elif window.overlap < background:
                    yield window._replace(label=0)

    def _windows(self, words: Iterator[str]) -> Iterator[ImageWindow]:
        for mark in words:
            number = int(next(words, "-1"))
            if mark != "#" or number != len(self._pictures):
                raise self._bad(f"`# {len(self._pictures)}` is wanted, and there is `{mark}`")
            self._pictures.append(next(words, ""))
            _channels, _height, _width = (int(next(words, "")) for _ in range(3))
            for _ in range(int(next(words, ""))):
                label, overlap = int(next(words, "")), float(next(words, ""))
                x1, y1, x2, y2 = (int(next(words, "")) for _ in range(4))
                yield ImageWindow(number, label, overlap, (x1, y1, x2, y2))

    def _checked_crop(self) -> int:
        crop, pad = self._transform.crop, self.layer.layer.get("window_data_param").get
        if crop is None or crop[0] != crop[1]:
            message = "WindowData needs `crop_size`, the size that windows are warped to"
            raise self.layer.fault("out-of-range", message, "transform_param.crop_size")
        if 2 * pad("context_pad") >= crop[0]:
            message = f"`context_pad` {pad('context_pad')} leaves nothing of a crop of {crop[0]}"
            raise self.layer.fault("out-of-range", message, "window_data_param.context_pad")
        return crop[0]

    def _is_square(self) -> bool:
        mode = self.layer.layer.get("window_data_param").get("crop_mode")
        if mode not in ("warp", "square"):  # Caffe takes any other word for warp
            message = f"there is no `crop_mode` `{mode}`; there are `warp` and `square`"
            raise self.layer.fault("out-of-range", message, "window_data_param.crop_mode")
        return bool(mode == "square")

    def _bad(self, why: str) -> NetcError:
        return self.layer.fault("bad-record", f"`{self._path}`: {why}")


class _Span(NamedTuple):
    """Places along one side, both inside, which may lie outside the picture."""

    first: int
    last: int

    @classmethod
    def around(cls, first: int, last: int, reach: float) -> _Span:
        """So much on both sides of the middle of a window."""
        middle = first + (last - first + 1) / 2
        return cls(_rounded(middle - reach), _rounded(middle + reach))

    def clipped(self, length: int, crop: int) -> tuple[_Span, int, int, int]:
        """What lies inside, the size it is warped to, and zeros before and after it."""
        before, after = max(0, -self.first), max(0, self.last - length + 1)
        inside = _Span(self.first + before, self.last - after)
        scale = np.float32(crop) / np.float32(self.last - self.first + 1)
        size, start, end = (
            _rounded(float(np.float32(count) * scale))
            for count in (inside.last - inside.first + 1, before, after)
        )
        return inside, size, start, end


def _clipped(
    across: _Span, down: _Span, size: tuple[int, int], crop: int, mirror: bool
) -> PlacedCrop:
    columns, wide, left, right = across.clipped(size[1], crop)
    rows, high, above, _ = down.clipped(size[0], crop)
    corners = (columns.first, rows.first, columns.last, rows.last)
    beside = right if mirror else left
    # Rounding may make a part larger than what is left of the crop, by one.
    return PlacedCrop(corners, (min(high, crop - above), min(wide, crop - beside)), above, beside)


def _rounded(value: float) -> int:
    """C's round: halves away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
