"""A program to the plain document it stands for."""

from __future__ import annotations

import pytest

from netc.diagnostics import Source
from netc.language.expand import expand
from netc.language.parser import parse_program
from netc.syntax.parser import parse_document
from tests.language.texts import INPUT, fault, message, names, schema, value

NET = schema().message("NetParameter")


def test_a_plain_programs_fields_stay_as_they_are() -> None:
    text = 'name: "n"\nforce_backward: true\nlayer { name: "a" type: "ReLU" }\n'
    source = Source("t", text)
    plain, program = parse_document(source), expand(parse_program(source), NET, {}, None)
    assert [(f.name, f.span) for f in program.fields] == [(f.name, f.span) for f in plain.fields]


def test_blobs_are_passed_by_their_names_and_prev_is_what_was_made_last() -> None:
    text = f"{INPUT}a = data -> conv(1)\nb = data -> fc(1)\n[a, prev] -> concat"
    assert message(text).get("layer")[-1].get("bottom") == ("conv1", "fc1")


def test_values_and_shapes_are_worked_out() -> None:
    assert value("n * 2", "let n = 21") == "42"
    assert names(f"{INPUT}repeat n in 1..=2 {{ -> fc(n) }}") == ["fc1", "fc2"]


def test_declared_shapes_become_notes_of_the_net_and_give_no_layer() -> None:
    assert names(f"{INPUT}-> conv(4, 3, pad: 1)\nexpect prev: [1, 4, 32, 32]") == ["conv1"]


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("param n: int\n-> fc(n)", "missing-value", 2, 7),
        ("let a = gone\n-> relu", "unknown-name", 2, 9),
        ("-> gone", "unknown-module", 2, 4),
        ("a, b = data -> relu", "expression", 2, 1),
        ("input data: [1, 2]\n-> relu", "duplicate-name", 2, 7),
        ("input x: [1, 'a']\nx -> relu", "expression", 2, 14),
        ("module m(): x -> y { }\ndata -> m", "missing-output", 2, 18),
    ],
)
def test_faults_have_a_code_and_a_place(text: str, code: str, line: int, column: int) -> None:
    found = fault(INPUT + text)
    assert found.span is not None
    assert (found.span.line, found.span.column) == (line, column), found
    assert found.code == code
