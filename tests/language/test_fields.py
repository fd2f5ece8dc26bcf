"""Fields with holes, conditions and loops become plain fields."""

from __future__ import annotations

import pytest

from netc.diagnostics import Source, Span
from netc.language.fields import scalar, string_field
from netc.language.shorts import EnumWord
from netc.language.values import BlobRef
from tests.language.texts import fault, message, schema

SPAN = Span(Source("t", "x"), 0, 1)
LAYER = schema().message("NetParameter").fields["layer"].message


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (True, "identifier", "true"),
        (3, "integer", 3),
        (0.5, "float", 0.5),
        ("a", "string", b"a"),
        (BlobRef("b"), "string", b"b"),
        (EnumWord("MAX"), "identifier", "MAX"),
    ],
)
def test_a_value_as_a_scalar(value: object, kind: str, result: object) -> None:
    found = scalar(value, SPAN, None)
    assert (found.kind, found.value) == (kind, result)


def test_a_string_given_to_an_enum_is_its_word() -> None:
    assert LAYER is not None
    pooling = LAYER.fields["pooling_param"].message
    assert pooling is not None
    assert scalar("MAX", SPAN, pooling.fields["pool"]).kind == "identifier"


def test_a_string_field() -> None:
    field = string_field("name", "ä", SPAN)
    assert (field.name, field.value.value) == ("name", "ä".encode())  # type: ignore[union-attr]


def dims(statements: str, before: str = "") -> tuple[int, ...]:
    text = f"""{before}
    layer {{ name: "r" type: "Reshape" reshape_param {{ shape {{ {statements} }} }} }}
    let dialect = 1
    """
    (layer,) = message(text).get("layer")
    found: tuple[int, ...] = layer.get("reshape_param").get("shape").get("dim")
    return found


@pytest.mark.parametrize(
    ("statements", "result"),
    [
        ("dim: ${1 + 2}", (3,)),
        ("dim: [1, ${2}]", (1, 2)),
        ("dim: ${[4, 5]}", (4, 5)),
        ("repeat d in 1..=3 { dim: ${d} }", (1, 2, 3)),
        ("repeat i, d in [7, 8] { if i == 1 { dim: ${d} } }", (8,)),
        ("let n = 4 dim: ${n} let n = 5 dim: ${n}", (4, 5)),
        ("if false { dim: 1 } else if true { dim: 2 } else { dim: 3 }", (2,)),
    ],
)
def test_control_within_a_message(statements: str, result: tuple[int, ...]) -> None:
    assert dims(statements) == result


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ('layer { name: ${1} type: "ReLU" }', "wrong-kind", 15),
        ('layer { name: "a" type: "ReLU" phase: ${"FOO"} }', "unknown-enum-value", 39),
        ('layer { name: "a" -> relu }', "syntax", 19),
    ],
)
def test_values_that_a_field_does_not_take(text: str, code: str, column: int) -> None:
    found = fault(f"let dialect = 1\n{text}")
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == (code, 2, column)
