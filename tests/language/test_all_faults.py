"""All mistakes of a text of the dialect are told at once, each once and with its hint."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import Diagnostic, NetcError, Source, render
from netc.language.read import read_document
from netc.schema.load import load_schema

INPUT = "input data: [1, 3, 32, 32]\n"


def faults(text: str) -> list[Diagnostic]:
    with pytest.raises(NetcError) as caught:
        read_document(Source("t.netc", text), load_schema())
    return list(caught.value.diagnostics)


def told(text: str) -> list[tuple[int, str]]:
    return [(d.span.line if d.span else 0, d.code) for d in faults(text)]


def test_faults_of_the_grammar() -> None:
    text = INPUT + (
        "let a = 1 +\n"
        "-> conv(64 3)\n"
        "repeat 3 {\n  -> conv(, 3)\n  -> relu relu\n}\n"
        "phase test { -> relu }\n"
        "x = data -> relu -> conv(8, 3, pad: 1\n"
        "y = x -> relu\n"
        "let 3\n"
    )
    assert [line for line, _ in told(text)] == [3, 3, 5, 6, 8, 10, 11]


def test_what_stands_behind_a_fault_is_read() -> None:
    text = INPUT + "let a = (1 + 2\nlet b = 3 3\n-> conv(b\n-> relu)\nlet c = 4\nlet if = 3\n"
    assert [line for line, _ in told(text)] == [3, 7]


def test_faults_of_meaning_and_of_fields() -> None:
    text = INPUT + (
        "let h = 32 / 2\n"
        "let lost = nothing + 1\n"
        'data -> conv(64, 3, pad: lost, kernal_size: 3) as "c1" -> relu\n'
        "-> conv(h)\n"
        "-> pool(2, pool: MAXX)\n"
        "c1 -> frob(3) -> relu\n"
        'layer { name: "x" type: "Pooling" bottom: "c1" top: "x" pooling_param { pol: MAX } }\n'
        "x -> relu\n"
        "-> conv(lost) -> conv(lost)\n"
    )
    assert [code for _, code in told(text)] == [
        "unknown-name", "unknown-field", "wrong-kind", "unknown-enum-value", "unknown-module",
        "unknown-field",
    ]  # fmt: skip


def test_a_fault_in_a_module_is_told_once() -> None:
    text = (
        INPUT + "module m(n: int): x -> y { y = x -> conv(n, k: 3) -> wrong(3) }\n"
        'repeat i in 0..9 { -> conv(q) -> m(3) as "m${i}" -> relu }\n'
    )
    assert [code for _, code in told(text)] == ["unknown-field", "unknown-module", "unknown-name"]


def test_many_faults_end() -> None:
    text = INPUT + "-> conv(q)\nlet 3\n" * 20000
    start = time.process_time()
    found = faults(text)
    assert len(found) == 100 and "more errors follow" in found[-1].help[-1]
    assert time.process_time() - start < 20  # of a text of 300 kB; in proportion to its length


@pytest.mark.parametrize(
    ("text", "column", "part", "help"),
    [
        ("data → relu", 6, "U+2192 (rightwards arrow)", "write `->`"),
        ("data => relu", 6, "`=>` is no sign", "write `->`"),
        ("data –> relu", 6, "U+2013 (en dash)", "write `->`"),
        ("-> conv(4, pad： 1)", 15, "U+FF1A (fullwidth colon)", "write `:`"),
        ("-> conv(4，3)", 10, "U+FF0C (fullwidth comma)", "write `,`"),
        ("-> conv（4)", 8, "U+FF08 (fullwidth left parenthesis)", "write `(`"),
        ("-> conv(4) as “c”", 15, "`“` is a typographic", 'replace both marks by `"`'),
        ('-> conv(4) as "c”', 15, "`”` is a typographic", 'replace both marks by `"`'),
        ("let a = 4 × 2", 11, "U+00D7 (multiplication sign)", "write `*`"),
        ("let a = 1 ≤ 2", 11, "U+2264 (less-than or equal to)", "write `<=`"),
        ("->\u00a0relu", 3, "U+00A0 (no-break space)", "write a blank"),
        ("-> conv(7 / 7)", 9, "takes a whole number", "`//` divides whole numbers"),
        ("-> conv(10/3)", 9, "takes a whole number", "`//` divides whole numbers"),
        ("repeat 4 / 2 { -> relu }", 10, "not a float", "`//` divides whole numbers"),
        ("repeat i in 0..4/2 { -> relu }", 14, "from int to int", "`//` divides whole numbers"),
        ("let a = [1, 2][4 / 4]", 9, "", "`//` divides whole numbers"),
        ("expect data: [1, 6 / 2, _, _]", 20, "a size is an int", "`//` divides whole numbers"),
        ("let a = MAX", 9, "`MAX`", 'stands in quotes here: `"MAX"`'),
        ("-> conv(3, bias_term: True)", 23, "`True`", "write `true`"),
        ("let if = 3", 5, "`if` is a word of the language", "choose another name"),
        ("let true = 3", 5, "`true` is a word of the language", "choose another name"),
        ("in = data -> relu", 1, "`in` is a word of the language", "choose another name"),
        ("repeat -> relu", 1, "`repeat` is a word of the language", '`"repeat" -> ...`'),
        ("module for(): x -> y { y = x -> relu }", 8, "`for` is a word", "choose another name"),
        ("phase train { -> relu }", 7, "`train` is no phase", "did you mean `TRAIN`?"),
    ],
)  # fmt: skip
def test_hints(text: str, column: int, part: str, help: str) -> None:
    (found,) = faults(INPUT + text + "\n-> relu\n")
    assert found.span is not None
    assert (found.span.line, found.span.column) == (2, column)
    assert part in found.message and any(help in line for line in found.help)


def test_parameters_that_are_whole_numbers_say_how_to_divide() -> None:
    module = "module m(n: int = 3): x -> y { y = x -> fc(n) }\n"
    divided = "`/` gives a float; `//` divides whole numbers"
    (found,) = faults(INPUT + module + "-> m(10/4)\n")
    assert "`n` takes int" in found.message and found.help == (divided,)
    (found,) = faults(INPUT + module.replace("= 3", "= 9/3") + "-> m()\n")
    assert found.help == (divided,)
    (found,) = faults(INPUT + module + "-> m(2.5)\n")  # nobody divided
    assert "`n` takes int" in found.message and not found.help


def test_carets_stand_under_what_follows_wide_characters() -> None:
    lines = render(faults(INPUT + '-> conv(4) as "卷积" -> relu → relu\n')[0]).splitlines()
    excerpt, carets = lines[1], lines[2]
    width = sum(2 if c in "卷积" else 1 for c in excerpt[: excerpt.index("→")])
    assert carets.index("^") == width


PARTS = st.lists(
    st.sampled_from(
        ["-> conv(4)", "-> conv(4", "let a = ", "a", "}", "{", "repeat 2 {", "x = prev -> relu",
         "layer { name: 'a' }", "→", "“x”", "if", "phase TEST {", "module m(): x -> y {", "y = x",
         "(", ")", "]", "->", "as", '"', "1 / 0", "input b: [1]", "-> m", "$", "\u00a0"]
    ),
    max_size=12,
)  # fmt: skip


@given(PARTS)
def test_whatever_is_written_is_read_or_told(parts: list[str]) -> None:
    try:
        read_document(Source("t.netc", "\n".join(parts)), load_schema())
    except NetcError as error:
        assert error.diagnostics
        places = [(d.code, d.span, d.message) for d in error.diagnostics]
        assert len(set(places)) == len(places)
