"""Expressions by themselves: an evaluator needs no layers to work them out."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.language.evaluate import Evaluator
from netc.language.frame import Frame
from netc.language.parser import parse_program
from netc.language.tree import CallStep, Expression, Let
from netc.language.values import BlobRef, Value


class NoLayers:
    """Makes nothing; an expression that asks it to has gone wrong."""

    def use(self, step: CallStep, bottoms: list[BlobRef], owned: bool, frame: Frame) -> Value:
        raise AssertionError(f"{step.name} was made")

    def lost_use(self, step: CallStep, frame: Frame) -> Value:
        raise AssertionError(f"{step.name} was lost")

    def is_type(self, name: str) -> bool:
        return name == "conv"


def expression(text: str) -> Expression:
    program = parse_program(Source("t.netc", f"let x = {text}\n"))
    (statement,) = program.statements
    assert isinstance(statement, Let)
    return statement.value


def value(text: str, **values: Value) -> Value:
    evaluator = Evaluator({})
    evaluator.uses = NoLayers()
    return evaluator.evaluate(expression(text), Frame(values=values))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 + 2 * 3", 7),
        ("7 // 2", 3),
        ("not (1 < 2 and false)", True),
        ("[i * i for i in 0..4 if i != 2]", [0, 1, 9]),
        ("[4, 5, 6][1]", 5),
        ("8 if n > 2 else 1 // 0", 8),
        ('"conv${n}_a"', "conv3_a"),
        ("n in [1, 2, 3]", True),
    ],
)
def test_values(text: str, found: Value) -> None:
    assert value(text, n=3) == found


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("missing + 1", "unknown-name", 9),
        ("[1, 2][5]", "expression", 9),
        ("conv", "unknown-name", 9),
    ],
)
def test_faults_have_their_place(text: str, code: str, column: int) -> None:
    with pytest.raises(NetcError) as caught:
        value(text)
    found = caught.value.diagnostics[0]
    assert (found.code, found.span and found.span.column) == (code, column)


def test_steps_are_counted() -> None:
    evaluator = Evaluator({})
    evaluator.uses = NoLayers()
    evaluator.evaluate(expression("[i for i in 0..100]"), Frame())
    assert evaluator.steps >= 100
