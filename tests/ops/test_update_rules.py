"""Update rules against Caffe's runs of one parameter's gradient, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ops.update_rules import (
    SOLVER_TYPES,
    LocalRate,
    UpdateRule,
    clip_scale,
    local_rate,
    regularized,
    step,
)

ONE = np.ones(3, np.float32)


def after(rule: UpdateRule, gradients: list[float], rate: float = 0.5) -> list[float]:
    """A parameter that starts at 0, after each of these gradients."""
    data = np.zeros(1, np.float32)
    history = (np.zeros(1, np.float32),) * rule.histories
    found = []
    for iteration, gradient in enumerate(gradients):
        moved = step(rule, np.array([gradient], np.float32), history, rate, iteration)
        data, history = data - moved.value, moved.history
        found.append(float(data[0]))
    return found


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        (UpdateRule("SGD", 0.5), [-1.0, -2.5, -3.25]),
        (UpdateRule("Nesterov", 0.5), [-1.5, -3.25, -3.625]),
        (UpdateRule("AdaGrad", delta=0.0), [-0.5, -0.5 - 0.5 / 2**0.5, -0.5 - 0.5 / 2**0.5]),
        (
            UpdateRule("RMSProp", rms_decay=0.75, delta=0.0),
            [-1.0, -1 - 2 / 7**0.5 * 1, -1 - 2 / 7**0.5],
        ),
    ],
    ids=lambda r: r.name if isinstance(r, UpdateRule) else "",
)
def test_by_hand(rule: UpdateRule, want: list[float]) -> None:
    gradients = [2.0, 2.0, 0.0]
    assert after(rule, gradients) == pytest.approx(want, rel=1e-6)


def test_adam_corrects_its_means() -> None:
    # With constant gradients both corrected means are the gradient and its square.
    got = after(UpdateRule("Adam", 0.9, 0.999, delta=0.0), [3.0, 3.0], rate=0.1)
    assert got == pytest.approx([-0.1, -0.2], rel=1e-5)


def test_amsgrads_divisor_never_falls() -> None:
    gradients = [8.0, 0.5, 0.5]
    largest, fed_back = (
        UpdateRule("AMSGrad", 0.0, 0.5, delta=0.0),
        UpdateRule("Adam", 0.0, 0.5, 0, 0.0, True),
    )
    # First step: 1 - beta2 corrects the mean. Later 32 stays the largest mean of squares.
    want = [-1.0, -1 - 0.75**0.5 * 0.5 / 32**0.5, 0]
    want[2] = want[1] - 0.875**0.5 * 0.5 / 32**0.5
    assert after(largest, gradients, 1.0) == pytest.approx(want)
    assert after(fed_back, gradients, 1.0) == pytest.approx(want)
    # Below the largest the paper's mean goes on fading, that of the fork begins with the largest.
    risen = [8.0, 0.5, 0.5, 7.0]
    paper, fork = after(largest, risen, 1.0)[-1], after(fed_back, risen, 1.0)[-1]
    assert paper - want[2] == pytest.approx(-(0.9375**0.5) * 7 / 32**0.5)
    assert fork - want[2] == pytest.approx(-(0.9375**0.5) * 7 / 40.5**0.5)


def test_adamax_divides_by_the_largest_gradient_of_late() -> None:
    got = after(UpdateRule("AdaMax", 0.0, 0.5), [4.0, 1.0], rate=0.1)
    assert got == pytest.approx([-0.1, -0.1 - 0.1 / 2], rel=1e-5)


def test_local_rates_follow_from_norms() -> None:
    data, gradient = np.array([3, 4], np.float32), np.array([0, 2], np.float32)
    lars, larc = LocalRate("lars", 0.1, 0.2), LocalRate("larc", 0.1)
    assert local_rate(None, 0.5, 2, data, gradient) == 1
    assert local_rate(lars, 0.5, 2, data, gradient) == pytest.approx(0.5 * 0.1 * 5 / (2 + 0.2 * 5))
    assert local_rate(larc, 0.5, 2, data, gradient) == pytest.approx(0.5 * 0.1 * 5 / 2)
    clip = LocalRate("larc", 0.1, clip=True)
    assert local_rate(clip, 0.5, 2, data, gradient) == pytest.approx(0.25)
    assert local_rate(clip, 0.1, 2, data, gradient) == pytest.approx(0.1)
    assert local_rate(lars, 0.5, 0, data, gradient) == 0
    assert local_rate(lars, 0.5, 3, 0 * data, gradient) == 0.5


def test_adadeltas_first_step_comes_from_delta_alone() -> None:
    got = after(UpdateRule("AdaDelta", 0.5, delta=0.5), [1.0], rate=2.0)
    assert got == pytest.approx([-2.0 * 0.5**0.5])


@pytest.mark.parametrize("name", SOLVER_TYPES)
def test_everything_stays_float32_and_arrays_are_left_alone(name: str) -> None:
    rule, gradient = UpdateRule(name, 0.0), ONE.copy()
    history = (ONE.copy(),) * rule.histories
    moved = step(rule, gradient, history, np.float64(0.1), 3)
    assert {a.dtype for a in (moved.value, *moved.history)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(gradient, ONE)
    for array in history:
        np.testing.assert_array_equal(array, ONE)


def test_decay_is_added_after_the_mean_over_passes() -> None:
    data = np.array([-2, 0, 4], np.float32)
    np.testing.assert_array_equal(regularized(4 * ONE, data, 0.5, "L2", 2), [1, 2, 4])
    np.testing.assert_array_equal(regularized(4 * ONE, data, 0.5, "L1", 4), [0.5, 1, 1.5])
    assert regularized(ONE, data, 0.0, "L3") is not None


def test_clipping_by_the_norm_of_all() -> None:
    gradients = [np.array([3], np.float32), np.array([4], np.float32)]
    assert clip_scale(gradients, -1) == (0, None)
    assert clip_scale(gradients, 5) == (5, None)
    assert clip_scale(gradients, 1) == (5, pytest.approx(0.2))
    assert clip_scale(gradients, 0) == (5, 0)
