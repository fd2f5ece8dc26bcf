"""``blobFromImage``: images as OpenCV makes them ready for a net (dnn_utils.cpp).

The order is: resize, swap channels, subtract the mean, multiply.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netc.compat.opencv.constants import CV_8U, CV_32F
from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import MAX_PIXELS
from netc.ops.array import AnyArray
from netc.resizing import resized

Image = AnyArray


def blobFromImage(
    image: object,
    scalefactor: float = 1.0,
    size: Sequence[int] = (0, 0),
    mean: object = (),
    swapRB: bool = False,
    crop: bool = False,
    ddepth: int = CV_32F,
) -> AnyArray:
    """A blob of one image; see :func:`blobFromImages`."""
    return blobFromImages([image], scalefactor, size, mean, swapRB, crop, ddepth)


def blobFromImages(
    images: Sequence[object],
    scalefactor: float = 1.0,
    size: Sequence[int] = (0, 0),
    mean: object = (),
    swapRB: bool = False,
    crop: bool = False,
    ddepth: int = CV_32F,
) -> AnyArray:
    """A blob of several images.

    Args:
        images: each (height, width) or (height, width, channels), of 1, 3 or 4 channels.
        scalefactor: multiplied after the mean is subtracted.
        size: width and height in the blob; (0, 0) for those of the images.
        mean: subtracted, in the blob's order of channels.
        swapRB: whether the first and the third channel change places.
        crop: whether images keep their proportions and are cropped to ``size`` at their centre.
        ddepth: 5 (CV_32F), or 0 (CV_8U) for bytes as they are.

    Returns:
        float32 or uint8 (images, channels, height, width).

    Raises:
        NetcError: bad-argument or bad-image.
    """
    pixels = [_sized(_image(image), _size(size), crop) for image in images]
    _check(pixels, ddepth, scalefactor, mean)
    batch = np.stack(pixels).transpose(0, 3, 1, 2)
    if swapRB and batch.shape[1] > 2:
        batch = batch[:, [2, 1, 0, *range(3, batch.shape[1])]]
    if ddepth == CV_8U:
        return np.ascontiguousarray(batch)
    return normalised(batch, scalefactor, mean)


def normalised(batch: AnyArray, scalefactor: float, mean: object) -> NDArray[np.float32]:
    """``(batch - mean) * scalefactor``, with one mean per channel: float32 in C order.

    Raises:
        NetcError: bad-argument, where the mean is no number or sequence of at most four.
    """
    out = np.array(batch, dtype=np.float32, order="C")
    values = scalar(mean)
    if any(values):
        channels = out.shape[1] if out.ndim > 1 else 1
        if channels > len(values):
            raise _bad(f"a mean has at most 4 values, and the blob has {channels} channels")
        shape = (channels, *(1,) * (out.ndim - 2)) if out.ndim > 1 else (1,)
        out -= np.array(values[:channels], dtype=np.float32).reshape(shape)
    if scalefactor != 1:
        out *= np.float32(scalefactor)
    return out


def scalar(mean: object) -> tuple[float, float, float, float]:
    """A mean as OpenCV's Scalar: four numbers, zeros where fewer are given.

    Raises:
        NetcError: bad-argument.
    """
    try:
        values = [float(v) for v in np.asarray(mean, dtype=np.float64).reshape(-1)]
    except (TypeError, ValueError):
        values = [0.0] * 5
    if len(values) > 4:
        raise _bad(f"`mean` is a number or up to four, not {mean!r}")
    one, two, three, four = (*values, *(0.0,) * (4 - len(values)))
    return one, two, three, four


def _image(image: object) -> Image:
    """(height, width, channels), uint8 or float32."""
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        has = "None" if image is None else f"an array of {array.shape}"
        help = "imread gives None where it cannot read the file" if image is None else ""
        message = f"an image is (height, width, channels) of 1, 3 or 4 channels, not {has}"
        raise NetcError(Diagnostic("bad-image", message, help=(help,) if help else ()))
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "fiu":
        raise NetcError(Diagnostic("bad-image", f"an image has numbers, not `{array.dtype}`"))
    return array.astype(np.float32)


def _size(size: Sequence[int]) -> tuple[int, int]:
    """Height and width."""
    try:
        width, height = (int(side) for side in size)
    except (TypeError, ValueError):
        raise _bad(f"`size` is (width, height), not {size!r}") from None
    if width < 0 or height < 0 or (width == 0) != (height == 0) or width * height > MAX_PIXELS:
        raise _bad(f"`size` cannot be {size!r}")
    return height, width


def _check(pixels: Sequence[Image], ddepth: int, scalefactor: float, mean: object) -> None:
    shapes = sorted({image.shape for image in pixels})
    if len(shapes) != 1:
        raise _bad(f"the images of a blob have one size, these have {shapes or 'none'}")
    if ddepth not in (CV_8U, CV_32F):
        raise _bad(f"`ddepth` is 5 (CV_32F) or 0 (CV_8U), not {ddepth!r}")
    if ddepth == CV_8U:
        if scalefactor != 1 or any(scalar(mean)):
            raise _bad("a blob of bytes (`ddepth` 0) takes neither `scalefactor` nor `mean`")
        if pixels[0].dtype != np.uint8:
            raise _bad("a blob of bytes (`ddepth` 0) is made of images of bytes")


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-argument", message))


# Size


def _sized(image: Image, size: tuple[int, int], crop: bool) -> Image:
    height, width = image.shape[:2]
    if size == (0, 0) or size == (height, width):
        return image
    if not crop:
        return _resized(image, size, (1 / (size[0] / height), 1 / (size[1] / width)))
    factor = float(max(np.float32(size[1]) / np.float32(width),
                       np.float32(size[0]) / np.float32(height)))  # fmt: skip
    large = round(height * factor), round(width * factor)
    whole = image if factor == 1 else _resized(image, large, (1 / factor, 1 / factor))
    top = int(0.5 * (whole.shape[0] - size[0]))
    left = int(0.5 * (whole.shape[1] - size[1]))
    return whole[top : top + size[0], left : left + size[1]]


def _resized(image: Image, size: tuple[int, int], steps: tuple[float, float]) -> Image:
    if 0 in size:
        raise _bad(f"an image cannot be resized to {size[1]} by {size[0]}")
    return resized(image, size, steps)
