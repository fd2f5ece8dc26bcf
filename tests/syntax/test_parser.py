"""The text format as it is found in the wild, and that Lark reads the same."""

from __future__ import annotations

import math
import random

import pytest
from lark import LarkError

from netc.diagnostics import NetcError, Source
from netc.syntax.ast import Block, ListValue, Scalar
from netc.syntax.limits import MAX_DEPTH
from netc.syntax.parser import parse_document
from netc.syntax.tables import GRAMMAR, lark_parser
from tests.syntax.trees import bare, faults, parse, values


def text_of(text: str) -> list[tuple[str, object]]:
    return bare(parse(text))


def string(value: bytes) -> tuple[str, bytes]:
    return ("string", value)


@pytest.mark.parametrize(
    "text", ["", " \t\r\n\v\f", "# only a comment", "#", "\ufeff", "\ufeff# x"]
)
def test_an_empty_text_is_an_empty_document(text: str) -> None:
    assert parse(text).fields == ()


@pytest.mark.parametrize(
    "text",
    [
        "a { b: 1 c: 2 }",
        "a: { b: 1 c: 2 }",
        "a < b: 1 c: 2 >",
        "a: < b: 1, c: 2; >",
        "a{b:1,c:2}",
        "a\n{\nb\n:\n1\nc\n:\n2\n}",
        "a { b: 1, c: 2, };",
        "a { # {\n b: 1 # }\n c: 2 }",
        "a\r{\rb: 1 # x\rc: 2}",
        "a {\r\n  b: 1 # x\r\n  c: 2\r\n}\r\n",
    ],
)
def test_blocks_and_separators(text: str) -> None:
    assert text_of(text) == [("a", [("b", ("integer", 1)), ("c", ("integer", 2))])]


def test_lists() -> None:
    assert text_of("a: [1, MAX, 'x'] b: [] c: [{d: 1}, <>] e [{}] f []") == [
        ("a", ("list", [("integer", 1), ("identifier", "MAX"), string(b"x")])),
        ("b", ("list", [])),
        ("c", ("list", [[("d", ("integer", 1))], []])),
        ("e", ("list", [[]])),
        ("f", ("list", [])),
    ]


def test_extension_names() -> None:
    names = [f.name for f in parse("[a.b]: 1 [ x . y / inf ] { } [a]: [1]").fields]
    assert names == ["[a.b]", "[x.y/inf]", "[a]"]


@pytest.mark.parametrize(
    ("literal", "kind", "value"),
    [
        ("0", "integer", 0),
        ("-0", "integer", 0),
        ("42", "integer", 42),
        ("-7", "integer", -7),
        ("- 7", "integer", -7),
        ("-# sign\n7", "integer", -7),
        ("0x1F", "integer", 31),
        ("-0XfF", "integer", -255),
        ("017", "integer", 15),
        ("-010", "integer", -8),
        ("18446744073709551615", "integer", 2**64 - 1),
        ("1.", "float", 1.0),
        (".5", "float", 0.5),
        ("-.5", "float", -0.5),
        ("1.5e-3", "float", 0.0015),
        ("1e5", "float", 1e5),
        ("1E+5", "float", 1e5),
        ("2.f", "float", 2.0),
        ("1.5F", "float", 1.5),
        ("3f", "float", 3.0),
        ("08.5", "float", 8.5),
        ("1e999", "float", math.inf),
        ("inf", "float", math.inf),
        ("-inf", "float", -math.inf),
        ("- Infinity", "float", -math.inf),
        ("inff", "float", math.inf),
    ],
)
def test_numbers(literal: str, kind: str, value: float) -> None:
    (field,) = parse(f"a: {literal}").fields
    assert isinstance(field.value, Scalar)
    assert (field.value.kind, field.value.value) == (kind, value)
    assert field.value.span.text == literal


@pytest.mark.parametrize("literal", ["nan", "-nan", "NaN", "nanf"])
def test_nan(literal: str) -> None:
    (field,) = parse(f"a: {literal}").fields
    assert isinstance(field.value, Scalar)
    assert isinstance(field.value.value, float)
    assert math.isnan(field.value.value)


def test_words_that_start_like_inf_are_identifiers() -> None:
    expected = [("identifier", w) for w in ("information", "nano", "inf_", "INFO")]
    assert values("a: information b: nano c: inf_ d: INFO") == expected


