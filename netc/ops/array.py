"""The array library that an array belongs to, so that one kernel text serves NumPy and CuPy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What definitions take, compute with and give: an array of NumPy, or of a library that has NumPy's
#: interface (CuPy). Blobs and weights are float32; indices, masks and float64 sums lie between.
AnyArray = NDArray[Any]
#: Bottoms, tops or trained arrays of a layer, in order.
Arrays = Sequence[AnyArray]


def namespace(*arrays: object) -> ModuleType:
    """The module (numpy or cupy) whose functions take these arrays.

    Scalars count as NumPy's; the first argument that is an array of another library decides.
    """
    for array in arrays:
        if not isinstance(array, (np.ndarray, np.generic, int, float)):
            return sys.modules[type(array).__module__.partition(".")[0]]
    return np
