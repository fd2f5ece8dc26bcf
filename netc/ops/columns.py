"""The input elements under each place of a sliding window, as columns (im2col), and its adjoint
(col2im), as im2col.cpp has them.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count
from netc.ops.array import AnyArray, namespace
from netc.ops.convolution_params import (
    channel_axis,
)
from netc.ops.window import (
    Axis,
    Taps,
)


def window_columns(
    image: AnyArray, met: Sequence[Taps], axes: Sequence[Axis], places: Shape
) -> AnyArray:
    """im2col of one image: (channels, *kernel, *places), in the image's dtype; padding is zero.

    Args:
        image: (channels, *sizes).
        met: the kernel's elements, see :func:`netc.ops.window.taps`.
        axes: the window along each spatial axis.
        places: how many places the window has along each axis.
    """
    shape = (image.shape[0], *(axis.kernel for axis in axes), *places)
    columns = namespace(image).zeros(shape, dtype=image.dtype)
    for element, outputs, inputs in met:
        place: tuple[slice | int, ...] = (slice(None), *element, *outputs)
        columns[place] = image[(slice(None), *inputs)]
    return columns


def as_images(x: AnyArray, axis: int, sizes: Sequence[int]) -> AnyArray:
    """A view (num, channels, *sizes) of a blob; all axes before the channels' become one.

    Args:
        x: the blob.
        axis: the channels' axis; negative counts from the end.
        sizes: of the spatial axes.

    Raises:
        ShapeError: the blob has no such axis.
    """
    channels = channel_axis(axis, x.shape)
    return x.reshape(count(x.shape, 0, channels), x.shape[channels], *sizes)


def at_least_one(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes; where there are none, one of a single element, so that code need not ask."""
    return axes or (Axis(size=1, kernel=1),)


def add_columns(columns: AnyArray, met: Sequence[Taps], image: AnyArray) -> None:
    """col2im of one image: add each column element to ``image``, in place, where it was read.

    Args:
        columns: (channels, *kernel, *places).
        met: the kernel's elements, see :func:`netc.ops.window.taps`.
        image: (channels, *sizes).
    """
    for element, outputs, inputs in met:
        place: tuple[slice | int, ...] = (slice(None), *element, *outputs)
        image[(slice(None), *inputs)] += columns[place]
