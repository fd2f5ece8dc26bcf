"""The array library that an array belongs to, so that one kernel text serves NumPy and CuPy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from netc.numeric import np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

#: What definitions take, compute with and give: an array of NumPy, or of a library that has NumPy's
#: interface (CuPy). Blobs and weights are float32; indices, masks and float64 sums lie between.
if TYPE_CHECKING:
    AnyArray = NDArray[Any]
else:
    AnyArray = object
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


def contiguous(array: AnyArray, dtype: DTypeLike | None = None) -> AnyArray:
    """An array in C order, of a type if one is named: itself where it is so already."""
    found: AnyArray = namespace(array).ascontiguousarray(array, dtype)
    return found


Given = ParamSpec("Given")
Found = TypeVar("Found")


def quietly(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """A definition in which NumPy says nothing of overflows, divisions by zero and NaN."""

    @wraps(function)
    def quiet(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return quiet
