"""The array library that an array belongs to, so that one kernel text serves NumPy and CuPy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

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


class Namespace(Protocol):
    """NumPy, or a library with its interface, as definitions use it: its functions give arrays."""

    add: np.ufunc
    float32: type[np.float32]
    float64: type[np.float64]
    int64: type[np.int64]

    def __getattr__(self, name: str, /) -> Callable[..., AnyArray]:
        """A function of the library."""


def namespace(*arrays: object) -> Namespace:
    """The module (numpy or cupy) whose functions take these arrays.

    Scalars count as NumPy's; the first argument that is an array of another library decides.
    """
    for array in arrays:
        if not isinstance(array, (np.ndarray, np.generic, int, float)):
            return cast(Namespace, sys.modules[type(array).__module__.partition(".")[0]])
    return cast(Namespace, np)


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
