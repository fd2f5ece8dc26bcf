"""A text is read as what it is: plain prototxt, or one of the dialect."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.diagnostics import NetcError, Source
from netc.language.read import read_document
from netc.syntax.printer import print_document
from tests.language.texts import schema

PLAIN = 'name: "net"\nlayer { name: "r" type: "ReLU" bottom: "data" top: "r" }\n'


def read(text: str, define: dict[str, object] | None = None, folder: Path | None = None) -> str:
    return print_document(read_document(Source("t", text), schema(), define, folder))


def test_a_plain_text_comes_back() -> None:
    assert read(read(PLAIN)) == read(PLAIN)


def test_a_placeholder_of_a_plain_text_is_filled_with_text() -> None:
    assert 'name: "net7"' in read(PLAIN.replace("net", "net$N"), {"N": 7})


def test_a_text_of_the_dialect_is_expanded_with_values() -> None:
    text = "param n = 1\ninput data: [1, n]\n-> fc(n)\n"
    assert "num_output: 5" in read(text, {"n": 5})


def test_an_include_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "m.netc").write_text("module m(): x -> y { y = x -> relu }\n")
    text = 'include "m.netc"\ninput data: [1, 2]\ndata -> m\n'
    assert "ReLU" in read(text, folder=tmp_path)
    with pytest.raises(NetcError):
        read(text)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("layer { nam: }\n", 1, 9), ("input data: [1, 2]\n-> conv(4, , 3)\n", 2, 12)],
)
def test_faults_of_both_have_a_place(text: str, line: int, column: int) -> None:
    with pytest.raises(NetcError) as caught:
        read(text)
    span = caught.value.diagnostics[0].span
    assert span is not None and (span.line, span.column) == (line, column)
