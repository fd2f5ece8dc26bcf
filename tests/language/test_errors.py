"""Every complaint of the language: its code, its place, and the uses that lead there."""

from __future__ import annotations

import pytest

from netc.diagnostics import render
from tests.language.texts import INPUT, fault

# Text (behind an input on line 1), code, line, column, a part of the message.
CASES: tuple[tuple[str, str, int, int, str], ...] = (
    # grammar
    ("-> conv(64, 3", "unclosed-brace", 2, 8, "`(` is never closed"),
    ("-> conv(64 3)", "syntax", 2, 12, "`,` or `)` is missing here"),
    ("-> conv(64, stride = 2)", "syntax", 2, 20, "by name with `:`"),
    ("repeat 3 { -> relu", "unclosed-brace", 2, 10, "`{` is never closed"),
    ("-> ", "syntax", 3, 1, "name of a layer type"),
    ("x = ", "syntax", 3, 1, "a value is missing before the end of the text"),
    ("let a = 1 +\n-> relu", "syntax", 3, 1, "a value is missing before `->`"),
    ("data", "syntax", 2, 1, "`data` alone is no statement"),
    ("data relu\n-> relu", "syntax", 2, 6, "`:` is missing behind `data`"),
    ("5\nlet a = 1", "syntax", 2, 1, "a value alone"),
    ("len([1])\nlet a = 1", "syntax", 2, 1, "a value alone"),
    ("layer { name \"x\" }\n-> relu", "syntax", 2, 14, "`:` is missing behind `name`"),
    ("repeat i, j, k in [1] { }", "syntax", 2, 16, "a loop has one name, or two"),
    ("if true { module m(): x -> y { } }\n-> relu", "syntax", 2, 11, "only outside of all blocks"),
    ("module m(a, a): x -> y { }", "syntax", 2, 14, "two parameters `a`"),
    ("param p: strng = 1", "syntax", 2, 10, "`strng` is no type"),
    ("phase FOO { -> relu }", "syntax", 2, 7, "`FOO` is no phase"),
    ("-> relu if true else 3", "syntax", 2, 17, "without `else`"),
    ("let a = \"b${1 + }\"\n-> relu", "syntax", 2, 17, "a value is missing"),
    ("let a = \"b${1 2}\"\n-> relu", "syntax", 2, 15, "one expression"),
    ("let a = \"b${1\"\n-> relu", "unclosed-brace", 2, 11, "`${` is never closed"),
    ("let a = \"b\n-> relu", "unterminated-string", 2, 9, "no closing"),
    ("let a = \"\\q\"\n-> relu", "bad-escape", 2, 10, "`\\q` is no escape"),
    ("let a = 1.2.3\n-> relu", "bad-number", 2, 9, "`1.2.3` is no number"),
    ("let a = $x\n-> relu", "bad-character", 2, 9, "`$` stands only before `{`"),
    ("let a = é\n-> relu", "bad-character", 2, 9, "U+00E9"),
    ("-> conv(4) as \"${\"abc\"[0]}\"", "unclosed-brace", 2, 18, "this `\"` ends the string"),
    ("let a = \"b${1 + }\"\n-> relu", "syntax", 2, 17, "missing before the `}`"),
    # names
    ("dota -> relu", "unknown-name", 2, 1, "`dota`"),
    ('"x/y" -> relu', "unknown-name", 2, 1, "no blob `x/y`"),
    ("-> conv(widht)", "unknown-name", 2, 9, "`widht`"),
    ("-> conv(4) as conv9", "unknown-name", 2, 15, "`conv9`"),
    ("-> cnv(4)", "unknown-module", 2, 4, "no module or short form `cnv`"),
    ("-> conv(4, strid: 2)", "unknown-field", 2, 12, "`Convolution` has no field `strid`"),
    ("-> conv(4, name: \"a\")", "unknown-field", 2, 12, "behind `as`"),
    ("-> conv(4, bottom: \"a\")", "unknown-field", 2, 12, "left of the arrow"),
    ("expect foo: [1]\n-> relu", "unknown-name", 2, 8, "`foo`"),
    ("let a = prev + 1\nlet b = relu", "expression", 2, 14, "`+` takes no blob and int"),
    ("let b = relu\n-> relu", "unknown-name", 2, 9, "`relu`"),
    # values
    ("-> conv(4, 4, 4, 4, 4)", "too-many-values", 2, 21, "at most 4 values"),
    ("-> relu(4)", "too-many-values", 2, 9, "no values without a name"),
    ("-> conv(4, num_output: 3)", "repeated-field", 2, 12, "`num_output` is given twice"),
    ("-> conv(1 / 2)", "wrong-kind", 2, 9, "this is the float 0.5"),
    ("-> conv(-4)", "out-of-range", 2, 9, "-4"),
    ("-> pool(2, pool: AVG)", "unknown-enum-value", 2, 18, "`AVG`"),
    ("-> relu(in_place: 1)", "expression", 2, 19, "`in_place` is true or false"),
    ("[data, data] -> relu(in_place: true)", "expression", 2, 17, "one bottom"),
    ("-> conv(4) as 5", "expression", 2, 15, "a name is a string"),
    ("-> conv(4) as \"\"", "expression", 2, 15, "a name is not empty"),
    ("5 -> relu", "expression", 2, 1, "starts with blobs, not with an int"),
    ("x = 5\nlet a = 1", "wrong-kind", 2, 1, "names a blob, and this is an int"),
    ("a, b = data\n-> relu", "expression", 2, 1, "2 names are given, and 1"),
    ("if 1 { -> relu }", "expression", 2, 4, "a condition is true or false, not an int"),
    ("repeat i in 3 { -> relu }", "expression", 2, 13, "goes through a list or a range"),
    ("repeat 1 - 2 { -> relu }", "expression", 2, 10, "-1 is less than 0"),
    ("repeat true { -> relu }", "expression", 2, 8, "a number of times, not a bool"),
    ("let a = 1 + \"b\"\n-> relu", "expression", 2, 11, "`+` takes no int and string"),
    ("let a = 1 < \"b\"\n-> relu", "expression", 2, 11, "cannot be compared"),
    ("let a = [1][3]\n-> relu", "expression", 2, 9, "no item 3: the list has 1"),
    ("let a = \"${[1]}\"\n-> relu", "expression", 2, 12, "a list cannot stand in a string"),
    ("let a = min(\"x\")\n-> relu", "expression", 2, 9, "`min`: it takes numbers"),
    ("let a = int(\"x\")\n-> relu", "expression", 2, 9, "`x` is no int"),
    ("let a = abs(1, 2)\n-> relu", "expression", 2, 9, "takes 1 value, and 2 are given"),
    ("let a = (-8) ** 0.5\n-> relu", "expression", 2, 14, "root of a negative"),
    # layers
    ("-> conv(4) as \"a\" -> fc(3) as \"a\"", "duplicate-name", 2, 22, "two layers have"),
    ("phase TRAIN { phase TEST { -> relu } }", "phase", 2, 21, "no layer is in both"),
    ("phase TRAIN { -> relu(include { phase: TEST }) }", "phase", 2, 18, "of its own"),
    ("repeat i in [0] { layer { -> relu } }", "syntax", 2, 27, "block of fields"),
    # modules
    ("module m(): a, b -> c { c = a }\n-> m", "bottom-count", 3, 4, "2 blobs (`a`, `b`), and 1"),
    ("module m(n): x -> y { y = x }\n-> m", "missing-value", 3, 4, "needs a value for `n`"),
    ("module m(n): x -> y { y = x }\n-> m(1, 2)", "too-many-values", 3, 9, "1 parameters: `n`"),
    ("module m(nn): x -> y { y = x }\n-> m(n: 2)", "unknown-name", 3, 6, "no parameter `n`"),
    ("module m(n: int): x -> y { y = x }\n-> m(1.5)", "wrong-kind", 3, 6, "`n` takes int"),
    ("module m(n in 1..3): x -> y { y = x }\n-> m(1 + 2)", "wrong-kind", 3, 6, "`n` is in 1..3"),
    ("module m(): x -> y { }\n-> m", "missing-output", 2, 18, "`y` no blob"),
    ("module m(): x -> y { let y = 3 }\n-> m", "wrong-kind", 2, 18, "is an int, not a blob"),
    ("module m(): x -> y { name: \"n\" }\n-> m", "syntax", 2, 22, "only layers stand in a module"),
    ("module m(): x -> y { y = x }\nmodule m(): x -> y { }", "duplicate-name", 3, 8, "two modules"),
    ("module len(): x -> y { y = x }", "duplicate-name", 2, 8, "is a function"),
    ("param p = 1\nparam p = 2", "duplicate-name", 3, 7, "two parameters `p`"),
    # inputs
    ("input x: [1] { maen: 3 }", "unknown-field", 2, 16, "`maen`"),
    ("input x: [1] { mean: 3 mean: 4 }", "repeated-field", 2, 24, "given twice"),
    ("input x: [1] { range: 3 }", "expression", 2, 16, "has 2 values, and 1"),
    ("input x: [1, 3, 4, 4] { mean: [1, 2] }", "expression", 2, 25, "the input has 3 channels"),
    ("input x: [1] { order: GRB }", "unknown-enum-value", 2, 23, "`GRB`"),
    ("input x: [-1]\n-> relu", "expression", 2, 11, "a size is an int"),
    ("input x: [1.5]\n-> relu", "expression", 2, 11, "a size is an int"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "part"), CASES, ids=[case[0][:40] for case in CASES]
)
def test_faults(text: str, code: str, line: int, column: int, part: str) -> None:
    found = fault(INPUT + text + "\n")
    assert part in found.message
    assert found.code == code
    assert found.span and (found.span.line, found.span.column) == (line, column)


