"""Reading .proto texts: what protoc takes is taken, what it refuses is refused with its place."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.schema.declarations import ProtoField, ProtoFile
from netc.schema.proto_file import parse_proto


def parse(text: str) -> ProtoFile:
    return parse_proto(Source("a.proto", text))


def one_field(text: str) -> ProtoField:
    (field,) = parse(f"message A {{ {text} }}").messages[0].fields
    return field


def complaint(text: str) -> tuple[str, int, int, str]:
    with pytest.raises(NetcError) as caught:
        parse(text)
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.span
    return diagnostic.code, diagnostic.span.line, diagnostic.span.column, diagnostic.message


def test_what_forks_write() -> None:
    file = parse(
        """
        /* a licence
           of two lines */
        syntax = "proto2"; // old
        package caffe;
        import "google/protobuf/descriptor.proto";
        option java_package = "org.x";
        option (mine).deep.name = { a: 1 b { c: "d" } e: [1, 2] };
        extend google.protobuf.FieldOptions { optional string note = 50000; }
        message A {
          option message_set_wire_format = false;
          reserved 3, 5 to 9, 100 to max;
          reserved "old", "older";
          extensions 200 to 300, 1000 to max;
          required int32 x = 1 [deprecated = true, (mine).note = "n"];
          repeated .caffe.A.Inner inner = 2;
          message Inner { enum E { Z = 0; N = -1; X = 0x10 [deprecated = true]; } }
          oneof choice { string s = 20; A a = 21; }
          map<string, Inner> byname = 22;
          ;
        }
        service S { rpc Do (A) returns (stream A) { option (x) = "y"; } rpc Go (A) returns (A); }
        """
    )
    assert (file.package, file.syntax) == ("caffe", "proto2")
    (message,) = file.messages
    assert [(f.name.text, f.type.text, f.number, f.label) for f in message.fields] == [
        ("x", "int32", 1, "required"),
        ("inner", ".caffe.A.Inner", 2, "repeated"),
        ("byname", "BynameEntry", 22, "repeated"),
        ("s", "string", 20, "optional"),
        ("a", "A", 21, "optional"),
    ]
    assert [f.oneof for f in message.fields] == [None, None, None, "choice", "choice"]
    inner, entry = message.messages
    assert [(w.text, n) for w, n in inner.enums[0].values] == [("Z", 0), ("N", -1), ("X", 16)]
    assert entry.map_entry and [f.type.text for f in entry.fields] == ["string", "Inner"]


WORDS = (
    "message", "enum", "optional", "repeated", "required", "syntax", "package", "import", "option",
    "oneof", "map", "extend", "extensions", "reserved", "service", "rpc", "returns", "stream", "to",
    "max", "group", "public", "weak",
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_keywords_are_field_names_too(word: str) -> None:
    assert one_field(f"optional int32 {word} = 1;").name.text == word
    assert parse(f"enum E {{ A{word} = 0; }}").enums[0].values[0][0].text == f"A{word}"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("1", "integer", 1),
        ("-1", "integer", -1),
        ("0x1F", "integer", 31),
        ("017", "integer", 15),
        ("1.5", "float", 1.5),
        (".5", "float", 0.5),
        ("1.", "float", 1.0),
        ("-1e-05", "float", -1e-5),
        ("2f", "float", 2.0),
        ("true", "identifier", "true"),
        ("-inf", "identifier", "-inf"),
        ("\"a\" 'b'", "string", b"ab"),
        (r'"\n\x41\101\"\\\'"', "string", b"\nAA\"\\'"),
        ('"\u00e9"', "string", "\u00e9".encode()),
    ],
)
def test_defaults(text: str, kind: str, value: object) -> None:
    default = one_field(f"optional string x = 1 [default = {text}];").default
    assert default is not None
    assert (default.kind, default.value) == (kind, value)


def test_packed() -> None:
    assert one_field("repeated float x = 1 [packed = true];").packed is True
    assert one_field("repeated float x = 1 [packed = false];").packed is False
    assert one_field("repeated float x = 1;").packed is None


def test_proto3_fields_need_no_label() -> None:
    file = parse('syntax = "proto3"; message A { float x = 1; repeated int32 y = 2; }')
    assert file.syntax == "proto3"
    assert [f.label for f in file.messages[0].fields] == ["optional", "repeated"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("message A {\n  optional int32 = 1;\n}", ("proto-syntax", 2, 18, "unexpected `=`")),
        ("message A {\n  optional int32 x;\n}", ("proto-syntax", 2, 19, "unexpected `;`")),
        ("message A { optional int32 x = 1;", ("proto-syntax", 1, 33, "ends in the middle")),
        ("message A { ? }", ("proto-syntax", 1, 13, "unexpected character '?'")),
        ("<html>", ("proto-syntax", 1, 1, "unexpected")),
        ('syntax = "proto4";', ("proto-syntax", 1, 10, "not `proto4`")),
        (
            "message A {\n optional group G = 1 { optional int32 x = 1; }\n}",
            ("proto-syntax", 2, 17, "`G` is a group"),
        ),
        ("extend A { optional int32 x = 1; }", ("proto-syntax", 1, 8, "`extend A` is not read")),
        ("enum E { }", ("proto-syntax", 1, 6, "`E` has no value")),
        ("enum E { A = 4294967296; }", ("proto-number", 1, 10, "`A` is 4294967296")),
        ("enum E { A = 0;\n A = 1; }", ("proto-duplicate", 2, 2, "first in line 1")),
        ("message A { optional int32 x = 0; }", ("proto-number", 1, 32, "from 1 to 536870911")),
        ("message A { optional int32 x = 19500; }", ("proto-number", 1, 32, "protobuf's own")),
        (
            "message A { optional int32 x = 1;\n optional int32 y = 1; }",
            ("proto-duplicate", 2, 21, "`y` and `x` both have number 1"),
        ),
        (
            "message A { message B { optional int32 x = 1;\n optional int32 x = 2; } }",
            ("proto-duplicate", 2, 17, "`B` declares `x` twice"),
        ),
    ],
)
def test_refused(text: str, expected: tuple[str, int, int, str]) -> None:
    code, line, column, message = complaint(text)
    assert (code, line, column) == expected[:3]
    assert expected[3] in message


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    depth = 20_000
    code, _, _, message = complaint("message A {" * depth + "}" * depth)
    assert code == "proto-syntax"
    assert "too deep" in message


PIECES = st.sampled_from(
    [
        "message A {", "}", "enum E {", "optional ", "int32 ", "x", " = ", "1", ";", "[", "]", "(",
        "default", '"', "'", "//", "/*", "*/", "\n", "\\", "-", ".", "0x", "option ", ")", "map<",
        ">", "\u00e9", "extend ", "group ", "syntax = ", '"proto2"', "oneof o {", "reserved ",
        "1e999", "9" * 50,
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_text_crashes_the_reader(text: str) -> None:
    try:
        parse(text)
    except NetcError as error:
        assert all(d.span is not None for d in error.diagnostics)


def test_huge_numbers_do_not_hang() -> None:
    field = one_field("optional double x = 1 [default = 1e999];")
    assert field.default and field.default.value == math.inf
    assert complaint(f"message A {{ optional int32 x = {'9' * 5000}; }}")[0] == "proto-number"


def test_a_net_in_place_of_a_schema() -> None:
    with pytest.raises(NetcError) as caught:
        parse_proto(Source("deploy.prototxt", 'name: "x"'))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.help[0].startswith("a schema is a .proto file")
