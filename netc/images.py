"""Image files -> the arrays that a net is fed, as users of Caffe prepare them.

The order of operations is that of ``caffe.io.Transformer``: transpose, channel order, raw scale,
mean, input scale. Cropping, centred or ten times, is that of ``caffe.Classifier``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from netc import image_files
from netc.diagnostics import counted
from netc.image_files import ImageFile, fault, load_image, load_reduced
from netc.ir.graph import Array
from netc.ir.types import show
from netc.ops.array import AnyArray
from netc.resizing import resize_image, resized
from netc.weights.mean import load_mean


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """How an image becomes a net's input; sizes are in pixels.

    Args:
        size: height and width of the net's input.
        channels: channels of the net's input, 1 or 3.
        resize: height and width, or the length of the shorter side, to resize the image to before
            it is cropped to ``size``; "own" does not resize, None resizes to ``size`` directly.
        crops: "center" for one crop, "flip" for it and its mirror image, "ten" for the four
            corners, the centre, and all five mirrored.
        channel_order: channel order of the net's input, "BGR" (most Caffe nets) or "RGB".
        raw_scale: the value of a pixel of full brightness; 255 for most Caffe nets.
        mean: subtracted after ``raw_scale``: float32, one value for each channel, or an image
            (channels, height, width), in the net's channel order. None subtracts nothing.
        scale: multiplied last (``input_scale``).
        data_layer: whether to follow Caffe's data layers (data_transformer.cpp): images are
            resized as bytes, by OpenCV's rule, and a mean image is subtracted before cropping.
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
    """Read and preprocess an image file: float32 (crops, channels, height, width).

    Raises:
        NetcError: as :func:`netc.image_files.load_image` and :func:`preprocess`.
    """
    if how.data_layer:
        return preprocess(load_image(path, how.channels), how)
    image = load_reduced(path, how.channels, lambda size: resized_size(size, how)[0])
    return preprocess(image, how)


def preprocess(image: Array, how: Preprocessing) -> Array:
    """Resize, crop, order, scale and subtract the mean: an image array to a net's input.

    Args:
        image: float32 (channels, height, width), RGB, 0 to 1, as :func:`load_image` returns it.
        how: the preprocessing.

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
        raise fault(
            "bad-mean",
            f"the mean is of images {show(mean.shape)}, and this one is {show(shape)}",
            f"--resize {mean.shape[1]},{mean.shape[2]} brings images to the mean's size",
        )
    return mean


# Size


def resized_size(size: Sequence[int], how: Preprocessing) -> tuple[int, int]:
    """The height and width to which an image of ``size`` (height, width) is resized first."""
    if how.resize is None:
        return how.size
    if how.resize == "own":
        return size[0], size[1]
    if not isinstance(how.resize, int):
        return how.resize
    short = min(size)
    height, width = (max(1, round(side * how.resize / short)) for side in size)
    if height * width > image_files.MAX_PIXELS:
        raise fault(
            "image-too-large",
            f"an image of {size[0]} by {size[1]} resized to a shorter side of {how.resize} has "
            f"{height * width:,} pixels, the limit is {image_files.MAX_PIXELS:,}",
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
        raise fault(
            "image-too-small",
            f"a crop of {crop[0]} by {crop[1]} does not fit in an image of {size[0]} by {size[1]}",
            "resize the image to the crop's size or larger",
        )
    return room


class CropPlacement(NamedTuple):
    """The rectangle of a picture that the net's input covers, in the picture's pixels."""

    left: float
    top: float
    width: float
    height: float


def placement(size: tuple[int, int], how: Preprocessing) -> CropPlacement:
    """The rectangle that the centre crop covers in a picture of ``size`` (height, width)."""
    height, width = resized_size(size, how)
    top, left = (side // 2 for side in _room((height, width), how.size))
    down, right = size[0] / height, size[1] / width
    return CropPlacement(left * right, top * down, how.size[1] * right, how.size[0] * down)


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
        raise fault("bad-mean", f"the mean `{text}` is no list of finite numbers")
    return values


def _fitted_mean(mean: Array, shape: Sequence[int]) -> AnyArray:
    """The mean to subtract from images of this shape; a mean image is brought to their size."""
    channels = shape[0]
    if mean.ndim not in (1, 3) or mean.shape[0] not in (1, channels):
        raise fault(
            "bad-mean",
            f"the mean has shape {mean.shape}, and the input has {counted(channels, 'channel')}",
            "give one value, one for each channel, or an image of as many channels",
        )
    if mean.ndim == 1:
        return mean.reshape(-1, 1, 1)
    return resize_image(mean, (shape[1], shape[2]))
