"""Operators and functions on values: Python's meaning, stricter types, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.language.limits import MAX_LIST
from netc.language.operators import FUNCTIONS, apply, bounds, call, item, negate, truth
from netc.language.values import MeaningError

INTS = st.integers(-1000, 1000)


@given(INTS, INTS, st.sampled_from(["+", "-", "*", "//", "%"]))
def test_whole_numbers_as_in_python(left: int, right: int, sign: str) -> None:
    if sign in ("//", "%") and right == 0:
        with pytest.raises(MeaningError):
            apply(sign, left, right)
        return
    wanted = {
        "+": left + right, "-": left - right, "*": left * right,
    }.get(sign)  # fmt: skip
    if wanted is None:
        wanted = left // right if sign == "//" else left % right
    found = apply(sign, left, right)
    assert found == wanted and isinstance(found, int)


@pytest.mark.parametrize(
    ("left", "sign", "right", "result"),
    [
        (7, "/", 2, 3.5),
        (4, "/", 2, 2.0),
        (2, "**", 10, 1024),
        ("a", "+", "b", "ab"),
        ([1], "+", [2], [1, 2]),
        ("ab", "*", 2, "abab"),
        ([0], "*", 3, [0, 0, 0]),
        (2, "in", [1, 2], True),
        (1, "..", 3, [1, 2]),
        (1, "..=", 3, [1, 2, 3]),
        (3, "..", 1, []),
        (1, "==", 1.0, True),
        ("a", "!=", "b", True),
        (1, "<", 2.5, True),
    ],
)
def test_operators(left: object, sign: str, right: object, result: object) -> None:
    found = apply(sign, left, right)
    assert found == result and type(found) is type(result)


@pytest.mark.parametrize(
    ("left", "sign", "right", "message"),
    [
        (1, "/", 0, "division by zero"),
        ("a", "+", 1, "takes no string and int"),
        (True, "+", 1, "takes no bool and int"),
        ([1], "-", [1], "takes no list and list"),
        (1, "in", 2, "int"),
        (1.5, "..", 3, "a range goes from int to int"),
        (1, "<", "a", "`<`"),
    ],
)
def test_kinds_that_an_operator_does_not_take(
    left: object, sign: str, right: object, message: str
) -> None:
    with pytest.raises(MeaningError, match=message):
        apply(sign, left, right)


@pytest.mark.parametrize(
    ("left", "sign", "right"),
    [
        (10, "**", 10**9),
        ("x", "*", 10**9),
        ([0], "*", 10**9),
        (0, "..", 10**9),
        (1e300, "*", 1e300),
    ],
)
def test_results_are_bounded_before_they_are_made(left: object, sign: str, right: object) -> None:
    with pytest.raises(MeaningError) as caught:
        apply(sign, left, right)
    assert caught.value.code == "too-large"


def test_bounds() -> None:
    assert bounds(2, 5, "..") == range(2, 5) and bounds(2, 5, "..=") == range(2, 6)
    assert len(bounds(0, MAX_LIST, "..")) == MAX_LIST


def test_items_count_from_both_ends() -> None:
    assert item([1, 2, 3], -1) == 3 and item("abc", 0) == "a"
    with pytest.raises(MeaningError, match="there is no item 3") as caught:
        item([1, 2, 3], 3)
    assert caught.value.help == ("the first is item 0",)
    for value, index in ((3, 0), ([1], 0.5), ([1], True)):
        with pytest.raises(MeaningError):
            item(value, index)


def test_conditions_are_true_or_false_and_nothing_else() -> None:
    assert truth(True, "a condition") and not truth(False, "a condition")
    with pytest.raises(MeaningError, match="a condition is true or false, not an int") as caught:
        truth(1, "a condition")
    assert caught.value.help == ("compare it: `n != 0`",)


def test_negation() -> None:
    assert negate(3) == -3 and negate(-0.5) == 0.5
    with pytest.raises(MeaningError):
        negate(True)


@pytest.mark.parametrize(
    ("name", "values", "result"),
    [
        ("min", [3, 1.5], 1.5),
        ("max", [[3, 1]], 3),
        ("len", ["abc"], 3),
        ("range", [3], [0, 1, 2]),
        ("range", [6, 0, -2], [6, 4, 2]),
        ("round", [2.5], 2),
        ("abs", [-3], 3),
        ("int", ["42"], 42),
        ("float", ["1e3"], 1000.0),
    ],
)
def test_functions(name: str, values: list[object], result: object) -> None:
    assert call(name, values) == result


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("min", [[]]),
        ("max", ["a"]),
        ("len", [3]),
        ("range", [1, 2, 0]),
        ("range", [10**9]),
        ("abs", ["a"]),
        ("int", ["a"]),
        ("float", ["x"]),
        ("len", []),
    ],
)
def test_values_that_a_function_does_not_take(name: str, values: list[object]) -> None:
    assert name in FUNCTIONS
    with pytest.raises(MeaningError):
        call(name, values)
