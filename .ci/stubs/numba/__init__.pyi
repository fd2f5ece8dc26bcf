"""What netc's kernels use of Numba, which has no types of its own.

Inside a kernel a number is Python's: ``float32(x)`` rounds a float, ``int64(x)`` makes an int.
"""

from collections.abc import Callable
from typing import TypeVar

from numba import types as types
from numba.types import boolean as boolean
from numba.types import float32 as float32
from numba.types import float64 as float64
from numba.types import int64 as int64

_F = TypeVar("_F", bound=Callable[..., object])

def njit(*, inline: str) -> Callable[[_F], _F]: ...