def test_a_fault_in_a_module_is_told_with_its_uses() -> None:
    text = INPUT + (
        "module inner(n: int): x -> y { y = x -> conv(n / 2) }\n"
        "module outer(n: int): x -> y {\n"
        '  y = x -> inner(n + 1) as "i"\n'
        "}\n"
        'data -> outer(2) as "o"\n'
    )
    assert render(fault(text)).splitlines() == [
        "t.netc:2:46: error[wrong-kind]: `num_output` takes a whole number, and this is "
        "the float 1.5",
        "    2 | module inner(n: int): x -> y { y = x -> conv(n / 2) }",
        "      |                                              ^^^^^",
        '   = note: used at t.netc:4:12: inner(n + 1) as "i"',
        '   = note: used at t.netc:6:9: outer(2) as "o"',
        "   = help: `/` gives a float; `//` divides whole numbers",
    ]


def test_the_uses_are_in_json_as_well() -> None:
    text = INPUT + "module m(): x -> y { y = x -> conv(nn) }\n-> m"
    assert fault(text).to_json()["used_at"] == ["t.netc:3:4"]


def test_a_shape_fault_of_an_expanded_layer_points_into_the_module() -> None:
    from netc.frontend import build
    from tests.language.texts import message

    text = INPUT + "module m(): x -> y { y = x -> conv(4, 99) }\n-> m"
    found = build(message(text)).diagnostics[0]
    assert found.span and (found.span.line, found.span.column) == (2, 39)
    assert found.span.used_at and found.span.used_at.line == 3


