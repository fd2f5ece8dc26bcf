"""Expressions: Python's meaning, with stricter types and limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.language.texts import INPUT, expanded, fault, message, names, value


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 2 * 3", "7"), ("(1 + 2) * 3", "9"), ("7 / 2", "3.5"), ("7 // 2", "3"),
        ("-7 // 2", "-4"), ("-7 % 3", "2"), ("2 ** 3 ** 2", "512"), ("-2 ** 2", "-4"),
        ("2 ** -1", "0.5"), ("1 - 2 - 3", "-4"), ("0x10 + 010", "24"), ("1.5f", "1.5"),
        ("1 < 2", "true"), ("'a' == 'b'", "false"), ("1 == 1.0", "true"), ("not 1 > 2", "true"),
        ("true and false or true", "true"), ("2 in [1, 2]", "true"), ("'b' in 'abc'", "true"),
        ("1 if 2 > 1 else 0", "1"), ("'abc'[1]", "b"), ("[1, 2, 3][-1]", "3"),
        ("len([1] + [2, 3] * 2)", "5"), ("'ab' * 2 + 'c'", "ababc"), ("len(0..4)", "4"),
        ("(1..=4)[3]", "4"), ("len(range(0, 10, 3))", "4"), ("min(3, 1, 2)", "1"),
        ("max([3, 1.5])", "3"), ("ceil(1.2) + floor(1.8)", "3"), ("round(2.5)", "2"),
        ("abs(-3)", "3"), ("int('12') + int(3.9)", "15"), ("float(1)", "1.0"), ("str(4)", "4"),
        ("len([i * i for i in 0..5 if i % 2 == 0])", "3"), ("[i * i for i in [3, 4]][1]", "16"),
    ],
)  # fmt: skip
def test_values(expression: str, result: str) -> None:
    assert value(expression) == result


def test_only_the_side_that_matters_is_looked_at() -> None:
    assert value("1 if true else 1 // 0") == "1"
    assert value("false and 1 // 0 == 0") == "false"
    assert value("true or 1 // 0 == 0") == "true"
    text = INPUT + "y = (data -> conv(1)) if false else (data -> fc(1))"
    assert names(text) == ["fc1"]


def test_strings_hold_expressions_escapes_and_dollars() -> None:
    before = "let i = 2\nlet s = 'x'\n"
    assert message(before + 'name: "a${i}b${i + 1}\\n${s}" \'c\' "$${i} $i"').get("name") == (
        "a2b3\nxc${i} $i"
    )
    assert message(before + "name: \"${'a' if i == 0 else 'b${i}'}\"").get("name") == "b2"


def test_a_text_without_constructs_keeps_its_dollars() -> None:
    assert message('name: "a${b}"\nlayer { name: "x" type: "ReLU" }').get("name") == "a${b}"


def test_numbers_keep_their_kind_and_spelling_in_fields() -> None:
    text = expanded(
        INPUT + "let k = 3\ndata -> lrn(5, 0.00005, 1e-3, k: ${k})".replace("${k}", "k")
    )
    assert "alpha: 0.00005\n" in text
    assert "beta: 1e-3\n" in text
    assert "k: 3\n" in text


integers = st.integers(-(2**40), 2**40)


@given(integers, integers, st.sampled_from(["+", "-", "*", "//", "%"]))
def test_whole_numbers_are_exact(a: int, b: int, sign: str) -> None:
    if b == 0 and sign in ("//", "%"):
        assert fault(f"let a = ({a}) {sign} ({b})\ninput data: [1]").code == "expression"
        return
    python = {"+": a + b, "-": a - b, "*": a * b, "//": a // (b or 1), "%": a % (b or 1)}
    assert value(f"({a}) {sign} ({b})") == str(python[sign])


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_with_a_point_are_as_they_were(number: float) -> None:
    assert float(value(f"({number!r})")) == number


def test_the_largest_whole_number() -> None:
    assert value("2 ** 255") == str(2**255)
    assert fault("let a = 2 ** 256\nlet b = 1").code == "too-large"
    assert fault("let a = 2 ** 255 + 2 ** 255\nlet b = 1").code == "too-large"


@pytest.mark.parametrize("text", ["1e308 * 10", "2 ** 250 * 1e300", "10.0 ** 400", "1 / 0"])
def test_no_result_is_infinite(text: str) -> None:
    assert fault(f"let a = {text}\nlet b = 1").code in ("too-large", "expression")


def test_floats_print_so_that_they_read_back() -> None:
    assert float(value("1 / 3")) == 1 / 3
    assert math.isclose(float(value("0.1 + 0.2")), 0.3)
