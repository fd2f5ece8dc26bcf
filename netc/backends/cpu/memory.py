"""Arrays that start at a cache line; vectors that straddle two lines cost double.

Larger ones lie in pieces of memory that ask the system for pages of 2 MB, where there are such.
A net's weights and arena are thousands of pages of 4 KB; a program that does other things between
two calls has lost their translations by the next one, and finding each again costs more than
reading it.
"""

from __future__ import annotations

import math
import mmap
import threading

import numpy as np
from numpy.typing import NDArray

from netc.memory import SMALL, budget, check_memory
from netc.ops.array import AnyArray

ALIGNMENT = 64


def rounded(size: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes that start and end at a cache line.

    Raises:
        NetcError: too-little-memory, more than the budget in force has left.
    """
    check_memory(size, "packed weights and buffers of kernels")
    try:
        taken = _taken(size)
    except (OSError, OverflowError, ValueError) as error:  # of mmap
        raise MemoryError(f"{size:,} bytes could not be had: {error}") from None
    if size > SMALL:
        budget().hold(size, taken.base)
    return taken


def _taken(size: int) -> NDArray[np.uint8]:
    if size >= _LARGE and _HUGE is not None:
        return _PIECES.take(rounded(size))
    raw = np.zeros(rounded(size) + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start:][: rounded(size)]  # in two cuts: an empty slice starts where ``raw`` does


_LARGE = 32 << 10
_PAGE = 2 << 20
_HUGE: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux


class _Pieces:
    """Pieces of memory with large pages; arrays are cut from one until it is used up.

    A piece is given back when the last array of it is gone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = np.zeros(0, np.uint8)

    def take(self, size: int) -> NDArray[np.uint8]:
        """``size`` zeroed bytes, a multiple of the alignment."""
        with self._lock:
            if size > len(self._left):
                piece = _piece(size)
                if size >= _PAGE:
                    return piece[:size]
                self._left = piece
            taken, self._left = self._left[:size], self._left[size:]
            return taken


def _piece(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes, whole large pages that start at one."""
    whole = -(-size // _PAGE) * _PAGE
    memory = mmap.mmap(-1, whole + _PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _HUGE is not None:
        try:
            memory.madvise(_HUGE)
        except OSError:  # this kernel has no such pages
            pass
    raw: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
    start = -raw.ctypes.data % _PAGE
    return raw[start : start + whole]


_PIECES = _Pieces()


def aligned_zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros that start at a cache line."""
    size = math.prod(shape)
    return aligned_bytes(4 * size)[: 4 * size].view(np.float32).reshape(shape)


def aligned_copy(array: AnyArray) -> NDArray[np.float32]:
    """A float32 copy in C order that starts at a cache line."""
    copy = aligned_zeros(array.shape)
    copy[...] = array
    return copy
