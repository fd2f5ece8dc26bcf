"""What each place of a sliding window sees, as columns (im2col), and its adjoint (col2im)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    """What each place of the window sees: channels x kernel x places; padding is zero."""
    shape = (image.shape[0], *(axis.kernel for axis in axes), *places)
    columns = namespace(image).zeros(shape, dtype=image.dtype)
    for element, outputs, inputs in met:
        columns[(slice(None), *element, *outputs)] = image[(slice(None), *inputs)]
    return columns


def as_images(x: AnyArray, axis: int, sizes: Sequence[int]) -> AnyArray:
    """Batch axes as one: number x channels x spatial sizes."""
    channels = channel_axis(axis, x.shape)
    return x.reshape(count(x.shape, 0, channels), x.shape[channels], *sizes)


def at_least_one(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes; without any, one of a single element, which changes nothing."""
    return axes or (Axis(size=1, kernel=1),)


def add_columns(columns: Any, met: Sequence[Taps], image: AnyArray) -> None:
    """Add what each place of the window sees to where it was seen, in ``image``."""
    for element, outputs, inputs in met:
        image[(slice(None), *inputs)] += columns[(slice(None), *element, *outputs)]
