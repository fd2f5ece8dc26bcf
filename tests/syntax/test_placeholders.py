"""``$NAME``, ``${NAME}``, ``{{ NAME }}`` and ``$#NAME#$``: bound, or told together."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.syntax.parser import parse_document
from tests.syntax.trees import bare, faults, parse

SPELLINGS = ["$W", "${W}", "${ W }", "{{ W }}", "{{W}}", "$#W#$"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_bound(spelling: str) -> None:
    assert bare(parse(f"a {{ b: {spelling} }}", W="224")) == [("a", [("b", ("integer", 224))])]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_told_where_it_is_not_bound(spelling: str) -> None:
    assert faults(f"a {{\n b: {spelling}\n}}\nc: 1") == [("unresolved-placeholder", 2, 5)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", ("integer", 3)),
        (" -3 ", ("integer", -3)),
        ("0x10", ("integer", 16)),
        ("MAX", ("identifier", "MAX")),
        ("'x'", ("string", b"x")),
        ("/data/train", ("string", b"/data/train")),
        ("two words", ("string", b"two words")),
        ("C:\\new", ("string", b"C:\\new")),
        ('"\\q"', ("string", b'"\\q"')),
        ("} x {", ("string", b"} x {")),
        ("# x", ("string", b"# x")),
        ("$W", ("string", b"$W")),
        ("", ("string", b"")),
        ("\u00e9", ("string", "\u00e9".encode())),
        ("[1, 2]", ("list", [("integer", 1), ("integer", 2)])),
        ("[]", ("list", [])),
        ("[1 2]", ("string", b"[1 2]")),
    ],
)
def test_what_a_value_becomes(value: str, expected: object) -> None:
    ((_, found),) = bare(parse("a: $W", W=value))
    assert found == expected


def test_the_span_of_a_bound_value_is_the_placeholder_s() -> None:
    (field,) = parse("a: ${W}", W="3").fields
    assert field.value.span.text == "${W}"


def test_a_word_may_be_made_of_parts() -> None:
    assert bare(parse("a: conv$N b: ${X}.5 c: 1${Y} $K: 4", N="2", X="-1", Y="e3", K="d")) == [
        ("a", ("identifier", "conv2")),
        ("b", ("float", bare(parse("x: -1.5"))[0][1][1])),
        ("c", ("float", bare(parse("x: 1e3"))[0][1][1])),
        ("d", ("integer", 4)),
    ]


def test_within_strings_what_is_bound_is_put_in_and_the_rest_is_text() -> None:
    text = """a: "$HOME/${W}/{{ W }}/$#W#$/$W.x" b: '$Q' c: "$Q" """
    assert bare(parse(text, W="7", Q="it's \"\\")) == [
        ("a", ("string", b"$HOME/7/7/7/7.x")),
        ("b", ("string", b"it's \"\\")),
        ("c", ("string", b"it's \"\\")),
    ]
    assert bare(parse('a: "$HOME/${W}"')) == [("a", ("string", b"$HOME/${W}"))]


def test_in_comments_they_are_nothing() -> None:
    assert faults("a: 1 # $W {{ x }} {% if %}") == []


def test_all_are_told_together_with_every_place() -> None:
    text = "a: $W\nb: ${H}\nc { d: $W e 1 }\n"
    with pytest.raises(NetcError) as caught:
        parse(text)
    first, second = caught.value.diagnostics
    assert first.message == "2 placeholders have no value: `W`, `H`"
    assert [(n.message, n.span.line, n.span.column) for n in first.notes if n.span] == [
        ("`${H}` stands here", 2, 4),
        ("`$W` stands here", 3, 8),
    ]
    assert first.help == ("give -D W=... -D H=...",)
    assert second.code == "missing-colon"


def test_near_names_of_what_was_bound_are_told() -> None:
    with pytest.raises(NetcError) as caught:
        parse_document(Source("a", "a: $WIDTH b: $HEIGHT"), {"WITDH": "1", "HEIGHT": "2"})
    (fault,) = caught.value.diagnostics
    assert fault.message == "1 placeholder has no value: `WIDTH`"
    assert fault.help == ("give -D WIDTH=...", "did you mean `WITDH`?")


def test_a_block_of_a_template_is_told() -> None:
    text = "{% if big %}\nnum: 2\n{% else %}\nnum: {{ n }}\n{% endif %}\n}"
    assert faults(text) == [("template", 1, 1)]


def test_a_placeholder_alone_on_a_line() -> None:
    assert faults("a: 1\n{{ layers }}\nb: 2\n$MORE\n") == [("unresolved-placeholder", 2, 1)]
    assert faults("a: 1\n$MORE { b: 1 }\n") == [("unresolved-placeholder", 2, 1)]
