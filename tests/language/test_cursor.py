"""The place in a row of tokens, and what is said of what stands there."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.language.cursor import Cursor
from netc.language.limits import MAX_NESTING


def cursor(text: str) -> Cursor:
    return Cursor(Source("t.netc", text))


def test_tokens_are_taken_in_order_and_the_end_stays() -> None:
    words = cursor("let a = 1")
    assert [words.take().text for _ in range(4)] == ["let", "a", "=", "1"]
    assert words.here.kind == words.take().kind == words.ahead(7).kind == "end"


def test_what_comes_next_is_asked_for_by_its_kind() -> None:
    words = cursor("in ) in")
    assert words.is_word("let", "in") and not words.is_op("in")
    words.take()
    assert words.is_op("(", ")") and not words.is_word(")")
    assert not words.skip("(") and words.skip(")") and words.is_word("in")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a b", 3, "`(` is missing behind `a`; `b` stands there"),
        ("a", 2, "`(` is missing behind `a`; the end of the text stands there"),
    ],
)
def test_a_sign_that_is_missing_is_told_with_what_stands_there(
    text: str, column: int, message: str
) -> None:
    words = cursor(text)
    words.take()
    with pytest.raises(NetcError) as caught:
        words.expect("(", "behind `a`")
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.code, found.message) == ("syntax", message)
    assert (found.span.line, found.span.column) == (1, column)


def test_a_word_that_is_missing() -> None:
    with pytest.raises(NetcError, match="a name is missing before `5`"):
        cursor("5").name("a name")


def test_nesting_has_a_limit_at_the_token_that_goes_too_deep() -> None:
    words = cursor("(")

    def down(levels: int) -> None:
        with words.nested():
            if levels > 1:
                down(levels - 1)

    down(MAX_NESTING)
    assert words.depth == 0
    with pytest.raises(NetcError) as caught:
        down(MAX_NESTING + 1)
    assert caught.value.diagnostics[0].code == "too-deep"
