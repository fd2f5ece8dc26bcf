"""Simple fields are read as one match: what comes out is what their tokens would make."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import Source
from netc.syntax.ast import Field
from netc.syntax.build import Builder, UnusualError
from netc.syntax.lexer import SIMPLE, tokens, tokens_and_fields
from netc.syntax.literals import BadEscapeError
from netc.syntax.parser import _run

NETS = sorted((Path(__file__).parents[2] / "prototxt").glob("**/*.prototxt"))


def by_tokens(source: Source) -> list[Field] | None:
    try:
        return _run(Builder(source), tokens(source.text))
    except (BadEscapeError, UnusualError):
        return None


def by_fields(source: Source) -> list[Field] | None:
    try:
        return _run(Builder(source), tokens_and_fields(source.text), len(SIMPLE) - 1)
    except (BadEscapeError, UnusualError):
        return None


def check(text: str) -> None:
    source = Source("t", text)
    assert repr(by_fields(source)) == repr(by_tokens(source))


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.name)
def test_nets(path: Path) -> None:
    check(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "a: 1",
        "a: 1 b: 2 }",
        'a: "x" "y" b: 1 ',
        "a: 'x' # c\n 'y' ",
        'a: "x"\n"y" }',
        "a: 0x1F b: 012 c: 1e3 d: 2f e: .5 f: 3. ",
        "a: 09 b: 1 ",
        "a: -1 b: - 1 c: -inf d: inf e: nan inf: 3 ",
        "inf { a: 1 } Infinity: 2 nanf { }",
        "infinite: 1 nano: 2 b: information c: infx ",
        "a: b { c: d } ",
        "a { b: c { d: e } } ",
        "a: b: c ",
        "a: [b, c] d { } ",
        "[a.b]: 1 c: d [e/f] { g: h } ",
        "a { b: 1, c: 2; d: 3 } ",
        "a < b: 1 > c: 2 ",
        "a: ${b} c: 1 ",
        'a: "\\q" b: 1 ',
        'a: "\\x41\\101" b: 1 ',
        "a:1b:2 ",
        "a: b.c d: 1 ",
        "a: FOO_1 }",
        "a\n:\n1 b : 2 c :3 d\n{ }",
        "\ufeffa: 1 b: 2 ",
        "a: 'é' b: \"\\u00e9\" ",
        "{ a: 1 } ",
        "a { { b: 1 } } ",
        "a: { b: 1 } c: < d: 2 > ",
    ],
)
def test_texts(text: str) -> None:
    check(text)


PIECES = ("a", "b1", "inf", "nan", ":", "{", "}", "[", "]", "<", ">", ",", ";", "-", "1", "0x2",
          "1.5", "08", '"s"', "'t'", '"\\q"', " ", "\n", "# c\n", ".", "/", "${v}",
          "TRUE")  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_row_of_pieces(text: str) -> None:
    check(text)
