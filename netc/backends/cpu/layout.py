"""How a graph's values lie in memory: pixels with their channels innermost.

A value of four axes, num x channels x height x width, is stored as num x height x width x channels;
one of two axes as num x 1 x 1 x channels. All others are stored as they are, as one long pixel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu.program import Context
from netc.backends.cpu.views import Place, View, dense
from netc.ir.types import Shape, count

Flat = NDArray[np.float32]


def pixel_shape(shape: Shape) -> tuple[int, int, int, int]:
    """Images, height, width and channels as which a value is stored."""
    if len(shape) == 4:
        return shape[0], shape[2], shape[3], shape[1]
    if len(shape) == 2:
        return shape[0], 1, 1, shape[1]
    return 1, 1, 1, count(shape)


def has_channels(shape: Shape) -> bool:
    """Whether the channels are the stored pixels' own."""
    return len(shape) in (2, 4)


def lies_as_given(shape: Shape) -> bool:
    """Whether a value's stored elements are in the order of an array of its shape."""
    return len(shape) != 4 or shape[1] == 1 or shape[2] * shape[3] == 1


def view_of(shape: Shape, place: Place) -> View:
    """A value by itself at a place."""
    return dense(place, *pixel_shape(shape))


def logical(shape: Shape) -> Callable[[Context, View], Flat]:
    """How to see a stored value as an array of its own shape, without copying.

    Writing to the array writes to the value.
    """
    if len(shape) == 4:
        return lambda context, view: context.array(view)
    if len(shape) == 2:
        return lambda context, view: context.array(view)[:, :, 0, 0]
    return lambda context, view: context.flat(view.place, view.size).reshape(shape)
