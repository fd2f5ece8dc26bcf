"""Stored values seen as arrays of their own shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu.program import Context
from netc.backends.shared.views import View
from netc.ir.types import Shape

Flat = NDArray[np.float32]


def logical(shape: Shape) -> Callable[[Context, View], Flat]:
    """How to see a stored value as an array of its own shape, without copying.

    Writing to the array writes to the value.
    """
    if len(shape) == 4:
        return lambda context, view: context.array(view)
    if len(shape) == 2:
        return lambda context, view: context.array(view)[:, :, 0, 0]
    return lambda context, view: context.flat(view.place, view.span).reshape(shape)
