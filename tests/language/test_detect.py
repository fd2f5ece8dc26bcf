"""Old files stay old: only what prototxt cannot say makes a text one of the dialect."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.diagnostics import Source
from netc.language.collapse.equal import same_net
from netc.language.detect import in_dialect
from netc.syntax.parser import parse_document
from tests.language.texts import document

PLAIN = [
    'input: "data" input_dim: 1\nlayer { name: "a->b" type: "ReLU" include { phase: TEST } }',
    'layer { name: "repeat 3 { }" } # data -> conv(3)',
    'name: "param n = 3"\nlayer { param { name: "w" } }',
    "module { let: 1 } expect { if: 2 } repeat { for: 3 }",
    'layer { name: "${N}" convolution_param { num_output: ${N} } }',
    "input_shape <\n  dim: 1\n>",
    "",
]
DIALECT = [
    "data -> relu",
    "param n = 3",
    "param n: int",
    "repeat 3 { layer { } }",
    'include "a.netc"',
    "input data: [1, 3]",
    'layer { name: "a" convolution_param { num_output: ${2 * n} } }',
    "module m(): x -> y { }",
    "phase TRAIN { layer { } }",
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain(text: str) -> None:
    assert not in_dialect(Source("net.prototxt", text))
    assert not in_dialect(Source("net.netc", text))


@pytest.mark.parametrize("text", DIALECT)
def test_dialect(text: str) -> None:
    assert in_dialect(Source("net.prototxt", text))
    assert in_dialect(Source("net.netc", text))


def test_no_file_of_the_corpus_is_taken_for_the_dialect(corpus: Path) -> None:
    found = sorted((corpus / "files").rglob("*.prototxt"))
    assert len(found) > 100
    texts = ((p, p.read_text(encoding="utf-8", errors="surrogateescape")) for p in found)
    assert [path for path, text in texts if in_dialect(Source(path.name, text))] == []


def test_old_nets_mean_the_same_beside_a_construct(nets: Path) -> None:
    for path in sorted(nets.glob("*.prototxt")):
        text = path.read_text(encoding="utf-8")
        both = document(f"let unused = 1\nif unused == 2 {{ }}\nparam p = 3\n{text}")
        assert same_net(both, parse_document(Source(path.name, text)))
