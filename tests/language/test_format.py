"""Canonical spacing: tokens and comments stay, and formatting twice changes nothing."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.language.format import format_program, format_text
from netc.language.tokens import tokens_of


def formatted(text: str) -> str:
    return format_text(Source("t.netc", text))


CASES = [
    (
        "input data:[1,3,8,8]\n->conv( 4,3 )->relu",
        "input data: [1, 3, 8, 8]\n-> conv(4, 3) -> relu\n",
    ),
    ("let a=1+2\n-> relu", "let a = 1 + 2\n-> relu\n"),
    ("repeat i in 0 .. 3 {-> relu}", "repeat i in 0..3 { -> relu }\n"),
    ("if 1>2{->relu}else{->tanh}", "if 1 > 2 { -> relu } else { -> tanh }\n"),
    (
        "module m( a:int=1 ):x->y{y=x->conv(a)}",
        "module m(a: int = 1): x -> y { y = x -> conv(a) }\n",
    ),
    ("-> conv(4,\n3)", "-> conv(4,\n        3)\n"),
    ("-> relu # a\n\n\n\n# b\n-> tanh", "-> relu  # a\n\n# b\n-> tanh\n"),
    ("repeat 2 {\n-> relu\n# end\n}", "repeat 2 {\n  -> relu\n  # end\n}\n"),
    ("let s = 'a'\n-> relu", 'let s = "a"\n-> relu\n'),
    ("let s = 'a\"b'\n-> relu", "let s = 'a\"b'\n-> relu\n"),
]


@pytest.mark.parametrize(("text", "result"), CASES)
def test_spacing(text: str, result: str) -> None:
    assert formatted(text) == result


@pytest.mark.parametrize("text", [text for text, _ in CASES])
def test_formatting_keeps_the_tokens_and_is_done_once(text: str) -> None:
    once = formatted(text)
    assert formatted(once) == once
    kinds = [
        [(t.kind, t.text.strip("'\"")) for t in tokens_of(Source("t", x), [])] for x in (text, once)
    ]
    assert kinds[0] == kinds[1]


def test_a_plain_text_has_one_field_a_line() -> None:
    assert formatted("name:'a'\nlayer{name:'x' type:'ReLU'}") == (
        'name: "a"\nlayer {\n  name: "x"\n  type: "ReLU"\n}\n'
    )


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("input x: [1]\n-> conv(4", 2, 8),
        ("input x: [1]\nlet a = = 3\n-> relu", 2, 9),
        ("input x: [1]\n-> relu)", 2, 8),
        ("input x: [1]\nlet a = 1.2.3", 2, 9),
    ],
)
def test_a_text_that_cannot_be_read_is_told_with_its_place(
    text: str, line: int, column: int
) -> None:
    with pytest.raises(NetcError) as caught:
        format_program(Source("t.netc", text))
    span = caught.value.diagnostics[0].span
    assert span is not None and (span.line, span.column) == (line, column)
