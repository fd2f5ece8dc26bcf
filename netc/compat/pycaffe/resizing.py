"""Images brought to another size, as pycaffe's ``resize_image`` does through other libraries.

Images of one or three channels went through scikit-image (pixel centres, black beyond the border,
no smoothing, as its versions of Caffe's time did it), others through SciPy's ``zoom`` (corner on
corner). Linear interpolation and the nearest pixel are offered.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.compat.pycaffe.errors import also
from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import MAX_PIXELS
from netc.ir.graph import Array
from netc.ops.array import AnyArray

Doubles = NDArray[np.float64]


def resize_image(im: object, new_dims: object, interp_order: int = 1) -> Array:
    """An image in another size.

    Args:
        im: (height, width, channels).
        new_dims: the new height and width.
        interp_order: 1 for linear interpolation, 0 for the nearest pixel.

    Returns:
        float32 (*new_dims, channels).

    Raises:
        NetcError: bad-argument.
    """
    image = np.asarray(im)
    if interp_order not in (0, 1) or image.ndim != 3 or 0 in image.shape:
        raise _refused(image, interp_order)
    height, width = _sizes(new_dims)
    if image.shape[-1] not in (1, 3):
        return _corner_to_corner(image, (height, width), interp_order)
    low, high = float(image.min()), float(image.max())
    if not high > low:
        return np.full((height, width, image.shape[-1]), low, dtype=np.float32)
    level = (image.astype(np.float64) - low) / (high - low)
    for axis, size in ((0, height), (1, width)):
        level = _centred(level, axis, size, interp_order)
    return np.asarray(level * (high - low) + low, dtype=np.float32)


def _sizes(new_dims: Any) -> tuple[int, int]:
    try:
        height, width = (int(size) for size in new_dims)
    except (TypeError, ValueError):
        height = width = -1
    if height < 0 or width < 0 or height * width > MAX_PIXELS:
        message = f"the new size is a height and a width, not {new_dims!r}"
        raise NetcError(Diagnostic("bad-argument", message))
    return height, width


def _refused(image: AnyArray, order: int) -> NetcError:
    if order not in (0, 1):
        message, help = f"`interp_order` is 0 or 1, not {order!r}", "leave it out for linear"
    else:
        message = f"an image is (height, width, channels), not {image.shape}"
        help = "give a grey image a last axis: image[:, :, numpy.newaxis]"
    return also(NetcError(Diagnostic("bad-argument", message, help=(help,))), RuntimeError)


def _centred(image: Doubles, axis: int, size: int, order: int) -> Doubles:
    old = image.shape[axis]
    if old == size:
        return image
    at = (np.arange(size) + 0.5) * (old / size) - 0.5
    if order == 0:
        nearest = np.clip(np.rint(at).astype(np.intp), 0, old - 1)
        return np.asarray(image.take(nearest, axis), dtype=np.float64)
    return _mixed(image, axis, at)


def _corner_to_corner(image: AnyArray, sizes: tuple[int, int], order: int) -> Array:
    level = image.astype(np.float64)
    for axis, size in enumerate(sizes):
        old = level.shape[axis]
        at = np.arange(size) * ((old - 1) / max(1, size - 1))
        if order == 0:
            level = level.take(np.floor(at + 0.5).astype(np.intp), axis)
        else:
            level = _mixed(level, axis, at)
    return level.astype(np.float32)


def _mixed(image: Doubles, axis: int, at: Doubles) -> Doubles:
    """Linear interpolation at these places; beyond the border there are zeros."""
    low = np.floor(at).astype(np.intp)
    part = at - low
    first = _pixels(image, axis, low, 1 - part)
    return np.asarray(first + _pixels(image, axis, low + 1, part), dtype=np.float64)


def _pixels(image: Doubles, axis: int, at: NDArray[np.intp], weight: Doubles) -> Doubles:
    old = image.shape[axis]
    weight = np.where((at >= 0) & (at < old), weight, 0.0)
    shape = [-1 if i == axis else 1 for i in range(image.ndim)]
    return np.asarray(image.take(np.clip(at, 0, old - 1), axis) * weight.reshape(shape))