def test_two_layers_of_one_name_show_both_places() -> None:
    text = INPUT + 'module m(): x -> y { y = x -> conv(1) as "c" }\n-> m\n-> m'
    found = fault(text)
    assert found.code == "duplicate-name"
    assert found.notes[0].span and found.notes[0].span.used_at
    assert (found.notes[0].span.used_at.line, found.span and found.span.used_at) != (4, None)


@pytest.mark.parametrize(
    ("text", "column", "help"),
    [
        ("def m(n): x -> y { y = x -> conv(n) }", 1, "a module is `module NAME"),
        ("module m(n) { -> conv(n) }", 13, "`module m(n: int): x -> y { y = ... }`"),
        ("module m: x -> y { return x -> relu }", 20, "`y = x -> relu`"),
        ("var n = 3", 1, "`let NAME = value`"),
        ("let n: int = 3", 6, "`param n: int = 3`"),
        ('import "blocks.netc"', 1, '`include "file.netc"`'),
        ("while true { -> relu }", 1, "`repeat n { ... }`"),
        ("for i in range(3): -> relu", 18, "braces"),
        ("if true { -> relu } elif false { -> relu }", 21, "`else if`"),
        ("if true -> relu", 9, "`-> relu if c`"),
        ("if true && true { -> relu }", 9, "`and`"),
        ("let n = 1 | 2", 11, "`or`"),
        ("let n = !true", 9, "`not`"),
        ("-> convolution(3, 3)", 4, "did you mean `conv`"),
        ("-> dense(10)", 4, "did you mean `fc`"),
        ("-> leakyrelu", 4, "`relu(negative_slope: 0.1)`"),
        ("-> Conv(3, 3)", 9, "the short form does: `conv(...)`"),
        ("-> Conv(num_output: 3)", 9, "did you mean the type `Convolution`?"),
        ("-> Pooling(2)", 12, "the short form does: `pool(...)`"),
        ("a, b = data -> Slice(axis: 1)", 1, '`Slice(top: ["a", "b"])`'),
        ("-> conv(1 ? 2 : 3)", 11, "`a if condition else b`"),
        ("-> relu // comment", 9, "starts with `#`"),
        ("-> relu;", 8, "without a `;`"),
        ("-> conv 3", 9, "`conv(3)`"),
        ("relu\nlet a = 1", 1, "`-> relu` goes on"),
        ("-> conv(4, kernel: 3)", 12, "`kernel_size`"),
        ("-> dropout(ratio: 0.5)", 12, "`dropout_ratio`"),
        ("let w = [1]\n-> conv(w[1])", 9, "the first is item 0"),
        ("-> conv(n)\nparam n = 3", 9, "a parameter from line 3 on"),
        ("let n = 3\nlayer { convolution_param { num_output: n } }\n-> relu", 41, "`${n}`"),
    ],
)
def test_words_of_other_languages(text: str, column: int, help: str) -> None:
    found = fault(INPUT + text)
    assert found.span and found.span.column == column
    assert help in found.help[0]


