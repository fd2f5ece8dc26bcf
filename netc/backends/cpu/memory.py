"""Arrays that start at a cache line; vectors that straddle two lines cost double."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64


def rounded(size: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes that start and end at a cache line."""
    raw = np.zeros(rounded(size) + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + rounded(size)]


def aligned_zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros that start at a cache line."""
    size = math.prod(shape)
    return aligned_bytes(4 * size)[: 4 * size].view(np.float32).reshape(shape)


def aligned_copy(array: NDArray[Any]) -> NDArray[np.float32]:
    """A float32 copy in C order that starts at a cache line."""
    copy = aligned_zeros(array.shape)
    copy[...] = array
    return copy
