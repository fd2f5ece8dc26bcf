"""The grammars for editors agree with netc's own lexers on what a text's words are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.data import prototxt_dir
from netc.frontend import read_net
from netc.language.expressions import _WORDS
from netc.language.operators import FUNCTIONS
from netc.language.parser import TYPES
from netc.language.plain import plain_text
from netc.language.shorts import SHORTS
from netc.language.tokens import scan
from netc.schema.convert import to_document
from netc.syntax.lexer import tokens
from netc.syntax.tables import load_tables
from tests.editor.textmate import Grammar, Scopes, compiled

ROOT = Path(__file__).resolve().parents[2]
EDITOR = ROOT / "docs" / "editor"
GRAMMARS = {name: Grammar(EDITOR / f"{name}.tmLanguage.json") for name in ("netc", "prototxt")}

KINDS = {
    "name": ("keyword.", "variable.", "entity.name.", "support.", "storage.", "constant."),
    "int": ("constant.numeric.integer.",),
    "float": ("constant.numeric.float.",),
    "string": ("string.quoted.",),
    "op": ("keyword.operator.", "punctuation."),
}
"""Kind of token -> how the scopes of its characters may begin."""

TERMINALS = {
    "IDENTIFIER": "name", "NONFINITE": "name", "INTEGER": "int", "FLOAT": "float",
    "STRING": "string", "PLACEHOLDER": "name",
}  # fmt: skip

Word = tuple[str, int, int]


def dialect_words(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    """Kind, start and end of each token; of strings the tokens within `${ }` too."""
    found = []
    for token in scan(text, start, end):
        if token.kind == "end":
            break
        found.append((token.kind, token.start, token.end))
        if token.kind == "string":
            for hole in re.finditer(r"(?<!\$)\$\{((?:'[^']*'|[^'}])*)\}", token.text):
                at = token.start + hole.start(1)
                found += dialect_words(text, at, at + len(hole[1]))
    return found


def plain_words(text: str) -> list[Word]:
    """Kind, start and end of each token; a number's sign is no part of it."""
    names = load_tables().terminals
    found = []
    for match in tokens(text):
        number = match.lastindex or 0
        start, end = match.span(number)
        assert names[number] != "$OTHER"
        if names[number] != "$END":
            signed = text[start] == "-" and end > start + 1
            found.append((TERMINALS.get(names[number], "op"), start + signed, end))
    return found


def disagreements(text: str, words: list[Word], colours: list[Scopes]) -> list[str]:
    """Tokens with a character of another kind, and characters of tokens that have no scope."""
    found = []
    for kind, start, end in words:
        for at in range(start, end):
            if not any(scope.startswith(KINDS[kind]) for scope in colours[at]):
                found.append(f"{text[start:end]!r} at {start} is {kind}, not {colours[at]}")
                break
    return found


def agree(grammar: str, text: str) -> list[str]:
    words = dialect_words(text) if grammar == "netc" else plain_words(text)
    return disagreements(text, words, GRAMMARS[grammar].colour(text))


def scope(grammar: str, text: str, word: str) -> Scopes:
    """The scopes of the first place where a word stands in a text."""
    return GRAMMARS[grammar].colour(text)[text.index(word)]


NETS = sorted(prototxt_dir().rglob("*.netc"))
PLAIN = sorted(prototxt_dir().rglob("*.prototxt"))


@pytest.mark.parametrize("path", [*NETS, *PLAIN], ids=lambda p: p.name)
def test_the_dialects_files_are_covered(path: Path) -> None:
    assert agree("netc", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", PLAIN, ids=lambda p: p.name)
def test_plain_files_are_covered(path: Path) -> None:
    assert agree("prototxt", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["lenet", "vgg16", "fcn"])
def test_expanded_nets_are_covered_by_both(name: str) -> None:
    text = plain_text(to_document(read_net(prototxt_dir() / f"{name}.netc").message))
    assert agree("prototxt", text) == [] and agree("netc", text) == []


def test_the_manuals_examples_are_covered() -> None:
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    manual = text[: text.index("## Grammar")].splitlines()
    examples = [line[4:] for line in manual if line.startswith("    ")]
    assert len(examples) > 50
    assert agree("netc", "\n".join(examples)) == []


def test_comments_are_comments() -> None:
    for grammar in GRAMMARS:
        text = 'a: 1 # "b" -> ${c}\nd: "# no comment"\n'
        assert scope(grammar, text, "# ") == (f"comment.line.number-sign.{grammar}",)
        assert scope(grammar, text, "c}") == (f"comment.line.number-sign.{grammar}",)
        assert "comment" not in scope(grammar, text, "no")[0]


# Words


def manual_keywords() -> set[str]:
    """The words in quotes in the grammar of docs/language.md."""
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    return set(re.findall(r'"([a-z]+)"', text[text.index("## Grammar") :]))


IN_USE = {
    "param": "param n: int", "let": "let n = 1", "module": "module m: x -> y {",
    "input": "input data: [1]", "expect": "expect data: [1]", "include": 'include "a.netc"',
    "phase": "phase TRAIN {", "repeat": "repeat 3 {", "for": "[x for x in y]", "if": "if a {",
    "else": "} else {", "as": '-> relu as "x"', "in": "x = [a in b]", "and": "x = (a and b)",
    "or": "x = (a or b)", "not": "x = (not b)", "true": "x = true", "false": "x = false",
}  # fmt: skip


def test_every_keyword_is_known() -> None:
    assert manual_keywords() | _WORDS == set(IN_USE)


@pytest.mark.parametrize("word", IN_USE)
def test_keywords(word: str) -> None:
    (name, *_) = scope("netc", IN_USE[word], word)
    assert name.startswith(("keyword.", "constant.language."))


@pytest.mark.parametrize("word", sorted(IN_USE))
def test_keywords_are_names_of_fields_too(word: str) -> None:
    assert scope("netc", f"layer {{ {word}: 1 }}", word) == ("variable.other.property.netc",)


def test_every_short_form_function_and_type_is_known() -> None:
    for short in SHORTS:
        assert scope("netc", f"x -> {short}", short) == ("support.function.layer.netc",)
        assert scope("netc", f"x -> {short}(3)", short) == ("support.function.layer.netc",)
    for function in FUNCTIONS:
        assert scope("netc", f"x = {function}(3)", function)[0].startswith("support.function.")
    for type in TYPES:
        assert scope("netc", f"param n: {type} = 1", type) == ("storage.type.netc",)
        assert scope("netc", f"module m(n: [{type}]): x -> y {{", type) == ("storage.type.netc",)


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("data -> conv_relu(64)", "conv_relu", "entity.name.function.netc"),
        ("data -> Pooling(pool: AVE)", "Pooling", "support.class.layer.netc"),
        ("data -> Pooling(pool: AVE)", "AVE", "constant.other.enum.netc"),
        ("module inception(n1: int): x -> y {", "inception", "entity.name.function.netc"),
        ("module inception(n1: int): x -> y {", "y", "variable.other.netc"),
        ("param width: int in 8..=512 = 64", "width", "variable.parameter.netc"),
        ("param width: int in 8..=512 = 64", "..=", "keyword.operator.netc"),
        ('layer { name: "a" }', "layer", "variable.other.property.netc"),
        ("if deep { x -> relu }", "deep", "variable.other.netc"),
        ("prev -> relu", "prev", "variable.language.netc"),
    ],
)
def test_meanings(text: str, word: str, expected: str) -> None:
    assert scope("netc", text, word) == (expected,)


