"""Where a statement runs: what it sees, and where its faults stand."""

from __future__ import annotations

from netc.diagnostics import Source, Span
from netc.language.frame import Frame
from netc.language.values import BlobRef
from tests.language.texts import INPUT, names

SOURCE = Source("t.netc", "module m(): x -> y { }\ndata -> m\n")


def span(start: int, end: int) -> Span:
    return Span(SOURCE, start, end)


def test_a_module_sees_values_of_the_file_and_none_of_its_blobs() -> None:
    file = Frame(values={"n": 3, "data": BlobRef("data")})
    inner = file.inner("", span(23, 27))
    assert inner.find("n") == 3
    assert inner.find("data") is None
    assert file.find("data") == BlobRef("data")


def test_an_inner_value_hides_the_files() -> None:
    inner = Frame(values={"n": 3}).inner("", span(23, 27))
    inner.values["n"] = 4
    assert inner.find("n") == 4


def test_labels_nest_as_scopes_and_uses_without_one_do_not() -> None:
    file = Frame()
    outer = file.inner("a", span(23, 27))
    assert (file.scope, outer.scope) == ("", "a/")
    assert outer.inner("b", span(23, 27)).scope == "a/b/"
    assert outer.inner("", span(23, 27)).scope == "a/"


def test_a_fault_within_a_module_knows_the_use() -> None:
    inner = Frame().inner("", span(31, 32))
    (found,) = inner.error("expression", "no", span(0, 6)).diagnostics
    assert found.span is not None and found.span.used_at == span(31, 32)


def test_scopes_are_what_names_of_layers_begin_with() -> None:
    module = "module m(): x -> y { y = x -> relu }\n"
    assert names(f'{INPUT}{module}data -> m as "a" -> m as "b"') == ["a/relu1", "b/relu1"]
