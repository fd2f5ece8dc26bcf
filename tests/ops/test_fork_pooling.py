"""The least element of a window, and SaliencyPooling, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError, NetcWarning
from tests.ops.test_fork_parts import close, run

X = np.random.default_rng(6).normal(size=(2, 2, 5, 4))
FIELDS = "pooling_param { pool: MIN kernel_size: 3 stride: 2 pad: 1 }"


def windows(row: int, column: int) -> tuple[slice, slice]:
    """What the window of 3 at this place sees, of 5 rows and 4 columns with a border of 1."""
    top, left = 2 * row - 1, 2 * column - 1
    return slice(max(0, top), min(5, top + 3)), slice(max(0, left), min(4, left + 3))


def test_the_least_of_each_window_and_where() -> None:
    wanted, where = np.zeros((2, 2, 3, 3)), np.zeros((2, 2, 3, 3))
    for at in np.ndindex(2, 2, 3, 3):
        rows, columns = windows(*at[2:])
        seen = X[at[:2]][rows, columns]
        place = np.unravel_index(seen.argmin(), seen.shape)
        wanted[at] = seen.min()
        where[at] = (rows.start + place[0]) * 4 + columns.start + place[1]
    least, mask = run("Pooling", FIELDS, X, tops=2)
    close(least, wanted)
    close(mask, where)
    close(run("Pooling", FIELDS, X), wanted)


def test_saliency_pooling_is_the_maximum() -> None:
    fields = FIELDS.replace("pool: MIN", "")
    with pytest.warns(NetcWarning, match="draws 0 or 1"):
        close(run("SaliencyPooling", fields, X, X), run("Pooling", fields, X))


def test_both_need_a_kernel() -> None:
    with pytest.raises(NetcError, match="`kernel_size` is not given"):
        run("Pooling", "pooling_param { pool: MIN }", X)
