"""Words of other languages and frameworks are told by what they are called here."""

from __future__ import annotations

import pytest

from netc.language.hints import LAYERS, SIGNS, WORDS
from netc.language.shorts import SHORTS
from tests.language.texts import INPUT, fault, layers


@pytest.mark.parametrize("word", sorted(WORDS))
def test_a_word_that_starts_no_statement_has_its_hint(word: str) -> None:
    found = fault(f"{INPUT}{word} a b\n-> relu")
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == ("syntax", 2, 1)
    assert found.help == (WORDS[word],)


@pytest.mark.parametrize("name", sorted(set(LAYERS) - set(SHORTS)))
def test_a_layer_by_another_name_is_told_its_own(name: str) -> None:
    found = fault(f"{INPUT}-> {name}")
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == ("unknown-module", 2, 4)
    assert found.help == (f"did you mean `{LAYERS[name]}`?",)


@pytest.mark.parametrize("form", sorted(set(LAYERS.values())))
def test_what_is_meant_is_a_layer_here(form: str) -> None:
    head = "-> flatten\n" if form.startswith("fc") else ""
    needed = {"conv": "(1, 1)", "deconv": "(1, 2)", "fc": "(1)", "pool": "(2)", "avepool": "(2)"}
    second = {"loss": "[data, data] -> ", "concat": "[data, data] -> ", "add": "[data, data] -> "}
    text = f"{INPUT}{head}{second.get(form, '-> ')}{form}{needed.get(form, '')}"
    assert len(layers(text)) == 1 + bool(head)


@pytest.mark.parametrize("sign", ["&", "|", "?", "!"])
def test_a_sign_of_other_languages_has_its_hint(sign: str) -> None:
    assert SIGNS[sign] in fault(f"{INPUT}let a = 1 {sign} 2\n-> relu").help
