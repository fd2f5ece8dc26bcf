"""Image files -> arrays: what Pillow decodes, with bounds on what a stranger's file may take."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.memory import check_memory
from netc.resizing import neighbours
from netc.syntax.reader import unreadable

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 2**27  # of one image: 134 million, over 1 GB as float32

# What is decoded, each of them within this process: Pillow would give an EPS to Ghostscript, and
# decodes some formats of games and cameras with code that few people look at.
FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),  # its first picture, as of a TIFF
    "PPM": (".ppm",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}


class Encoded(NamedTuple):
    """The bytes of an image file stored inside another file, and its name in messages."""

    content: bytes
    name: str


ImageFile = str | os.PathLike[str] | Encoded


# Reading


def load_image(path: ImageFile, channels: int = 3, *, upright: bool = True) -> Array:
    """Decode an image file to float32 (channels, height, width), RGB, from 0 to 1.

    With ``channels=1`` colours become grey by the weights 0.299, 0.587, 0.114 (ITU-R BT.601); with
    3 a grey image has three equal channels. An alpha channel is dropped. The EXIF orientation is
    applied, as by OpenCV's ``imread``, unless ``upright`` is False.

    Raises:
        NetcError: missing-file and the like, bad-image, image-too-large, or input-shape for
            another number of channels than 1 or 3.
    """
    _check_channels(channels)
    with _opened(path) as image:
        _ask(path, image, image.width * image.height * (4 + 9 * channels))
        pixels = _converted(_upright(image) if upright else image, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def load_reduced(
    path: ImageFile, channels: int, new_height: Callable[[tuple[int, int]], int]
) -> Array:
    """As ``load_image``, but already resized along the height where that is less than half.

    The values equal those of :func:`netc.resizing.resize_image` along the rows. Only the source
    rows that are interpolated are converted to float32, which saves memory for large pictures.

    Args:
        path: the image file.
        channels: 1 or 3.
        new_height: (height, width) of the image -> the height wanted.

    Returns:
        float32 (channels, rows, width): the new height, or all rows where that is at least half.

    Raises:
        NetcError: as ``load_image``.
    """
    _check_channels(channels)
    with _opened(path) as image:
        upright = _upright(image)
        height = new_height((upright.height, upright.width))
        if 2 * height < upright.height:
            return _of_few_rows(path, upright, channels, height)
    return load_image(path, channels)


def _of_few_rows(path: ImageFile, image: Image.Image, channels: int, height: int) -> Array:
    """An image brought to a smaller height: the rows between which new ones lie are all it takes.

    The numbers are those of :func:`netc.resizing.resize_image`; only a few rows
    become floats. Returns float32 (channels, height, width).
    """
    low, high, part = neighbours(image.height, height)
    rows = np.unique(np.concatenate([low, high]))
    _ask(path, image, len(rows) * image.width * channels * 12)
    taken = np.concatenate(
        [_converted(image.crop((0, y, image.width, y + 1)), channels) for y in rows.tolist()]
    )
    first, second = (taken[np.searchsorted(rows, index)] for index in (low, high))
    mixed = first + (second - first) * part.reshape(-1, 1, 1)
    return np.ascontiguousarray(mixed.transpose(2, 0, 1))


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise fault(
            "input-shape",
            f"an image has 1 or 3 channels, and the input has {channels}",
            "give the input as an .npy or .npz file",
        )


def _called(path: ImageFile) -> str:
    return path.name if isinstance(path, Encoded) else os.fspath(path)


class Header(NamedTuple):
    """An image's height and width in pixels after EXIF orientation, and whether that turns it."""

    height: int
    width: int
    turned: bool


def read_header(path: ImageFile) -> Header:
    """Read an image's size without decoding its pixels.

    Raises:
        NetcError: as :func:`load_image`.
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        height, width = (image.size if orientation >= 5 else image.size[::-1])[:2]
        return Header(height, width, orientation > 1)


class _PillowQuiet:
    """A context without Pillow's warnings of damage that it reads past; for threads at once.

    ``catch_warnings`` saves and puts back filters that all threads share: of those that decode at
    the same time the first saves them and the last puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: AbstractContextManager[object] = nullcontext()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._saved.__exit__(None, None, None)


PILLOW_QUIET = _PillowQuiet()


@contextmanager
def _opened(path: ImageFile) -> Iterator[Image.Image]:
    from PIL import Image

    file = io.BytesIO(path.content) if isinstance(path, Encoded) else path
    if not isinstance(path, Encoded):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise NetcError(unreadable(os.fspath(path), error)) from None
    with strangers_bytes(lambda error: _unreadable(path, error)), PILLOW_QUIET:
        with Image.open(file, formats=tuple(FORMATS)) as image:
            _check_pixels(path, image.size)
            _ask(path, image, 0)
            yield image


_ORIENTATION = 0x0112  # EXIF's tag: 1 is upright, 2 to 8 are mirrored or turned, from 5 on sideways


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image) or image


def _unreadable(path: ImageFile, error: Exception) -> NetcError:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        return _too_large(path, "")
    unknown = isinstance(error, UnidentifiedImageError)
    why = "it is no image" if unknown else reason(error)
    return fault(
        "bad-image",
        f"`{_called(path)}` cannot be read as an image: {why}",
        f"{', '.join(FORMATS)} are read, whatever the name; arrays come as .npy or .npz",
    )


def _converted(image: Image.Image, channels: int) -> Array:
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image, dtype=np.float32)  # 16-bit grey; Pillow would clip it to 8
        grey = deep if image.mode == "F" else deep / np.float32(65535)
        return np.repeat(grey[:, :, None], channels, axis=2)
    plain = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.float32)
    return plain.reshape(*plain.shape[:2], channels) / np.float32(255)


def _check_pixels(path: ImageFile, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(path, f", it has {size[0]} by {size[1]}")


def _ask(path: ImageFile, image: Image.Image, more: int) -> None:
    """Ask for an image as Pillow decodes it, and ``more`` bytes that are made of it."""
    decoded = image.width * image.height * (1 if image.mode in ("1", "L", "P") else 4)
    what = f"the pixels of `{_called(path)}`, {image.width:,} by {image.height:,},"
    check_memory(decoded + more, what)


def _too_large(path: ImageFile, has: str) -> NetcError:
    return fault(
        "image-too-large",
        f"`{_called(path)}` has too many pixels: the limit is {MAX_PIXELS:,}{has}",
        "make it smaller first",
    )


def fault(code: str, message: str, *help: str) -> NetcError:
    """A NetcError about an image file or its preprocessing; to be raised by the caller."""
    return NetcError(Diagnostic(code, message, help=help))
