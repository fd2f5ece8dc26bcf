"""Fields as prototxt writes them, within a text of the dialect."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.language.parser import parse_program
from netc.language.tree import Body, FieldList, FieldOf, Interpolation, TextLiteral
from netc.syntax.ast import Scalar


def field(text: str) -> FieldOf:
    (found,) = parse_program(Source("t.netc", text)).statements
    assert isinstance(found, FieldOf)
    return found


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("a: 3", "integer", 3),
        ("a: -3", "integer", -3),
        ("a: 0x1F", "integer", 31),
        ("a: 0.5", "float", 0.5),
        ("a: -1e-3", "float", -0.001),
        ("a: inf", "float", float("inf")),
        ("a: -inf", "float", float("-inf")),
        ("a: MAX", "identifier", "MAX"),
        ("a: true", "identifier", "true"),
    ],
)
def test_scalars(text: str, kind: str, value: object) -> None:
    found = field(text).value
    assert isinstance(found, Scalar)
    assert (found.kind, found.value) == (kind, value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a { b: 1 }", Body),
        ("a: { b: 1 }", Body),
        ("a < b: 1 >", Body),
        ("a: [1, 2]", FieldList),
        ("a: ${1 + 2}", Interpolation),
        ("a: 'b' 'c'", TextLiteral),
    ],
)
def test_other_values(text: str, kind: type) -> None:
    assert isinstance(field(text).value, kind)


def test_strings_side_by_side_are_one() -> None:
    found = field("a: 'b' \"c\"").value
    assert isinstance(found, TextLiteral) and "".join(map(str, found.parts)) == "bc"


def test_an_extensions_name_is_in_brackets() -> None:
    assert field("[a.b/c]: 1").name == "[a.b/c]"


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("a: ", 4, "a value is missing"),
        ("a: -MAX", 5, "a value is missing"),
        ("a: [1, ", 8, "missing"),
        ("a: ${1", 4, "`${` is never closed"),
        ("a { b 1 }", 7, "`:` is missing"),
    ],
)
def test_what_is_no_field(text: str, column: int, part: str) -> None:
    with pytest.raises(NetcError) as caught:
        parse_program(Source("t.netc", text))
    found = caught.value.diagnostics[0]
    assert found.span is not None
    assert (found.span.line, found.span.column) == (1, column)
    assert part in found.message
