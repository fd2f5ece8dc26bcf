"""What ``-D`` gives to a file's parameters."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.language.parameters import check_names, declared_type, given_value
from netc.language.parser import parse_program
from netc.language.tree import ParameterDeclaration


def declared(text: str) -> ParameterDeclaration:
    (found,) = parse_program(Source("t.netc", f"param {text}\n")).statements
    assert isinstance(found, ParameterDeclaration)
    return found


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("n = 1", "int"),
        ("n = -1", "int"),
        ("n = 0.5", "float"),
        ("n = true", "bool"),
        ("n = 'a'", "string"),
        ("n = [1, 2]", "[int]"),
        ("n = [1, 'a']", ""),
        ("n: float = 1", "float"),
        ("n = 1 + 1", ""),
    ],
)
def test_a_parameter_has_the_type_of_its_default(text: str, type: str) -> None:
    assert declared_type(declared(text)) == type


@pytest.mark.parametrize(
    ("text", "given", "value"),
    [
        ("n = 1", "7", 7),
        ("n = 1", "-7", -7),
        ("n = 1", 7, 7),
        ("n: float = 1", "2", 2.0),
        ("n = 'a'", "7", "7"),
        ("n = true", "false", False),
        ("n = [1]", "[3, 4]", [3, 4]),
        ("n = [1]", (3, 4), [3, 4]),
        ("n = 1 + 1", "any", "any"),
    ],
)
def test_what_is_given_becomes_a_value_of_the_type(text: str, given: object, value: object) -> None:
    found = given_value(declared(text), given)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "given"),
    [("n = 1", "x"), ("n = 1", "1.5"), ("n = 1", True), ("n = 1", "1 +"), ("n = [1]", "[a]"),
     ("n = 'a'", 3), ("n = 1", object())],
)  # fmt: skip
def test_what_is_none_of_the_type_is_told_at_the_parameter(text: str, given: object) -> None:
    with pytest.raises(NetcError) as caught:
        given_value(declared(text), given)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == ("wrong-kind", 1, 7)


def test_every_name_that_is_no_parameter_is_told() -> None:
    check_names({"n": "1"}, {"n": declared("n = 1")})
    with pytest.raises(NetcError) as caught:
        check_names({"m": "1", "nn": "2"}, {"n": declared("n = 1")})
    assert [d.code for d in caught.value.diagnostics] == ["unknown-parameter"] * 2
    assert "`m`" in caught.value.diagnostics[0].message
