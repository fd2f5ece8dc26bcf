"""Each kind of fault: its code, line and column, and nothing told that follows from it."""

from __future__ import annotations

import pytest

from netc.diagnostics import Diagnostic, NetcError
from netc.syntax.limits import MAX_ERRORS
from tests.syntax.trees import faults, parse

CASES: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    # a colon, a value, a name that does not come
    "missing colon": ("layer {\n  num_output 64\n}\n", [("missing-colon", 2, 14)]),
    "missing colon before a word": ("pool MAX\nx: 1", [("missing-colon", 1, 6)]),
    "missing colon before a string": ('name "x"\ntype "y"', [("missing-colon", 1, 6),
                                                             ("missing-colon", 2, 6)]),
    "missing colon before a sign": ("a - 1", [("missing-colon", 1, 3)]),
    "missing colon before a list": ("dim [1, 2]\nb: 1", [("missing-colon", 1, 5)]),
    "equals sign": ("a = 1\nb: 2\nc=3", [("missing-colon", 1, 3), ("missing-colon", 3, 2)]),
    "missing value": ("a {\n  b:\n  c: 1\n}", [("missing-value", 2, 3)]),
    "missing value before a block": ("b:\nc { d: 1 }", [("missing-value", 1, 1)]),
    "missing value before a brace": ("a { b: }\nc: 1", [("missing-value", 1, 5)]),
    "missing value at the end": ("a: 1\nb:", [("missing-value", 2, 1)]),
    "missing value of an extension": ("[a.b]:\nc: 1", [("missing-value", 1, 1)]),
    "name alone": ("a {\n  b\n  c: 1\n}", [("missing-value", 2, 3)]),
    "name alone at the end": ("a: 1\nb", [("missing-value", 2, 1)]),
    "two colons": ("a:: 1\nb: 2", [("unexpected-token", 1, 3)]),
    "colon and equals sign": ("a := 1", [("unexpected-token", 1, 4)]),
    "no name before a colon": (": 1\na: 2", [("missing-name", 1, 1)]),
    "no name before a block": ("a { b: 1 }\n{ b: 2 }", [("missing-name", 2, 1)]),
    "name with a hyphen": ("kernel-size: 3\na: 1", [("bad-name", 1, 1)]),
    "name with a point": ("a {\n conv1.w: 3 }", [("bad-name", 2, 2)]),
    "several values": ("dim: 1 2 3\na: 1", [("unexpected-token", 1, 8)]),
    "values parted by commas": ("dim: 1, 3, 224\na: 1", [("unexpected-token", 1, 9)]),
    "value for a name": ('"layer" { a: 1 }', [("unexpected-token", 1, 1),]),
    "comma twice": ("a: 1,, b: 2", [("unexpected-token", 1, 6)]),
    # braces
    "unclosed brace": ("layer {\n  a: 1\n", [("unclosed-brace", 1, 7)]),
    "unclosed inner brace": (
        "layer {\n  conv {\n    a: 1\n}\nlayer {\n  a: 1\n}\n", [("unclosed-brace", 2, 8)]),
    "unclosed brace, not indented": (
        "layer {\na: 1\nlayer {\na: 2\n}\nlayer {\na: 3\n}\n", [("unclosed-brace", 1, 7)]),
    "cut off in a block": ("layer {\n  conv {\n    num_ou", [("unclosed-brace", 2, 8)]),
    "cut off behind a colon": ("layer {\n  conv {\n    num:", [("unclosed-brace", 2, 8)]),
    "cut off in a list": ("layer {\n  dim: [1,", [("unclosed-brace", 1, 7)]),
    "missing opening brace": ('layer\n  name: "a"\n}\nlayer { a: 1 }', [("missing-brace", 1, 1)]),
    "stray brace": ("layer { a: 1 }\n}\nb: 2", [("stray-brace", 2, 1)]),
    "stray angle": ("a: 1 >\nb: 2", [("stray-brace", 1, 6)]),
    "stray bracket": ("a: 1\n]\nb: 2", [("stray-brace", 2, 1)]),
    "stray angle in a block": ("a { b: 1 > }\nc: 1", [("stray-brace", 1, 10)]),
    "mismatched brace": ("a { b: 1 >\nc: 1", [("mismatched-brace", 1, 10)]),
    "mismatched angle": ("a < b: 1 }\nc: 1", [("mismatched-brace", 1, 10)]),
    "unclosed angle in a block": ("a { b < c: 1 }\nd: 1", [("unclosed-brace", 1, 7)]),
    # lists
    "missing comma": ("input_dim: [1 3 229 229]\na: 1", [("missing-comma", 1, 15)]),
    "missing comma between blocks": ("a [{b: 1} {b: 2}]", [("missing-comma", 1, 11)]),
    "missing comma in two lists": ("a: [1 2 3]\nb: [1 2 3]", [("missing-comma", 1, 7),
                                                              ("missing-comma", 2, 7)]),
    "semicolon in a list": ("a: [1; 2]\nb: 1", [("unexpected-token", 1, 6)]),
    "trailing comma": ("a: [1, 2,]\nb: [{},]", [("unexpected-token", 1, 9),
                                               ("unexpected-token", 2, 7)]),
    "comma twice in a list": ("a: [1,, 2]", [("unexpected-token", 1, 7)]),
    "unclosed list": ("a: [1, 2\nb: 1", [("unclosed-bracket", 1, 4)]),
    "unclosed list behind a comma": ("a: [1, 2,\nb: 1\nc: 2", [("unclosed-bracket", 1, 4)]),
    "unclosed list in a block": ("a { b: [1, 2 }\nc: 1", [("unclosed-bracket", 1, 8)]),
    "unclosed list at the end": ("a: [1", [("unclosed-bracket", 1, 4)]),
    "list closed by a brace": ("a: [1, 2}\nb: 1", [("mismatched-brace", 1, 9)]),
    "list in a list": ("a: [[1, 2], 3]\nb: 1", [("unexpected-token", 1, 5)]),
    "list without a name": ("[1, 2]\nb: 1", [("unexpected-token", 1, 1)]),
    "garbage in a list": ("a: [1, @]\nb: 1", [("unexpected-token", 1, 8)]),
    # words
    "unterminated string": ('a: "x\nb: 1', [("unterminated-string", 1, 4)]),
    "unterminated string before braces": (
        "a { b { c: 'x } }\nd: 1", [("unterminated-string", 1, 12)]),
    "unterminated string at the end": ('a: "x', [("unterminated-string", 1, 4)]),
    "string in two lines": ('a: "x\ny"\nb: 1', [("unterminated-string", 1, 4),
                                                ("unterminated-string", 2, 2)]),
    "bad escape": (r'a: "C:\data"', [("bad-escape", 1, 7)]),
    "octal escape above a byte": (r'a: "\400"', [("bad-escape", 1, 5)]),
    "escape without digits": (r'a: "\x"', [("bad-escape", 1, 5)]),
    "half a code point": (r'a: "\ud800"', [("bad-escape", 1, 5)]),
    "code point beyond Unicode": (r'a: "\U00110000"', [("bad-escape", 1, 5)]),
    "typographic quotes": ("a: “x”\nb: 1", [("bad-character", 1, 4)]),
    "octal with a 9": ("a: 09", [("bad-number", 1, 4)]),
    "exponent without digits": ("a: 1e", [("bad-number", 1, 4)]),
    "number with a plus": ("a: +5", [("bad-number", 1, 4)]),
    "number with letters": ("a: 3x3", [("bad-number", 1, 4)]),
    "number with two points": ("a: 1.2.3", [("bad-number", 1, 4)]),
    "number with a low line": ("a: 1_000", [("bad-number", 1, 4)]),
    "hexadecimal without digits": ("a: 0x", [("bad-number", 1, 4)]),
    "number of 500 digits": ("a: " + "9" * 500, [("bad-number", 1, 4)]),
    "sign before a word": ("a: -x\nb: 1", [("bad-number", 1, 4)]),
    "text without quotes": ("source: data/train\nb: 1", [("unquoted-text", 1, 9)]),
    "path without quotes": ("a { source: /a/b }\nb: 1", [("unquoted-text", 1, 13)]),
    "address without quotes": ("a: http://x.org/y\nb: 1", [("unquoted-text", 1, 4)]),
    "two words without quotes": ("name: conv one\nb: 1", [("unquoted-text", 1, 7)]),
    "word and number without quotes": ("name: conv 1\nb: 1", [("unquoted-text", 1, 7)]),
    "garbage for a value": ("a: @\nb: 1", [("unquoted-text", 1, 4)]),
    "garbage for a name": ("a: 1\n%% what is this\nb: 1", [("bad-character", 2, 1)]),
    "garbage behind a value": ("a: 1 @\nb: 1", [("bad-character", 1, 6)]),
    "no-break space": ("layer\u00a0{\n  a: 1\n}", [("bad-character", 1, 6)]),
    "C comment": ("a: 1 // one\nb: 2 // two", [("c-comment", 1, 6)]),
    "C comment over lines": ("/* a\n } */ b: 2\nc 1", [("c-comment", 1, 1),
                                                       ("missing-colon", 3, 3)]),
    "C comment without end": ("a: 1\n/* b\n c", [("c-comment", 2, 1)]),
    "merge conflict": ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n}\n>>>>>>> x\nc: 1",
                       [("merge-conflict", 2, 1)]),
    "merge conflict of three": (
        "<<<<<<< a\nb: 1\n||||||| c\n{\n=======\n{\n>>>>>>> d\n", [("merge-conflict", 1, 1)]),
    "two merge conflicts": (
        "<<<<<<< a\n=======\n>>>>>>> d\nb: 1\n<<<<<<< a\n=======\n>>>>>>> d\n",
        [("merge-conflict", 1, 1), ("merge-conflict", 5, 1)]),
    "nested merge conflicts": (
        "<<<<<<< a\n<<<<<<< b\n{\n=======\n>>>>>>> d\n=======\n>>>>>>> d\n",
        [("merge-conflict", 1, 1)]),
    "half a merge conflict": ("a: 1\n=======\nb: 1\n>>>>>>> d\n", [("merge-conflict", 2, 1)]),
    "Jinja template": ("a: 1\n{% if x %}\nb { c: {{ d }}\n{% endif %}", [("template", 2, 1)]),
    "lone carriage returns": ("a: 1\rb 2\rc: 3", [("missing-colon", 2, 3)]),
    "carriage returns and line feeds": ("a: 1\r\nb 2\r\nc: 3", [("missing-colon", 2, 3)]),
    "byte-order mark": ("\ufeffa 1", [("missing-colon", 1, 4)]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_fault(case: str) -> None:
    text, expected = CASES[case]
    assert faults(text) == expected


def diagnostics(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(NetcError) as caught:
        parse(text)
    return caught.value.diagnostics


def test_several_faults_are_told_in_order() -> None:
    text = """name: "net
layer {
  name "conv1"
  type: Convolution Layer
  param { lr_mult 1 }
  convolution_param {
    num_output: 08
    kernel-size: 3
    pad: [1 1]
  >
}
}
layer { top: "\\q" bottom: $X }
"""
    assert faults(text) == [
        ("unterminated-string", 1, 7),
        ("missing-colon", 3, 8),
        ("unquoted-text", 4, 9),
        ("missing-colon", 5, 19),
        ("bad-number", 7, 17),
        ("bad-name", 8, 5),
        ("missing-comma", 9, 13),
        ("stray-brace", 10, 3),
        ("bad-escape", 13, 15),
        ("unresolved-placeholder", 13, 27),
    ]


def test_a_fault_shows_its_line_and_what_to_do() -> None:
    (fault,) = diagnostics('layer {\n  name: "a"\n  num_output 64\n}\n')
    assert str(NetcError(fault)) == (
        "net.prototxt:3:14: error[missing-colon]: expected `:` after `num_output`, found `64`\n"
        "    3 |   num_output 64\n"
        "      |              ^^\n"
        "   = help: write `num_output: 64`"
    )


def test_an_unclosed_brace_names_the_brace_that_gave_it_away() -> None:
    (fault,) = diagnostics("layer {\n  conv {\n    a: 1\n}\n")
    (note,) = fault.notes
    assert note.span is not None
    assert (note.span.line, note.span.column) == (4, 1)
    assert "further left than `conv {`" in note.message


def test_a_truncated_text_is_called_so() -> None:
    (fault,) = diagnostics("layer {\n  conv {\n    num_ou")
    assert fault.help == ("the text ends in the middle of a block: was the file downloaded whole?",)


def test_the_other_sides_of_a_conflict_are_noted() -> None:
    (fault,) = diagnostics("<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n")
    assert [(n.message, n.span.line) for n in fault.notes if n.span] == [
        ("the other side starts here", 3),
        ("the conflict ends here", 5),
    ]


def test_no_more_than_a_hundred_faults_are_told() -> None:
    found = diagnostics("a 1\n" * 1000)
    assert len(found) == MAX_ERRORS
    assert found[-1].help[-1] == "more errors follow; mend these first"


@pytest.mark.parametrize("text", ["}" * 50_000, "a: [" * 50_000, "a 1 " * 50_000, "{%" * 50_000,
                                  "a: 08\n" * 20_000, "<<<<<<< x\n" * 20_000, '"\\' * 50_000,
                                  "a: [" + "1 " * 50_000, "a: $X\n" * 20_000])  # fmt: skip
def test_a_flood_of_faults_ends(text: str) -> None:
    assert 1 <= len(faults(text)) <= MAX_ERRORS


LEGAL = 'layer {\n  name: "a"\n  dim: [1, 2]\n  p < b: -1.5 >\n  conv { pad: 1 }\n}\nx: MAX\n'


@pytest.mark.parametrize("piece", '{}<>[]:"')
def test_leaving_one_token_out_gives_one_fault(piece: str) -> None:
    for at in [i for i, char in enumerate(LEGAL) if char == piece]:
        text = LEGAL[:at] + LEGAL[at + 1 :]
        assert len(faults(text)) == 1, text


@pytest.mark.parametrize("piece", '{}[]:"@$=/%,;')
def test_one_token_too_many_gives_one_fault(piece: str) -> None:
    for at in [i for i, char in enumerate(LEGAL) if char in " \n"]:
        text = LEGAL[:at] + piece + LEGAL[at:]
        assert len(faults(text)) <= 1, (text, faults(text))
