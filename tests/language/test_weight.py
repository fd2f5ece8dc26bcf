"""How many steps a block takes at least."""

from __future__ import annotations

import pytest

from netc.diagnostics import Source
from netc.language.parser import parse_program
from netc.language.tree import Body
from netc.language.weight import weight


def weighed(text: str) -> int:
    program = parse_program(Source("t.netc", 'input "data": [1, 3, 8, 8]\n' + text))
    statements = program.statements
    return weight(Body(statements, statements[0].span))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("-> conv(8) -> relu", 2),
        ("-> conv(8) -> relu if 1 > 2", 1),
        ("repeat 10 { -> conv(8) -> relu }", 30),
        ("repeat 10 { repeat 10 { -> relu } }", 210),
        ("repeat i in 2..5 { -> relu }", 6),
        ("repeat i in [1, 2] { -> relu }", 4),
        ("repeat n { -> relu }", 0),
        ("repeat 99999999999 { repeat 99999999999 { -> relu } }", 1 << 40),
    ],
)
def test_least_steps(text: str, least: int) -> None:
    assert weighed(text) == least
