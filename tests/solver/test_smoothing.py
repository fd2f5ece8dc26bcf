"""The smoothed loss."""

from __future__ import annotations

import numpy as np

from netc.solver.smoothing import Smoothing


def smoothed(window: int, losses: list[float]) -> list[float]:
    state, found = Smoothing(window), []
    for loss in losses:
        state = state.after(loss)
        found.append(float(state.mean))
    return found


def test_a_running_mean_until_the_window_is_full_and_a_moving_one_after() -> None:
    assert smoothed(3, [6, 3, 0, 9, 0]) == [6, 4.5, 3, 4, 3]


def test_a_window_of_one_is_the_loss_itself() -> None:
    assert smoothed(1, [2, 5, 1]) == [2, 5, 1]


def test_the_mean_moves_by_differences_in_float32() -> None:
    # A mean taken anew would be 1 at the end; what was lost beside 1e8 stays lost.
    assert smoothed(2, [1e8, 1, 1, 1])[-1] != 1
    assert isinstance(Smoothing(2).after(1).mean, np.float32)
