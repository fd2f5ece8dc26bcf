"""The dialect's text as tokens: each in its place, and what is none read as what was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import Diagnostic, Source
from netc.language.tokens import scan, tokens_of


def read(text: str) -> tuple[list[tuple[str, str]], list[Diagnostic]]:
    faults: list[Diagnostic] = []
    tokens = tokens_of(Source("net", text), faults)
    assert tokens[-1].kind == "end"
    return [(token.kind, token.text) for token in tokens[:-1]], faults


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("x -> conv(3)", ["name", "op", "name", "op", "int", "op"]),
        ("1 1.5 .5 2e3 1f 0x1F 017", ["int", "float", "float", "float", "float", "int", "int"]),
        ("0..3", ["int", "op", "int"]),  # a range, and no number with a point
        ("0..=n", ["int", "op", "name"]),
        ('"a" \'b\' "\\""', ["string"] * 3),
        ("${N} ** // ...", ["op", "name", "op", "op", "op", "op"]),
        ("a # words 'of \"any kind\nb", ["name", "name"]),
        ("", []),
    ],
)
def test_kinds(text: str, kinds: list[str]) -> None:
    found, faults = read(text)
    assert [kind for kind, _ in found] == kinds
    assert not faults


def test_a_token_knows_whether_it_is_the_first_of_its_line() -> None:
    fresh = [token.fresh for token in scan("a b\nc # d\n\r  e")]
    assert fresh == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("text", "code", "meant"),
    [
        ("x => relu", "bad-character", ("op", "->")),
        ("x |> relu", "bad-character", ("op", "->")),
        ("x → relu", "bad-character", ("op", "->")),
        ("x –> relu", "bad-character", ("op", "->")),
        ("x “a”", "bad-character", ("string", '""')),
        ('x "a', "unterminated-string", ("string", '""')),
        ("x 12ab", "bad-number", ("int", "0")),
    ],
)
def test_what_is_no_token_is_told_and_read_as_what_was_meant(
    text: str, code: str, meant: tuple[str, str]
) -> None:
    found, faults = read(text)
    assert [fault.code for fault in faults] == [code]
    assert found[1] == meant
    assert faults[0].span is not None
    assert faults[0].span.start == 2


def test_a_foreign_blank_is_told_and_passed_over() -> None:
    found, faults = read("a\u00a0b")
    assert found == [("name", "a"), ("name", "b")]
    assert [fault.code for fault in faults] == ["bad-character"]


@given(st.text(max_size=60))
def test_tokens_cover_every_text_in_order(text: str) -> None:
    at = 0
    for token in scan(text):
        assert at <= token.start <= token.end
        assert text[token.start : token.end] == token.text
        at = token.end
    assert at == len(text)
