"""The tree of a text: frozen, and every part of it knows its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from netc.diagnostics import Source, Span
from netc.language import tree
from netc.language.parser import parse_program

TEXT = """param n: int in 1..=9 = 3
module m(a = 1): x -> y { y = x -> conv(a, 3, pad: 1) -> relu }
input data: [1, 3, _, _] { scale: 0.5 }
let widths = [n * w for w in [1, 2] if w > 0]
repeat i, w in widths { data -> m(a: w) as "b${i + 1}" }
if n > 2 and not false { -> fc(-n) } else { -> fc(widths[0] if n == 1 else 2) }
phase TRAIN { layer { name: "l" loss_weight: ${0.5} top: ["a", "b"] } }
expect data: [1, 3, _, _]
"""


def parts(value: object) -> Iterator[object]:
    """A tree's parts, itself among them."""
    if isinstance(value, tuple) and not isinstance(value, Span):
        for item in value:
            yield from parts(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, Source):
        yield value
        for field in dataclasses.fields(value):
            yield from parts(getattr(value, field.name))


ALL = list(parts(parse_program(Source("t.netc", TEXT))))


def test_the_text_has_every_kind_of_part_but_includes() -> None:
    kinds = {
        found
        for found in vars(tree).values()
        if isinstance(found, type) and found.__module__ == tree.__name__
    }
    assert kinds - {type(part) for part in ALL} == {tree.Include}


@pytest.mark.parametrize("kind", sorted({type(part) for part in ALL}, key=lambda k: k.__name__))
def test_parts_are_frozen_and_lie_in_the_text(kind: type) -> None:
    for part in (part for part in ALL if type(part) is kind):
        span = getattr(part, "span", None)
        if span is not None:
            assert 0 <= span.start <= span.end <= len(TEXT)
            with pytest.raises(dataclasses.FrozenInstanceError):
                part.span = None  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["1 + 2 * 3", "-n", "not a", "a if b else c", "xs[0]", "[1, 2]"])
def test_the_whole_of_an_expression_is_all_of_its_text(text: str) -> None:
    (found,) = parse_program(Source("t.netc", f"let a = {text}\n")).statements
    assert isinstance(found, tree.Let)
    span = tree.whole(found.value)
    assert span.source.text[span.start : span.end] == text
