"""Arrays of kernels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from netc.backends.cpu.memory import ALIGNMENT, aligned_bytes, aligned_copy, aligned_zeros


@pytest.mark.parametrize("size", [0, 1, 64, 1000, 40_000, 100_000, 3_000_000, 2 << 20])
def test_bytes_start_at_a_line_and_are_zero(size: int) -> None:
    array = aligned_bytes(size)
    assert size <= len(array) < size + ALIGNMENT
    assert array.ctypes.data % ALIGNMENT == 0 and array.flags.writeable
    assert not array.any()


def test_arrays_do_not_overlap() -> None:
    with ThreadPoolExecutor(4) as threads:
        arrays = list(threads.map(lambda i: aligned_zeros((8_000 + i * 977,)), range(200)))
    for i, array in enumerate(arrays):
        array[:] = i
    assert all((array == i).all() for i, array in enumerate(arrays))


def test_a_copy_is_one() -> None:
    given = np.arange(60_000, dtype=np.float64).reshape(3, 20_000)[:, ::2]
    copy = aligned_copy(given)
    assert copy.dtype == np.float32 and copy.flags.c_contiguous
    np.testing.assert_array_equal(copy, given)