def test_a_word_that_a_field_takes_may_be_the_name_of_a_value() -> None:
    from tests.language.texts import message

    text = INPUT + 'let AVE = 3\nlayer { name: "p" type: "Pooling" bottom: "data" top: "p"\n'
    text += "  pooling_param { pool: AVE global_pooling: true } }\n-> relu"
    assert message(text).get("layer")[1].get("pooling_param").get("pool") == "AVE"


def test_what_is_near_is_proposed() -> None:
    assert fault(INPUT + "-> conv(4, strid: 2)").help == ("did you mean `stride`?",)
    assert fault(INPUT + "-> pol(2)").help[0].startswith("did you mean `pool`")
    assert fault(INPUT + "let width = 3\n-> conv(widht)").help == ("did you mean `width`?",)


def test_an_if_at_the_wrong_place_is_told_where_it_stands() -> None:
    (first, second) = fault(INPUT + "(data -> relu) if true\n-> relu").help
    assert "`a if c else b`" in first and "`-> relu if c`" in second
    found = fault(INPUT + "x = (data -> relu)\n  if true else data")
    assert "the value's own line" in found.help[0]


def test_a_bracket_left_open_on_another_line_is_shown() -> None:
    found = fault(INPUT + "let widths = [64, 128\nrepeat w in widths { -> conv(w) }")
    assert found.notes[0].message == "the `[` is here"
    assert found.notes[0].span and found.notes[0].span.line == 2


def test_a_quote_that_ends_its_string_too_early() -> None:
    found = fault(INPUT + "let a = 'b${'c'}'")
    assert found.help[0].endswith('the other quotes: `"abc"`')
    assert found.notes[0].span and found.notes[0].span.column == 11
