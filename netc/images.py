"""Image files -> the arrays that a net is fed, as users of Caffe prepare them.

The order of operations is that of ``caffe.io.Transformer``: transpose, channel order, raw scale,
mean, input scale. Cropping, centred or ten times, is that of ``caffe.Classifier``.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.ir.graph import Array
from netc.ir.types import show
from netc.memory import check_memory
from netc.ops.array import AnyArray
from netc.resizing import resized
from netc.syntax.reader import unreadable
from netc.weights.mean import load_mean

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
    """The bytes of an image file that lies in another file, and what messages call it."""

    content: bytes
    name: str


ImageFile = str | os.PathLike[str] | Encoded


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """What is done to an image before a net sees it.

    Args:
        size: height and width of the net's input.
        channels: 1 or 3, of the net's input.
        resize: height and width, or the length of the shorter side, that the image is brought to
            before it is cropped to ``size``; "own" leaves it as it is, None brings it to ``size``
            at once.
        crops: "center" for one crop, "flip" for it and its mirror image, "ten" for the four
            corners, the centre, and all mirrored.
        channel_order: "BGR" as most Caffe nets want it, or "RGB".
        raw_scale: what a pixel of full brightness becomes; 255 as most Caffe nets want it.
        mean: subtracted after that; one value for each channel, or (channels, height, width),
            in the net's channel order. None subtracts nothing.
        scale: multiplied last (``input_scale``).
        data_layer: whether that is done as Caffe's data layers do it (data_transformer.cpp): bytes
            are resized, by OpenCV, and a mean image is one of the image before it is cropped.
    """

    size: tuple[int, int]
    channels: int = 3
    resize: tuple[int, int] | int | Literal["own"] | None = None
    crops: Literal["center", "flip", "ten"] = "center"
    channel_order: Literal["BGR", "RGB"] = "BGR"
    raw_scale: float = 255.0
    mean: Array | None = None
    scale: float = 1.0
    data_layer: bool = False


def load_input(path: ImageFile, how: Preprocessing) -> Array:
    """An image file ready for a net: float32 (crops, channels, height, width).

    Raises:
        NetcError: the file is no image, it is smaller than the crop, or the mean does not fit.
    """
    if not how.data_layer:
        _check_channels(how.channels)
        with _opened(path) as image:
            upright = _upright(image)
            height = resized_size((upright.height, upright.width), how)[0]
            if 2 * height < upright.height:
                return preprocess(_of_few_rows(path, upright, how.channels, height), how)
    return preprocess(load_image(path, how.channels), how)


def preprocess(image: Array, how: Preprocessing) -> Array:
    """An image ready for a net.

    Args:
        image: (channels, height, width) in RGB order, 0 to 1, as :func:`load_image` gives it.
        how: what to do.

    Returns:
        float32 (crops, channels, height, width); 1, 2 or 10 crops.

    Raises:
        NetcError: the image is smaller than the crop, or the mean does not fit.
    """
    if how.data_layer:
        return _transformed(image, how)
    batch = _cropped(resize_image(image, resized_size(image.shape[1:], how)), how)
    if how.channel_order == "BGR":
        batch = batch[:, ::-1]
    batch = batch * np.float32(how.raw_scale)
    if how.mean is not None:
        batch -= _fitted_mean(how.mean, batch.shape[1:])
    return batch * np.float32(how.scale)


def _transformed(image: Array, how: Preprocessing) -> Array:
    """As a data layer: (crops, channels, height, width)."""
    pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
    pixels = resized(pixels, resized_size(image.shape[1:], how)).transpose(2, 0, 1)
    ordered = pixels[::-1] if how.channel_order == "BGR" else pixels
    whole = ordered.astype(np.float32) * np.float32(how.raw_scale / 255)
    if how.mean is not None:
        whole -= _mean_of_all(how.mean, whole.shape)
    return _cropped(whole, how) * np.float32(how.scale)


def _mean_of_all(mean: Array, shape: Sequence[int]) -> AnyArray:
    """The mean to subtract from an image that is not cropped yet; an image has its very size."""
    if mean.ndim == 1:
        return _fitted_mean(mean, shape)
    if mean.shape != tuple(shape):
        raise _fault(
            "bad-mean",
            f"the mean is of images {show(mean.shape)}, and this one is {show(shape)}",
            f"--resize {mean.shape[1]},{mean.shape[2]} brings images to the mean's size",
        )
    return mean


# Reading


def load_image(path: ImageFile, channels: int = 3, *, upright: bool = True) -> Array:
    """An image file as float32 (channels, height, width), RGB, from 0 to 1.

    Colours become grey by the usual weights 0.299, 0.587, 0.114, and grey becomes three equal
    colours. Transparency is left out. A camera's note on which side is up (EXIF's orientation) is
    obeyed as by OpenCV's ``imread``; not if ``upright`` is False.

    Raises:
        NetcError: what opening a file may tell, bad-image, image-too-large, or input-shape for a
            net that takes neither 1 nor 3 channels.
    """
    _check_channels(channels)
    with _opened(path) as image:
        _ask(path, image, image.width * image.height * (4 + 9 * channels))
        pixels = _converted(_upright(image) if upright else image, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise _fault(
            "input-shape",
            f"an image has 1 or 3 channels, and the input has {channels}",
            "give the input as an .npy or .npz file",
        )


def _called(path: ImageFile) -> str:
    return path.name if isinstance(path, Encoded) else os.fspath(path)


def _of_few_rows(path: ImageFile, image: Image.Image, channels: int, height: int) -> Array:
    """An image brought to a smaller height: the rows between which new ones lie are all it takes.

    The numbers are those of :func:`resize_image`; what would be floats of all pixels is of a few
    rows. Returns float32 (channels, height, width).
    """
    low, high, part = _neighbours(image.height, height)
    rows = np.unique(np.concatenate([low, high]))
    _ask(path, image, len(rows) * image.width * channels * 12)
    taken = np.concatenate(
        [_converted(image.crop((0, y, image.width, y + 1)), channels) for y in rows.tolist()]
    )
    first, second = (taken[np.searchsorted(rows, index)] for index in (low, high))
    mixed = first + (second - first) * part.reshape(-1, 1, 1)
    return np.ascontiguousarray(mixed.transpose(2, 0, 1))


class Header(NamedTuple):
    """An image file's height and width, the right side up, and whether it had to be turned."""

    height: int
    width: int
    turned: bool


