"""When two plain texts are the same net."""

from __future__ import annotations

import pytest

from netc.diagnostics import Source
from netc.language.collapse.equal import same_net
from netc.syntax.ast import Document
from netc.syntax.parser import parse_document


def document(text: str) -> Document:
    return parse_document(Source("net", text))


LAYER = 'layer { name: "a" type: "ReLU" bottom: "x" bottom: "y" }'
OTHER = 'layer { name: "b" type: "TanH" }'

SAME = {
    "spelling of numbers": ("a: 16 b: 0.5", "a: 0x10 b: 5e-1"),
    "a whole float": ("a: 1", "a: 1.0"),
    "order of fields of other names": (
        LAYER,
        'layer { bottom: "x" type: "ReLU" bottom: "y" name: "a" }',
    ),
    "a list": ("dim: 1 dim: 2", "dim: [1, 2]"),
    "quotes": ('name: "n"', "name: 'n'"),
    "fields of the net among layers": (f'name: "n" {LAYER}', f'{LAYER} name: "n"'),
    "not a number": ("a: nan", "a: nan"),
}

DIFFERENT = {
    "order of layers": (LAYER + OTHER, OTHER + LAYER),
    "order of repeated values": ("dim: 1 dim: 2", "dim: 2 dim: 1"),
    "one value more": ("dim: 1", "dim: 1 dim: 1"),
    "a string and a word": ('pool: "MAX"', "pool: MAX"),
    "a number": ("a: 1", "a: 2"),
    "a layer's field": (LAYER, LAYER.replace("ReLU", "TanH")),
}


@pytest.mark.parametrize("left, right", SAME.values(), ids=SAME)
def test_the_same_net(left: str, right: str) -> None:
    assert same_net(document(left), document(right))


@pytest.mark.parametrize("left, right", DIFFERENT.values(), ids=DIFFERENT)
def test_another_net(left: str, right: str) -> None:
    assert not same_net(document(left), document(right))


def test_empty_texts_are_the_same_net() -> None:
    assert same_net(document(""), document("# only a comment"))
    assert not same_net(document(""), document(LAYER))
