"""What expressions come to: kinds, texts, limits and types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.language.limits import MAX_BITS, MAX_LIST, MAX_STRING
from netc.language.values import (
    BlobRef,
    MeaningError,
    conform,
    division_help,
    flat,
    is_int,
    is_number,
    kind,
    plain_text,
    shown,
    sized,
    source_text,
    type_of,
)

SCALARS = st.one_of(
    st.booleans(), st.integers(-999, 999), st.floats(allow_nan=False), st.text(max_size=9)
)


@pytest.mark.parametrize(
    ("value", "name", "type", "text"),
    [
        (True, "a bool", "bool", "true"),
        (3, "an int", "int", "3"),
        (0.5, "a float", "float", "0.5"),
        ("a", "a string", "string", "a"),
        (BlobRef("b"), "a blob", "", "b"),
    ],
)
def test_kinds(value: object, name: str, type: str, text: str) -> None:
    assert (kind(value), type_of(value), plain_text(value)) == (name, type, text)


def test_a_bool_is_no_number() -> None:
    assert not is_int(True) and not is_number(False)
    assert is_int(0) and is_number(0.0) and not is_int(0.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"b\\', '"a\\"b\\\\"'),
        ([1, [2], "x"], '[1, [...], "x"]'),
        ([], "[]"),
        (list(range(21)), f"[{', '.join(map(str, range(20)))}, ...]"),
    ],
)
def test_a_value_as_an_expression_writes_it(value: object, text: str) -> None:
    assert source_text(value) == text


def test_long_values_are_shortened() -> None:
    assert len(shown("x" * 99)) == 60 and shown("x" * 99).endswith("...")


def test_a_list_has_no_text() -> None:
    with pytest.raises(MeaningError, match="a list cannot stand in a string"):
        plain_text([1])


@pytest.mark.parametrize(
    ("value", "type", "result"),
    [
        (3, "float", 3.0),
        (3.0, "int", None),
        (True, "int", None),
        (1, "bool", None),
        ([1, 2.5], "[float]", [1.0, 2.5]),
        ([1, "a"], "[int]", None),
        ([[1], [2]], "[[int]]", [[1], [2]]),
        (3, "[int]", None),
        (3, "string", None),
        (1 << 2000, "float", None),
        ("any", "", "any"),
    ],
)
def test_a_value_as_one_of_a_type(value: object, type: str, result: object) -> None:
    found = conform(value, type)
    assert found == result
    assert kind(found) == kind(result) if result is not None else found is None


@given(SCALARS)
def test_a_value_is_one_of_its_own_type(value: object) -> None:
    assert conform(value, type_of(value)) == value
    assert conform([value, value], type_of([value])) == [value, value]


@pytest.mark.parametrize(
    "value", [1 << MAX_BITS, "x" * (MAX_STRING + 1), [0] * (MAX_LIST + 1), float("inf")]
)
def test_what_is_too_large(value: object) -> None:
    with pytest.raises(MeaningError) as caught:
        sized(value)
    assert caught.value.code == "too-large"


@pytest.mark.parametrize("value", [(1 << MAX_BITS) - 1, -((1 << MAX_BITS) - 1), "x", [0], 1e300])
def test_what_is_not(value: object) -> None:
    assert sized(value) is value


def test_the_items_of_lists_in_lists_come_in_order() -> None:
    assert list(flat([1, [2, [3, []], 4]])) == [1, 2, 3, 4]
    assert list(flat(5)) == [5]


def test_a_quotient_that_should_be_whole_has_its_hint_and_a_written_float_has_none() -> None:
    assert division_help(3.5, "n / 2") and not division_help(3.5, "3.5")
    assert not division_help(3, "n // 2")
