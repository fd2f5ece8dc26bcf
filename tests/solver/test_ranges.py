"""Numbers of a solver that are invalid, and such as are probably mistakes."""

from __future__ import annotations

import pytest

from netc.solver.ranges import doubtful, out_of_range
from tests.solver.texts import message

INVALID = {
    "iter_size: 0": (1, 12, "`iter_size` is 0, and must be at least 1"),
    "max_iter: -1": (1, 11, "`max_iter` is -1, and must be at least 0"),
    "display: 0\ntest_interval: -5": (2, 16, "`test_interval` is -5, and must be at least 0"),
    "test_iter: 3 test_iter: 0": (1, 25, "`test_iter` is 0, and must be at least 1"),
    "base_lr: nan": (1, 10, "`base_lr` is nan, and must be finite"),
    "gamma: inf": (1, 8, "`gamma` is inf, and must be finite"),
}


@pytest.mark.parametrize("text", INVALID)
def test_invalid_numbers_are_errors_at_the_number(text: str) -> None:
    line, column, what = INVALID[text]
    [found] = out_of_range(message(text))
    assert (found.code, found.message) == ("bad-solver-field", what)
    assert found.span is not None and (found.span.line, found.span.column) == (line, column)


@pytest.mark.parametrize(
    "text", ["iter_size: 1", "max_iter: 0 display: 0", "base_lr: -1", 'type: "Adam"', ""]
)
def test_the_smallest_valid_numbers_and_other_fields_are_no_errors(text: str) -> None:
    assert list(out_of_range(message(text))) == []


def test_every_fault_is_reported() -> None:
    found = list(out_of_range(message("iter_size: 0 max_iter: -1 base_lr: nan")))
    assert len(found) == 3


DOUBTFUL = ("base_lr: -0.1", "momentum: 1", "momentum: -0.1", "momentum2: 1.5")
MORE_DOUBTFUL = ("weight_decay: -1", "clip_gradients: 0", "delta: -1e-8")


@pytest.mark.parametrize("text", DOUBTFUL + MORE_DOUBTFUL)
def test_unlikely_numbers_are_warnings(text: str) -> None:
    [found] = doubtful(message(text))
    name = text.partition(":")[0]
    assert (found.code, found.severity) == ("doubtful-solver-field", "warning")
    assert found.message.startswith(f"`{name}` is {float(text.partition(':')[2]):g}: ")


@pytest.mark.parametrize(
    "text", ["base_lr: 0", "momentum: 0", "momentum: 0.99", "clip_gradients: -1", "delta: 0", ""]
)
def test_usual_numbers_and_defaults_are_no_warnings(text: str) -> None:
    assert list(doubtful(message(text))) == []
