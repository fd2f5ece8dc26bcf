"""Learning rates: Caffe's own tables, the policies of forks, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.solver.rates import RateState, advance
from tests.solver.texts import GOLDEN, golden_settings, settings

TABLES = sorted(path.stem for path in GOLDEN.glob("lr_*.npz"))


def rates(text: str, count: int, losses: list[float] | None = None) -> list[float]:
    policy, state, found = settings(text).policy, RateState(), []
    for iteration in range(count):
        rate, state = advance(policy, state, iteration, losses[iteration] if losses else math.nan)
        found.append(float(rate))
    return found


@pytest.mark.parametrize("case", TABLES)
def test_tables_of_caffe(case: str) -> None:
    with np.load(GOLDEN / f"{case}.npz") as file:
        iterations, want = file["iters"], file["lr"].astype(np.float64)
    policy, state, got = golden_settings(case).policy, RateState(), {}
    for iteration in range(int(iterations.max()) + 1):
        got[iteration], state = advance(policy, state, iteration)
    found = np.array([got[int(i)] for i in iterations], np.float64)
    np.testing.assert_allclose(found, want, rtol=2e-6, atol=0)


def test_a_stepvalue_of_zero_acts_at_once_and_ties_one_an_iteration() -> None:
    text = 'base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 0 stepvalue: 2 stepvalue: 2'
    assert rates(text, 5) == [0.5, 0.5, 0.25, 0.125, 0.125]


def test_poly_beyond_its_end_is_no_number() -> None:
    assert math.isnan(rates('base_lr: 1 lr_policy: "poly" power: 0.5 max_iter: 2', 4)[3])


def test_sigmoid_far_from_its_middle_overflows_to_the_limit() -> None:
    text = 'base_lr: 1 lr_policy: "sigmoid" gamma: 1000 stepsize: 1'
    assert rates(text, 3) == [0.0, 0.5, 1.0]


def test_plateau_lowers_the_rate_where_the_loss_stays() -> None:
    text = 'base_lr: 1 lr_policy: "plateau" gamma: 0.1 plateau_winsize: 2 plateau_winsize: 3'
    losses = [5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0]
    assert rates(text, 8, losses) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_multifixed_has_a_rate_for_each_stage_and_the_last_one_after() -> None:
    text = 'lr_policy: "multifixed" stagelr: 0.3 stagelr: 0.2 stageiter: 1 stageiter: 3'
    assert rates(text, 6) == pytest.approx([0.3, 0.3, 0.2, 0.2, 0.2, 0.2])


def test_sgdr_starts_again_longer_and_lower() -> None:
    text = 'base_lr: 1 lr_policy: "sgdr" period: 2 p_mult: 2 lr_mult: 0.5'
    assert rates(text, 7) == pytest.approx([1, 0.5, 0.5, 0.4267767, 0.25, 0.0732233, 0.25])


@pytest.mark.parametrize(
    ("name", "want"),
    [("triangular", [1, 2, 3, 2, 1, 2, 3, 2, 1]), ("triangular2", [1, 2, 3, 2, 1, 1.5, 2, 1.5, 1])],
)
def test_triangles(name: str, want: list[float]) -> None:
    assert rates(f'base_lr: 1 max_lr: 3 stepsize: 2 lr_policy: "{name}"', 9) == want


def test_warm_ups_rise_linearly_or_quadratically_to_the_policys_rate() -> None:
    linear = 'base_lr: 1 lr_policy: "fixed" warmup_iter: 4 warmup_start_lr: 0.2'
    assert rates(linear, 5) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    quadratic = 'base_lr: 1 lr_policy: "fixed" rampup_interval: 4 rampup_lr: 0.2'
    assert rates(quadratic, 5) == pytest.approx([0.2, 0.25, 0.4, 0.65, 1])


def test_a_warm_up_rises_to_base_lr_and_the_policy_waits() -> None:
    linear = 'base_lr: 1 lr_policy: "exp" gamma: 0.5 warmup_iter: 2'
    assert rates(linear, 4) == pytest.approx([0, 0.5, 0.25, 0.125])
    counted = 'base_lr: 1 lr_policy: "multistep" gamma: 0.1 stepvalue: 1 rampup_interval: 3'
    assert rates(counted, 5) == pytest.approx([0, 1 / 9, 4 / 9, 0.1, 0.1])


def test_poly_ends_at_min_lr() -> None:
    text = 'base_lr: 1 lr_policy: "poly" power: 1 max_iter: 4 min_lr: 0.2'
    assert rates(text, 5) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_no_rate_is_below_min_lr() -> None:
    text = 'base_lr: 1 lr_policy: "exp" gamma: 0.1 min_lr: 0.05'
    assert rates(text, 4) == pytest.approx([1, 0.1, 0.05, 0.05])


@pytest.mark.parametrize(
    ("text", "code", "column", "message"),
    [
        (
            'lr_policy: "cosine"',
            "unknown-policy",
            12,
            "there is no learning-rate policy `cosine`",
        ),
        ("base_lr: 1", "unknown-policy", 1, "`lr_policy` is not given"),
        (
            'lr_policy: "step" gamma: 0.1',
            "bad-solver-field",
            12,
            "policy `step` needs `stepsize` of at least 1, and it is 0",
        ),
        (
            'lr_policy: "exp" gamma: -2',
            "bad-solver-field",
            25,
            "`gamma` is -2, and must not be negative",
        ),
        (
            'lr_policy: "multifixed" stagelr: 1 stagelr: 2 stageiter: 9',
            "bad-solver-field",
            58,
            "policy `multifixed` has 2 `stagelr` and 1 `stageiter`",
        ),
    ],
)
def test_what_makes_no_rate_is_refused(text: str, code: str, column: int, message: str) -> None:
    with pytest.raises(NetcError) as caught:
        settings(text)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == (code, message)
    assert found.span is not None
    assert found.span.column == column
