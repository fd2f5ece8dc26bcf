"""``netc collapse``: what it writes gives the old net back, and is much shorter."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.diagnostics import Source
from netc.language.collapse import collapse
from netc.language.collapse.collapse import Collapsed
from netc.language.collapse.equal import same_net
from netc.language.detect import in_dialect
from netc.language.format import format_text
from netc.syntax.ast import Document
from netc.syntax.parser import parse_document
from tests.language.texts import document, expanded, schema

# Public file, at least how many times shorter.
NETS = {
    "alexnet": 8, "googlenet": 20, "vgg16": 15, "squeezenet11": 20, "mobilenet": 20,
    "resnet50": 30, "resnet152": 50, "densenet121": 50, "inceptionv3": 20,
}  # fmt: skip


def collapsed(plain: Document) -> Collapsed:
    """What a net collapses to, which is checked to give it back."""
    found = collapse(plain, schema())
    source = Source("c.netc", found.text)
    again = document(found.text) if in_dialect(source) else parse_document(source)
    assert same_net(again, plain)
    return found


def parsed(text: str) -> Document:
    return parse_document(Source("old.prototxt", text))


@pytest.mark.parametrize("name", NETS)
def test_public_nets_shrink_and_come_back(nets: Path, name: str) -> None:
    text = (nets / f"{name}.prototxt").read_text()
    found = collapsed(parsed(text))
    assert len(text.splitlines()) >= NETS[name] * len(found.text.splitlines())
    assert found.text == collapse(parsed(text), schema()).text


def test_googlenets_blocks_become_one_module_with_scopes(nets: Path) -> None:
    found = collapsed(parsed((nets / "googlenet.prototxt").read_text()))
    assert "module inception(" in found.text
    assert found.text.count('as "inception_') == 9


CHAIN = """
input data: [1, 3, 8, 8]
repeat i in 1..=6 { -> conv(8, 3, pad: 1) as "conv${i}" -> relu as "relu${i}" }
-> fc(10) as "scores"
"""


def test_layers_that_count_become_a_loop() -> None:
    found = collapsed(parsed(expanded(CHAIN)))
    assert found.modules == 1
    assert "repeat i in 1..=6 {" in found.text


def test_text_that_is_collapsed_is_formatted() -> None:
    text = collapsed(parsed(expanded(CHAIN))).text
    assert format_text(Source("c.netc", text)) == text


@pytest.mark.parametrize(
    "written",
    [
        "input data: [1, 3, 8, 8]",
        'input "a/b": [4]',
        "input data: [1, 3, 8, 8] { mean: [104, 117, 123] scale: 0.5 }",
        "input data: [1, 3, 8, 8] { mean: 7 }",
        "input data: [1, 3, 8, 8]\ninput label: [1]",
    ],
)
def test_input_layers_become_inputs(written: str) -> None:
    text = collapsed(parsed(expanded(written + "\n-> relu"))).text
    assert written in text and "Input(" not in text


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "input_param { }",
        "input_param { shape { dim: 1 } shape { dim: 2 } }",
        "input_param { shape { dim: -1 } }",
        'input_param { shape { dim: 1 } } transform_param { mean_file: "m" }',
        "input_param { shape { dim: 1 } } transform_param { }",
        "input_param { shape { dim: 1 } } transform_param { scale: 1 scale: 2 }",
        'input_param { shape { dim: 1 } } top: "b"',
        "input_param { shape { dim: 1 } } include { phase: TEST }",
    ],
)
def test_input_layers_that_no_statement_can_say(inner: str) -> None:
    layer = f'layer {{ name: "a" type: "Input" top: "a" {inner} }}'
    assert "input a" not in collapsed(parsed(layer + expanded(CHAIN))).text


def test_a_net_in_which_nothing_repeats_is_written_shortly() -> None:
    plain = parsed(expanded('input data: [1, 3, 8, 8]\n-> conv(4) as "c" -> softmax as "p"'))
    found = collapsed(plain)
    assert found.modules == 0
    assert '-> conv(4) as "c" -> softmax as "p"' in found.text


@pytest.mark.parametrize(
    "layers",
    [
        # old formats, and layers that no chain can make
        'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2 }',
        'layers { layer { name: "c" type: "conv" kernelsize: 3 } bottom: "data" top: "c" }',
        'layer { type: "ReLU" bottom: "data" top: "data" }',
        'layer { name: "a" type: "lower" bottom: "data" top: "a" }',
        'layer { name: "a" type: "ReLU" unheard_of { x: 1 } }',
        # two of one name, as Caffe allows
        'layer { name: "d" type: "Data" top: "d" include { phase: TRAIN } } '
        'layer { name: "d" type: "Data" top: "d" include { phase: TEST } }',
        'layer { name: "d" type: "ReLU" bottom: "a" top: "b" } '
        'layer { name: "d" type: "ReLU" bottom: "b" top: "c" }',
        # tops and bottoms of every kind
        'layer { name: "a" type: "Slice" bottom: "data" top: "a1" top: "a2" }',
        'layer { name: "a" type: "Silence" bottom: "data" bottom: "data" }',
        'layer { name: "a" type: "ReLU" bottom: "never" top: "b" }',
        'layer { name: "a" type: "LRN" bottom: "data" top: "data" }',
        'layer { name: "a" type: "ReLU" bottom: "data" top: "x" } '
        'layer { name: "x" type: "ReLU" bottom: "x" top: "y" }',
        # values of every kind
        'layer { name: "a$" type: "Power" bottom: "data" top: "a$" power_param { scale: 1e-5 } }',
        'layer { name: "a${b}" type: "Power" bottom: "data" top: "p" power_param { scale: inf } }',
        'layer { name: "q\\"\\\\\\377" type: "ReLU" bottom: "data" top: "data" }',
        'layer { name: "p" type: "Pooling" top: "p" pooling_param { pool: 1 kernel_size: 0x3 } }',
        'layer { name: "p" type: "Pooling" top: "p" pooling_param { pool: MAX kernel_size: 2 } }',
        'layer { name: "c" type: "Convolution" top: "c" convolution_param { bias_term: True } }',
        'layer { name: "c" type: "Convolution" top: "c" convolution_param { pad: [3, 1] } }',
        'layer { name: "r" type: "ReLU" bottom: "data" top: "r" relu_param { } }',
        'layer { name: "r" type: "ReLU" bottom: "data" top: "r" loss_weight: [1, 0] }',
        'layer { name: "r" type: "ReLU" bottom: "data" top: "r" param { name: "w" } param { } }',
    ],
)
def test_what_is_odd_comes_back_as_it_was(layers: str) -> None:
    collapsed(parsed('name: "odd ${n}"\ninput: "data"\n' + layers))
    collapsed(parsed('input: "data"\n' + layers.replace("\n", " ") + " " + expanded(CHAIN)))


def test_nets_of_the_corpus_come_back(corpus: Path) -> None:
    files = sorted((corpus / "files").rglob("*.prototxt"))[::40]
    tried = 0
    for path in files:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if len(text) > 60_000:
            continue
        try:
            plain = parsed(text)
        except Exception:  # what is no plain net is not collapsed
            continue
        collapsed(plain)
        tried += 1
    assert tried > 5
