"""Fields of a solver set from outside, as a shell hands them over."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError
from tests.solver.small import solver


@pytest.mark.parametrize("value", ["step", '"step"', "'step'"])
def test_strings_with_and_without_quotes(value: str) -> None:
    found = solver(fields={"lr_policy": value, "stepsize": "4"})
    assert found.settings.policy.name == "step"


@pytest.mark.parametrize("value", ["3,5", "[3, 5]", " 3 , 5 "])
def test_lists_with_and_without_brackets(value: str) -> None:
    found = solver(fields={"lr_policy": "multistep", "stepvalue": value})
    assert found.settings.policy.stepvalue == (3, 5)


def test_one_field_is_set_at_a_time() -> None:
    with pytest.raises(NetcError, match="gives other fields too") as caught:
        solver(fields={"base_lr": "0.1 momentum: 3"})
    assert caught.value.diagnostics[0].code == "wrong-kind"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("weight_decay: -0.5", "`weight_decay` is -0.5: weights are driven away from 0"),
        ("momentum: 1", "`momentum` is 1: updates do not die away outside 0 <= x < 1"),
        ("clip_gradients: 0", "`clip_gradients` is 0: every gradient becomes 0; below 0 is off"),
    ],
)
def test_doubtful_numbers_are_told(text: str, what: str) -> None:
    found = [d for d in solver(text).diagnostics if d.code == "doubtful-solver-field"]
    assert [(d.message, d.severity) for d in found] == [(what, "warning")]
    assert found[0].span is not None


@pytest.mark.parametrize("text", ["momentum: 0.9 weight_decay: 0.1 clip_gradients: -1", ""])
def test_usual_numbers_are_not(text: str) -> None:
    assert not [d for d in solver(text).diagnostics if d.code == "doubtful-solver-field"]
