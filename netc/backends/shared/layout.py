"""How a graph's values lie in memory: pixels with their channels innermost.

A value of four axes, num x channels x height x width, is stored as num x height x width x channels;
one of two axes as num x 1 x 1 x channels. All others are stored as they are, as one long pixel.
Vectors of channels, or threads side by side, then read neighbouring elements, and a product reads
whole pixels at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from netc.backends.shared.views import Place, View, dense
from netc.ir.types import Shape, count


def pixel_shape(shape: Shape) -> tuple[int, int, int, int]:
    """Images, height, width and channels as which a value is stored."""
    #   (n, c, h, w) stored as    n: [y: [x: [c0 c1 c2 ...] [c0 c1 c2 ...] ...] ...] ...
    if len(shape) == 4:
        return shape[0], shape[2], shape[3], shape[1]
    if len(shape) == 2:
        return shape[0], 1, 1, shape[1]
    return 1, 1, 1, count(shape)


def has_channels(shape: Shape) -> bool:
    """True if the channels of the value are those of the stored pixels."""
    return len(shape) in (2, 4)


def is_in_c_order(shape: Shape) -> bool:
    """True if a value's stored elements are in the order of an array of its shape."""
    return len(shape) != 4 or shape[1] == 1 or shape[2] * shape[3] == 1


def lies_in_c_order(shape: Shape, view: View) -> bool:
    """True if a value lies without gaps and in the order of an array of its shape."""
    in_rows = view.n == shape[0] and view.h * view.w == 1 if len(shape) == 4 else False
    return view.ld == view.c and (is_in_c_order(shape) or in_rows)


def view_of(shape: Shape, place: Place) -> View:
    """A value by itself at a place."""
    return dense(place, *pixel_shape(shape))


def c_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements from one index to the next along each axis, in C order."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def stored_strides(shape: Shape, view: View) -> tuple[int, ...]:
    """Elements from one index to the next along each axis, as the arena has the value."""
    if len(shape) == 4:
        return view.h * view.w * view.ld, 1, view.w * view.ld, view.ld
    if len(shape) == 2:
        return view.ld, 1
    return c_strides(shape)