def test_expressions_within_strings() -> None:
    text = """name: "conv${'a' if i == 0 else i + 1}_$${x}\\n" """
    assert "keyword.control.netc" in scope("netc", text, "if")
    assert "constant.numeric.integer.netc" in scope("netc", text, "0")
    assert "string.quoted.single.netc" in scope("netc", text, "'a'")
    assert scope("netc", text, "_$${")[-1] == "string.quoted.double.netc"
    assert scope("netc", text, "$${")[-1] == "constant.character.escape.netc"
    assert scope("netc", text, "\\n")[-1] == "constant.character.escape.netc"


def test_a_string_ends_with_its_line() -> None:
    for grammar in GRAMMARS:
        assert "string" not in scope(grammar, 'a: "open\nb: 1\n', "b")[0]
    assert scope("netc", 'a: "open${x\nb: 1\n', "b") == ("variable.other.property.netc",)


def test_layer_types_of_plain_nets() -> None:
    text = "layer { type: 'ReLU' name: \"a\" include { phase: TEST } in_place: true x: -inf }"
    assert "support.class.prototxt" in scope("prototxt", text, "ReLU")
    assert scope("prototxt", text, "TEST") == ("constant.other.enum.prototxt",)
    assert scope("prototxt", text, "true") == ("constant.language.boolean.prototxt",)
    assert scope("prototxt", text, "inf") == ("constant.numeric.float.prototxt",)
    assert scope("prototxt", "n: ${WIDTH}", "WIDTH") == ("variable.other.placeholder.prototxt",)


PIECES = st.sampled_from([
    "param n = 1\n", "if a > b {", "}", "-> conv(3) as 'x'", "a: 1\n", "a { b: .5 }", "[1, 2]",
    '"a${b}c"', "# c\n", " ", "\n", "x = y ", "for", "..", "1..2", "1e5", "0x1F", "3f", "in(", ")",
])  # fmt: skip


@given(st.lists(PIECES, max_size=15).map("".join))
def test_words_in_any_order_are_of_the_lexers_kinds(text: str) -> None:
    if not any(token.kind == "bad" for token in scan(text)):
        assert agree("netc", text) == []


# The files themselves


def expressions(rule: Any) -> list[str]:
    """All expressions below a rule."""
    if isinstance(rule, list):
        return [e for item in rule for e in expressions(item)]
    if not isinstance(rule, dict):
        return []
    own = [v for k, v in rule.items() if k in ("match", "begin", "end") and isinstance(v, str)]
    return own + [e for value in rule.values() for e in expressions(value)]


@pytest.mark.parametrize("name", GRAMMARS)
def test_expressions_are_of_both_engines(name: str) -> None:
    for expression in expressions(GRAMMARS[name].root):
        compiled(expression)
        assert not re.search(r"\(\?P|\\A|\\Z|\\z|\(\?>|[*+?]\+|\\h|\[\[:", expression)


@pytest.mark.parametrize("name", GRAMMARS)
def test_the_package_names_the_grammars(name: str) -> None:
    package = json.loads((EDITOR / "package.json").read_text(encoding="utf-8"))["contributes"]
    (grammar,) = [g for g in package["grammars"] if g["language"] == name]
    (language,) = [g for g in package["languages"] if g["id"] == name]
    assert (EDITOR / grammar["path"]).is_file() and (EDITOR / language["configuration"]).is_file()
    root = GRAMMARS[name].root
    assert grammar["scopeName"] == root["scopeName"] == f"source.{name}"
    assert language["extensions"] == [f".{e}" for e in root["fileTypes"]]