def read_header(path: ImageFile) -> Header:
    """An image's size, without its pixels.

    Raises:
        NetcError: as :func:`load_image`.
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        height, width = (image.size if orientation >= 5 else image.size[::-1])[:2]
        return Header(height, width, orientation > 1)


@contextmanager
def _opened(path: ImageFile) -> Iterator[Image.Image]:
    from PIL import Image

    file = io.BytesIO(path.content) if isinstance(path, Encoded) else path
    if not isinstance(path, Encoded):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise NetcError(unreadable(os.fspath(path), error)) from None
    with strangers_bytes(lambda error: _unreadable(path, error)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage that Pillow reads past
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
    return _fault(
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
    return _fault(
        "image-too-large",
        f"`{_called(path)}` has too many pixels: the limit is {MAX_PIXELS:,}{has}",
        "make it smaller first",
    )


def _fault(code: str, message: str, *help: str) -> NetcError:
    return NetcError(Diagnostic(code, message, help=help))


# Size


def resize_image(image: Array, size: tuple[int, int]) -> Array:
    """An image brought to a height and width by linear interpolation between pixel centres.

    That is what OpenCV's ``resize`` does by default, which Caffe's data layers call.

    Args:
        image: (channels, height, width).
        size: the new height and width.

    Returns:
        float32 (channels, *size); the image itself where it has that size.
    """
    for axis, new in zip((1, 2), size, strict=True):
        if image.shape[axis] != new:
            image = _interpolated(image, axis, new)
    return image


def _interpolated(image: Array, axis: int, new: int) -> Array:
    low, high, part = _neighbours(image.shape[axis], new)
    part = part.reshape((-1, 1) if axis == 1 else -1)
    first, second = image.take(low, axis), image.take(high, axis)
    mixed: Array = first + (second - first) * part
    return mixed


def _neighbours(old: int, new: int) -> tuple[AnyArray, AnyArray, Array]:
    """The two old elements that each new one lies between, and the second's share."""
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = at.astype(np.intp)
    return low, np.minimum(low + 1, old - 1), (at - low).astype(np.float32)


