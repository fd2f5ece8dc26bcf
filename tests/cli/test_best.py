"""The best scores of an output, found a block at a time."""

from __future__ import annotations

import numpy as np
import pytest

from netc.cli import results


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
@pytest.mark.parametrize("number", [0, 1, 5, 60])
def test_the_best_are_those_of_a_stable_sort(
    monkeypatch: pytest.MonkeyPatch, block: int, number: int
) -> None:
    monkeypatch.setattr(results, "_BLOCK", block)
    rng = np.random.default_rng(block)
    row = rng.integers(0, 6, 50).astype(np.float32)
    row[[4, 30]] = np.nan, -np.inf
    wanted = np.argsort(-row, kind="stable")[:number]
    assert results._best(row, number).tolist() == wanted.tolist()


@pytest.mark.parametrize("block", [1, 4, 1000])
def test_what_is_not_finite_is_counted(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(results, "_BLOCK", block)
    array = np.ones((2, 3, 2), np.float32)
    assert results._summary(array) == "2x3x2, from 1 to 1"
    array[1, 2] = np.nan, np.inf
    assert results._summary(array).endswith(", 2 not finite")