def test_a_field_may_be_named_inf() -> None:
    assert text_of("inf: 1 nan { }") == [("inf", ("integer", 1)), ("nan", [])]


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r'"plain"', b"plain"),
        (r"'single \' \" \\'", b"single ' \" \\"),
        (r'"\a\b\f\n\r\t\v\?"', b"\a\b\f\n\r\t\v?"),
        (r'"\0\12\101\377"', b"\0\nA\xff"),
        (r'"\1234"', b"S4"),
        (r'"\x41\xf\xFF"', b"A\x0f\xff"),
        (r'"\u00e9\U0001F600"', "é😀".encode()),
        ('"é"', "é".encode()),
        ('"a" \'b\'\n# between\n"c"', b"abc"),
        ('""', b""),
        ('"# no comment"', b"# no comment"),
        ('"$HOME/${X}/{{ y }}"', b"$HOME/${X}/{{ y }}"),
    ],
)
def test_strings(literal: str, value: bytes) -> None:
    assert values(f"a: {literal}") == [string(value)]


def test_bytes_that_are_no_utf8_come_back() -> None:
    text = b'a: "caf\xe9" # \xff'.decode("utf-8", "surrogateescape")
    assert values(text) == [string(b"caf\xe9")]


def test_a_surrogate_from_no_file_is_kept() -> None:
    assert values('a: "\ud800"') == [string(b"\xed\xa0\x80")]


def test_spans() -> None:
    document = parse('\n  layer { top: "x" "y"\n dim: [1, 2] } [a.b]: 3')
    layer, extension = document.fields
    assert isinstance(layer.value, Block)
    top, dim = layer.value.fields
    assert isinstance(dim.value, ListValue)
    places = [layer, layer.value, top, top.value, dim.value, dim.value.items[1], extension]
    assert [place.span.text for place in places] == [
        "layer",
        '{ top: "x" "y"\n dim: [1, 2] }',
        "top",
        '"x" "y"',
        "[1, 2]",
        "2",
        "[a.b]",
    ]
    assert (layer.span.line, layer.span.column) == (2, 3)
    assert (dim.span.line, dim.span.column) == (3, 2)
    assert all(place.span.source is document.source for place in places)


def test_blocks_nest_as_deep_as_the_limit_and_no_deeper() -> None:
    def nest(depth: int, head: str, tail: str) -> str:
        return head * depth + tail * depth

    for head, tail in (("a {", "}"), ("a: <", ">"), ("a: [{", "}]"), ("a: 1, a: [1, {", "}]")):
        assert faults(nest(MAX_DEPTH, head, tail)) == []
        column = len(head) * (MAX_DEPTH + 1)
        assert faults(nest(MAX_DEPTH + 1, head, tail)) == [("too-deep", 1, column)]


def test_a_very_deep_text_is_an_error_and_no_crash() -> None:
    for text in ("a{" * 100_000, "a{" * 100_000 + "}" * 100_000, "a<" * 100_000):
        assert [code for code, _, _ in faults(text)] == ["too-deep"]


def test_too_many_tokens_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc.syntax.parser.MAX_TOKENS", 30)
    monkeypatch.setattr("netc.syntax.faults.MAX_TOKENS", 30)
    assert faults("a: 1 " * 10) == []
    assert faults("a: 1 " * 11) == [("too-large", 1, 51)]


def test_too_long_a_text_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc.syntax.parser.MAX_BYTES", 10)
    monkeypatch.setattr("netc.syntax.sniff.MAX_BYTES", 10)
    with pytest.raises(NetcError) as caught:
        parse("a: 1" + " " * 10)
    assert caught.value.diagnostics[0].code == "too-large"


PARTS = [
    "a", "inf", ":", "{", "}", "<", ">", "[", "]", ",", ";", "-", "1", "0x1", ".5", "1e3", '"s"',
    "'t'", ".", "/", "# c\n", "\n", "a: 1", "b { c: 2 }", "d: [1, 2]", "e [{}, {}]", "[f.g]: nan",
]  # fmt: skip


def test_lark_itself_accepts_the_same_texts() -> None:
    lark = lark_parser(GRAMMAR.read_text(encoding="utf-8"))
    choose = random.Random(7)
    accepted = 0
    for _ in range(3000):
        text = " ".join(choose.choices(PARTS, k=choose.randint(0, 7)))
        try:
            lark.parse(text)
            legal = True
        except LarkError:
            legal = False
        assert (faults(text) == []) == legal, text
        accepted += legal
    assert 300 < accepted < 2700


def test_parsing_leaves_the_garbage_collector_as_it_was() -> None:
    import gc

    assert gc.isenabled()
    parse_document(Source("a", "b: 1"))
    assert gc.isenabled()