def resized_size(size: Sequence[int], how: Preprocessing) -> tuple[int, int]:
    """The height and width that an image of this size is brought to before it is cropped."""
    if how.resize is None:
        return how.size
    if how.resize == "own":
        return size[0], size[1]
    if not isinstance(how.resize, int):
        return how.resize
    short = min(size)
    height, width = (max(1, round(side * how.resize / short)) for side in size)
    if height * width > MAX_PIXELS:
        raise _fault(
            "image-too-large",
            f"an image of {size[0]} by {size[1]} resized to a shorter side of {how.resize} has "
            f"{height * width:,} pixels, the limit is {MAX_PIXELS:,}",
            "give both height and width",
        )
    return height, width


def _cropped(image: Array, how: Preprocessing) -> Array:
    """(crops, channels, height, width)."""
    (height, width), (above, left) = how.size, _room(image.shape[1:], how.size)
    corners = [(above // 2, left // 2)]
    if how.crops == "ten":
        corners = [(0, 0), (0, left), (above, 0), (above, left), *corners]
    crops = np.stack([image[:, y : y + height, x : x + width] for y, x in corners])
    return crops if how.crops == "center" else np.concatenate([crops, crops[..., ::-1]])


def _room(size: Sequence[int], crop: tuple[int, int]) -> tuple[int, int]:
    """How many rows and columns a crop leaves over."""
    room = size[0] - crop[0], size[1] - crop[1]
    if min(room) < 0:
        raise _fault(
            "image-too-small",
            f"a crop of {crop[0]} by {crop[1]} does not fit in an image of {size[0]} by {size[1]}",
            "resize the image to the crop's size or larger",
        )
    return room


class Placement(NamedTuple):
    """Where the part that a net sees lies in a picture, in the picture's pixels."""

    left: float
    top: float
    width: float
    height: float


def placement(size: tuple[int, int], how: Preprocessing) -> Placement:
    """Where the centre crop of a picture of this height and width lies in it."""
    height, width = resized_size(size, how)
    top, left = (side // 2 for side in _room((height, width), how.size))
    down, right = size[0] / height, size[1] / width
    return Placement(left * right, top * down, how.size[1] * right, how.size[0] * down)


# Mean


def read_mean(text: str) -> Array:
    """A mean from what a user types: values with commas between, or a file's path.

    Args:
        text: such as "104,117,123", or the path of a ``.binaryproto`` or ``.npy`` file.

    Returns:
        float32, one value for each channel or (channels, height, width).

    Raises:
        NetcError: the text is no list of numbers and the file cannot be read; bad-mean for
            numbers that are not finite.
    """
    try:
        values = np.array([float(part) for part in text.split(",")], dtype=np.float32)
    except ValueError:
        return load_mean(text)
    if not np.isfinite(values).all():
        raise _fault("bad-mean", f"the mean `{text}` is no list of finite numbers")
    return values


def _fitted_mean(mean: Array, shape: Sequence[int]) -> AnyArray:
    """The mean to subtract from images of this shape; a mean image is brought to their size."""
    channels = shape[0]
    if mean.ndim not in (1, 3) or mean.shape[0] not in (1, channels):
        raise _fault(
            "bad-mean",
            f"the mean has shape {mean.shape}, and the input has {counted(channels, 'channel')}",
            "give one value, one for each channel, or an image of as many channels",
        )
    if mean.ndim == 1:
        return mean.reshape(-1, 1, 1)
    return resize_image(mean, (shape[1], shape[2]))
