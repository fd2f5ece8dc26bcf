"""Downsample and LpqLoss of FlowNet 2 against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(10)


def test_downsample() -> None:
    x = RNG.normal(size=(1, 2, 7, 9)).astype(np.float32)
    x[0, 1, 0, :3] = np.nan
    x[0, 0, 3:, 4:] = np.nan
    got = run("Downsample", "", x, np.zeros((1, 1, 3, 4)))
    high, wide = 6 / 2, 8 / 3
    for c, i, j in np.ndindex(2, 3, 4):
        y, a = i * high, j * wide
        total = weight = unknown = 0.0
        for h, w in np.ndindex(7, 9):
            share = max(0, 1 - abs(h - y) / high) * max(0, 1 - abs(w - a) / wide)
            if math.isnan(x[0, c, h, w]):
                unknown += share
            else:
                total, weight = total + share * float(x[0, c, h, w]), weight + share
        if weight == 0 or unknown / weight > 0.5:
            assert math.isnan(got[0, c, i, j])
        else:
            close(got[0, c, i, j], total / weight)
    same = run("Downsample", "downsample_param { top_height: 7 top_width: 9 }", x)
    np.testing.assert_array_equal(same, x)
    with pytest.raises(NetcError, match="2 rows and columns"):
        run("Downsample", "downsample_param { top_height: 1 top_width: 4 }", x)


def test_lpq_loss() -> None:
    a, b = RNG.normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    a[0, 0, 0, 0] = np.nan
    apart = np.nan_to_num(np.abs(a - b))
    fields = "lpq_loss_param {{ p: 1.5 q: 0.4 q_epsilon: 0.01 p_epsilon: 0.1 {} }}"
    each = (((apart + 0.1) ** 1.5).sum(axis=1) + 0.01) ** 0.4
    close(run("LpqLoss", fields.format(""), a, b), each.sum() / 2)
    mean = (((apart + 0.1) ** 1.5).mean(axis=1) + 0.01) ** 0.4
    more = "l2_prescale_by_channels: true normalize_by_num_entries: true"
    known = (~np.isnan(a)).sum() / 3
    close(run("LpqLoss", fields.format(more), a, b), mean.sum() / known)
    alone = run("LpqLoss", "lpq_loss_param { p: 2 q: 0.5 q_epsilon: 0 }", b)
    close(alone, np.sqrt((b**2).sum(axis=1)).sum() / 2)


def test_the_powers_of_the_first_iteration() -> None:
    x = RNG.normal(size=(1, 2, 3, 3))
    steps = (
        "lpq_loss_param { p: [1, 2] q: [1, 0.5] pq_episode_starts_at_iter: [0, 10] q_epsilon: 0 }"
    )
    close(run("LpqLoss", steps, x), np.abs(x).sum())


@pytest.mark.parametrize("fields", ["", "p: 1", "p: [1, 2] q: [1, 1]",
                                    "p: 1 q: 1 pq_episode_starts_at_iter: 5"])  # fmt: skip
def test_powers_that_do_not_fit(fields: str) -> None:
    with pytest.raises(NetcError) as caught:
        run("LpqLoss", f"lpq_loss_param {{ {fields} }}", np.zeros((1, 2, 3, 3)))
    assert [d.code for d in caught.value.diagnostics] == ["out-of-range"]
