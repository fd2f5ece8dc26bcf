"""No text makes the expansion long or large. What counts is steps, not time."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source, render
from netc.language.expand import Expansion
from netc.language.include import gather
from netc.language.limits import MAX_LAYERS, MAX_STEPS
from netc.language.parser import parse_program
from tests.language.texts import INPUT, fault, schema

DOUBLE = "module m(n: int): x -> y { if n == 0 { y = x } else { y = x -> m(n - 1) -> m(n - 1) } }\n"


def again(expression: str) -> str:
    """The name `a` given a value made of its last one, many times."""
    return "\n".join([f"let a = {expression}"] * 64)


BOMBS = {
    "a module that doubles": (DOUBLE + "-> m(60)", "too-many-steps"),
    "loops in loops": ("repeat 1000 { repeat 1000 { repeat 1000 { -> relu } } }", "too-many-steps"),
    "loops over lists": ("let n = 900\nrepeat n { repeat n { let a = n } }", "too-many-steps"),
    "a loop without end": ("repeat 10000000000 { -> relu }", "too-many-steps"),
    "a loop over a range": ("repeat i in 0..10000000000 { -> relu }", "too-large"),
    "an empty loop": ("repeat 1000000 { }", "too-many-steps"),
    "a string that doubles": ('let a = "aaaa"\n' + again('"${a}${a}"'), "too-large"),
    "a list that doubles": ("let a = [1]\n" + again("a + a"), "too-large"),
    "lists in lists": ("let a = [data]\n" + again("[a, a]") + "\na -> concat", "too-large"),
    "a number that grows": ("let a = 7\n" + again("a * a"), "too-large"),
    "a power": ("let a = 9 ** 9 ** 9 ** 9", "too-large"),
    "a huge exponent": ("let a = 3 ** (2 ** 200)", "too-large"),
    "a repeated string": ('let a = "a" * 10000000000', "too-large"),
    "a repeated list": ("let a = [1] * 10000000000", "too-large"),
    "a comprehension": ("let a = [[i for i in 0..9999] for j in 0..9999]", "too-many-steps"),
    "many bottoms": ("repeat 9999 { [data] * 9999 -> concat }", "too-many-steps"),
    "many sizes": ("let s = [1] * 9999\nrepeat 9999 { -> Reshape(shape { dim: ${s} }) }",
                   "too-many-steps"),
    "a search": ("let s = 0..9999\nrepeat 9999 { let b = -1 in s }\n-> relu", "too-many-steps"),
    "a module without end": ("module m(): x -> y { y = x -> m }\n-> m", "too-deep"),
    "two modules without end": (
        "module a(): x -> y { y = x -> b }\nmodule b(): x -> y { y = x -> a }\n-> a", "too-deep",
    ),
    "parentheses": ("let a = " + "(" * 5000 + "\n-> relu", "too-deep"),
    "minus signs": ("let a = " + "-" * 5000 + "1\n-> relu", "too-deep"),
    "operators": ("let a = " + "+".join("1" * 5000) + "\n-> relu", "too-deep"),
    "indices": ("let a = 1" + "[0]" * 5000 + "\n-> relu", "too-deep"),
    "conditions": ("let a = " + "1 if true else " * 5000 + "1\n-> relu", "too-deep"),
    "blocks": ("-> relu\n" + "if true { " * 5000, "too-deep"),
    "fields": ("-> relu\n" + "a { " * 5000, "too-deep"),
    "lists": ("let a = " + "[" * 5000 + "\n-> relu", "too-deep"),
    "strings in strings": ("let a = \"${'${1}'}\"\n" + again('"${a}" + a'), "too-large"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    text, code = BOMBS[name]
    assert fault(INPUT + text).code == code


@pytest.mark.parametrize("name", BOMBS)
def test_steps_and_layers_are_bounded(name: str) -> None:
    source = Source("t.netc", INPUT + BOMBS[name][0])
    try:
        program = parse_program(source)
    except NetcError:
        return
    expansion = Expansion(schema().message("NetParameter"), gather(program, None), {})
    with pytest.raises(NetcError):
        expansion.run()
    assert expansion.layers.count <= MAX_LAYERS + 1
    assert len(expansion.layers.out) <= MAX_LAYERS + 1
    assert expansion.evaluator.steps <= MAX_STEPS


def test_a_long_chain_of_uses_is_shown_shortly() -> None:
    lines = render(fault(INPUT + "module m(): x -> y { y = x -> m }\n-> m")).splitlines()
    assert len(lines) < 14
    assert any("more uses" in line for line in lines)


def test_largest_texts_are_taken() -> None:
    program = parse_program(Source("t.netc", INPUT + "repeat 19998 { -> conv(1) }"))
    expansion = Expansion(schema().message("NetParameter"), gather(program, None), {})
    expansion.run()
    assert expansion.layers.count == 19_999
