"""What the values inside kernels are to mypy and to readers.

A kernel is Python that Numba compiles. Its integers are int64, addresses among them; what else it
computes with is one of these. None of them exists at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Record(Protocol):
    """An argument block as a kernel reads it: each field is an int64.

    It is an address, a number, or the bits of a float32 (see ``simd.as_float``).
    """

    def __getattr__(self, field: str) -> int:
        """A field of the layout that the kernel read the block by."""


class Lanes(Protocol):
    """A vector of float32 in a register; arithmetic is lane by lane, on two of one width."""

    def __add__(self, other: Lanes) -> Lanes:
        """Sums."""

    def __sub__(self, other: Lanes) -> Lanes:
        """Differences."""

    def __mul__(self, other: Lanes) -> Lanes:
        """Products."""

    def __truediv__(self, other: Lanes) -> Lanes:
        """Quotients."""


#: A kernel as Numba compiles it: (address of its argument block, first unit, unit behind the last,
#: address of the thread's scratch memory). Units are what its builder counts, see ``Step.units``.
Kernel = Callable[[int, int, int, int], None]
#: A function that Numba inlines into kernels: an intrinsic, or one under ``njit(inline="always")``.
#: Numba types its arguments and its result at each call.
Compiled = Callable[..., Any]
#: One whose result is a vector.
VectorFunction = Callable[..., Lanes]
#: One whose result is a float32, which mypy takes for a float.
ScalarFunction = Callable[..., float]

#: Where a window reads, from its image's first pixel on: rows and columns, the first and behind the
#: last; the divisor of its average; and the output's pixel.
Seen = tuple[int, int, int, int, int, int, int]

#: Two numbers of an option: vertical and horizontal, or rows and columns of a register tile.
Pair = tuple[int, int]
