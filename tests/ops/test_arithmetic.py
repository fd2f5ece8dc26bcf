from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.ops.arithmetic import EXP, LOG, POWER
from netc.ops.catalog import CATALOG
from tests.ops.cases import (
    bind_layer,
    cases_of,
    check_case,
    complaint,
    load_case,
    random_array,
    run_layer,
)

MESSAGES = {"Power": "power_param", "Exp": "exp_param", "Log": "log_param"}


def text_of(op, text: str) -> str:
    message = f"{MESSAGES[op.name]} {{ {text} }}"
    return f'name: "a" type: "{op.name}" bottom: "x" top: "y" {message}'


def forward(op, text: str, x):
    (y,) = run_layer(op, bind_layer(text_of(op, text)), [np.asarray(x, np.float32)], [])
    return y


@pytest.mark.parametrize("name", cases_of(*MESSAGES))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


constants = st.floats(-2, 2, width=16)


@settings(max_examples=60, deadline=None)
@given(power=st.integers(-3, 3), scale=constants, shift=constants, seed=st.integers(0, 99))
def test_power_is_its_formula(power, scale, shift, seed) -> None:
    x = random_array(7, seed=seed)
    with np.errstate(all="ignore"):
        base = shift + scale * x.astype(np.float64)
        wanted = (base**power).astype(np.float32)
        y = forward(POWER, f"power: {power} scale: {scale} shift: {shift}", x)
    clear = np.abs(base) > 1e-3  # a negative power amplifies the rounding of what is near 0
    np.testing.assert_allclose(y[clear], wanted[clear], rtol=1e-3, atol=1e-6)


def test_a_power_of_0_is_1_everywhere() -> None:
    assert forward(POWER, "power: 0", [0, np.inf, np.nan, -1]).tolist() == [1, 1, 1, 1]


def test_a_scale_of_0_forgets_the_bottom() -> None:
    assert forward(POWER, "scale: 0 shift: 3 power: 2", [np.inf, np.nan]).tolist() == [9, 9]


def test_a_root_of_a_negative_number_is_nan() -> None:
    assert np.isnan(forward(POWER, "power: 0.5", [-1.0])).all()


bases = st.one_of(st.just(-1.0), st.floats(0.25, 8, width=16).filter(lambda b: b != 1))


@settings(max_examples=60, deadline=None)
@given(base=bases, scale=constants, shift=constants, seed=st.integers(0, 99))
def test_exp_is_its_formula(base, scale, shift, seed) -> None:
    x = random_array(7, seed=seed)
    wanted = (np.e if base == -1 else base) ** (shift + scale * x.astype(np.float64))
    y = forward(EXP, f"base: {base} scale: {scale} shift: {shift}", x)
    np.testing.assert_allclose(y, wanted, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(base=bases, scale=st.floats(0.25, 2, width=16), seed=st.integers(0, 99))
def test_log_undoes_exp(base, scale, seed) -> None:
    x = random_array(7, seed=seed)
    grown = forward(EXP, f"base: {base}", x)
    shifted = (grown - np.float32(0.5)) / np.float32(scale)
    y = forward(LOG, f"base: {base} scale: {scale} shift: 0.5", shifted)
    np.testing.assert_allclose(y, x, atol=5e-3)


def test_log_of_0_and_below() -> None:
    y = forward(LOG, "", [0.0, -1.0])
    assert y[0] == -np.inf and np.isnan(y[1])


@pytest.mark.parametrize(
    ("op", "base", "rule"),
    [
        (EXP, "0", "must be positive and finite, or -1 for e, it is 0"),
        (EXP, "-2", "must be positive and finite, or -1 for e, it is -2"),
        (LOG, "inf", "must be positive and finite, or -1 for e, it is inf"),
        (LOG, "1", "must not be 1, whose logarithm is 0 and would divide by it, it is 1"),
    ],
)
def test_bases_that_have_no_logarithm(op, base: str, rule: str) -> None:
    found = complaint(op, text_of(op, f"base: {base}"))
    assert (found.code, found.span.text) == ("out-of-range", base)
    assert found.message.startswith("`base` " + rule.rpartition(",")[0])
    assert found.help
