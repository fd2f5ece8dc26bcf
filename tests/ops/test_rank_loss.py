"""RankHardLoss against loops written as its fork is."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from tests.ops.test_fork_parts import close, inputs_of, rng, run, text_of

ROWS, PAIR = 8, 2


def loss_and_slopes(x: np.ndarray, label: np.ndarray, most: int, margin: float):
    """Every pair with all unlike rows that make a loss."""
    distance = -(x @ x.T)
    np.fill_diagonal(distance, 0)
    loss, slopes, number = 0.0, np.zeros_like(x), 0
    for i in range(0, ROWS, PAIR):
        for j in range(ROWS):
            first = distance[i, i + 1] - distance[i, j] + margin
            second = distance[i, i + 1] - distance[i + 1, j] + margin
            if label[j] == label[i] or first <= 0:
                continue
            number += 1
            loss += first + max(second, 0)
            slopes[i] += x[j] - x[i + 1]
            slopes[i + 1] -= x[i]
            slopes[j] += x[i]
            if second > 0:
                slopes[i] -= x[i + 1]
                slopes[i + 1] += x[j] - x[i]
                slopes[j] += x[i + 1]
    divisor = most * ROWS // PAIR * 2
    return loss / divisor, slopes / divisor, number


def fields(most: int, hard: float = 0, some: float = 0) -> str:
    given = f"pair_size: {PAIR} neg_num: {most} hard_ratio: {hard} rand_ratio: {some} margin: 1"
    return f"rank_param {{ {given} }}"


def test_loss_and_gradient_of_all_unlike_rows() -> None:
    x, label = rng().normal(size=(ROWS, 3)) / 2, np.arange(ROWS) // PAIR % 3
    loss, slopes, _ = loss_and_slopes(x, label, ROWS, 1)
    close(run("RankHardLoss", fields(ROWS), x, label), loss)
    text = inputs_of([x.shape, label.shape]) + text_of("RankHardLoss", fields(ROWS), 2, 1)
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    found = net.gradients({"x0": x.astype(np.float32), "x1": label.astype(np.float32)}).blobs
    close(found["x0"], slopes)


def test_the_hardest_alone_and_some_of_the_others() -> None:
    x, label = rng().normal(size=(ROWS, 3)) / 4, np.arange(ROWS) // PAIR
    distance = -(x @ x.T)
    np.fill_diagonal(distance, 0)
    wanted = 0.0
    for i in range(0, ROWS, PAIR):
        able = [j for j in range(ROWS) if label[j] != label[i]]
        assert all(distance[i, i + 1] - distance[i, j] + 1 > 0 for j in able)
        for j in sorted(able, key=lambda j: distance[i, j])[:3]:
            wanted += max(distance[i, i + 1] - distance[i, j] + 1, 0)
            wanted += max(distance[i, i + 1] - distance[i + 1, j] + 1, 0)
    divisor = 3 * ROWS // PAIR * 2
    close(run("RankHardLoss", fields(3, hard=1), x, label), wanted / divisor)
    close(run("RankHardLoss", fields(3), x, label), 0)  # neither hard ones nor others
    several = {float(run("RankHardLoss", fields(4, 0.5, 0.5), x, label)) for _ in range(2)}
    assert len(several) == 1  # the draws follow from the seed


def test_rows_that_are_no_whole_groups_are_refused() -> None:
    for more, told in (("pair_size: 3", "multiple of `pair_size` 3"), ("", "`pair_size`"),
                       ("pair_size: 2 hard_ratio: 2", "between 0 and 1")):  # fmt: skip
        with pytest.raises(netc.NetcError, match=told):
            run("RankHardLoss", f"rank_param {{ {more} }}", np.ones((8, 2)), np.ones(8))
