"""Where reading goes on behind a statement that cannot be read."""

from __future__ import annotations

import pytest

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.language.recovery import next_statement
from netc.language.tokens import tokens_of
from tests.language.texts import document


def next_word(text: str, start: str, fault: str) -> str:
    """The first word of the statement behind a broken one, by the words it starts and fails at."""
    found: list[Diagnostic] = []
    source = Source("t.netc", text)
    tokens = tokens_of(source, found)
    texts = [token.text for token in tokens]
    at = texts.index(start)
    return tokens[next_statement(tokens, at, texts.index(fault, at), source)].text


@pytest.mark.parametrize(
    ("text", "start", "fault", "then"),
    [
        ("let a = =\nlet b = 1", "let", "=", "let"),
        ("x = conv(1,\n  2 3,\n  4)\ny = 1", "x", "3", "y"),
        ("x = conv(1, =\ny = 1\nz = 2", "x", "y", "y"),
        ("m { a = }\nn = 1", "a", "}", "}"),
        ("a = = b", "a", "=", ""),
    ],
)
def test_the_next_statement(text: str, start: str, fault: str, then: str) -> None:
    assert next_word(text, start, fault) == then


def test_two_broken_statements_are_both_told_and_the_good_one_between_is_read() -> None:
    text = "input data: [1, 2]\nlet a = )\nlet b = 1\nlet c = 1 +\n-> relu\n"
    with pytest.raises(NetcError) as caught:
        document(text)
    found = [(d.code, d.span.line) for d in caught.value.diagnostics if d.span]
    assert found == [("syntax", 2), ("syntax", 5)]
