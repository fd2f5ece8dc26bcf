from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from netc.ops.catalog import LAYERS
from netc.report.dot import COLOURS, Style, dot
from netc.report.families import FAMILIES, detail, family
from tests.analysis.profiles import conv, data, layer, profile_of
from tests.analysis.test_profile import UNKNOWN

BLOCK = (
    data(2, 3, 8, 8)
    + conv("a/x", "data", 4, 3, "stride: 2")
    + layer("a/relu", "ReLU", "a/x", top="a/x")
    + conv("a/y", "data", 4, 3, "stride: 2")
    + layer("a/sum", "Eltwise", "a/x a/y")
)


def boxes(text: str) -> list[str]:
    """The names in the boxes."""
    return re.findall(r"\[label=<<b>(.*?)</b>", text)


def edges(text: str) -> list[tuple[str, str, str]]:
    return re.findall(r'(n\d+) -> (n\d+)(?: \[label=" (.*?)"\])?', text)


def test_chains_are_boxes_modules_are_frames_shapes_are_on_edges() -> None:
    text = dot(profile_of(BLOCK))
    assert boxes(text) == ["data", "x", "y", "sum"]
    assert 'subgraph "cluster_a" {' in text and 'label="a"' in text
    assert 'Convolution 4, 3x3/2 p1</font><br/><font point-size="9">ReLU</font>' in text
    assert edges(text) == [
        ("n0", "n1", "3x8x8"),
        ("n0", "n2", "3x8x8"),
        ("n1", "n3", "4x4x4"),
        ("n2", "n3", "4x4x4"),
    ]


def test_styles() -> None:
    text = dot(profile_of(BLOCK), Style("LR", fold=False, modules=False, shapes=False))
    assert boxes(text) == ["data", "a/x", "a/relu", "a/y", "a/sum"]
    assert "rankdir=LR" in text and "cluster" not in text
    assert {label for _, _, label in edges(text)} == {""}


def test_unknown_layers_are_drawn_as_such() -> None:
    text = dot(profile_of(UNKNOWN))
    assert re.search(r"<b>odd</b>.*Mystery.*dashed", text)
    assert ("n1", "n2", "4x8x8") in edges(text) and ("n2", "n3", "?") in edges(text)


def test_every_layer_type_has_a_family_with_a_colour() -> None:
    assert set(COLOURS) == set(FAMILIES)
    profile = profile_of(BLOCK)
    assert [family(item) for item in profile.layers] == [
        "data", "convolution", "activation", "convolution", "joining",
    ]  # fmt: skip
    assert [family(item) for item in profile_of(UNKNOWN).layers][2] == "unknown"
    assert "Softmax" in LAYERS


@pytest.mark.parametrize(
    ("kind", "params", "told"),
    [
        ("Convolution", "convolution_param { num_output: 6 kernel_h: 1 kernel_w: 3 group: 3 }",
         "6, 1x3, 3 groups"),
        ("Convolution", "convolution_param { num_output: 6 kernel_size: 3 dilation: 2 }",
         "6, 3x3 d2"),
        ("Pooling", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }", "AVE, 2x2/2"),
        ("Pooling", "pooling_param { pool: AVE global_pooling: true }", "global AVE"),
        ("InnerProduct", "inner_product_param { num_output: 7 }", "7"),
        ("Dropout", "dropout_param { dropout_ratio: 0.4 }", "0.4"),
        ("Eltwise", "eltwise_param { operation: MAX }", "MAX"),
        ("ReLU", "", ""),
    ],
)  # fmt: skip
def test_what_a_layer_is_in_a_few_words(kind: str, params: str, told: str) -> None:
    bottoms = "data data" if kind == "Eltwise" else "data"
    profile = profile_of(data(1, 3, 8, 8) + layer("x", kind, bottoms, params))
    assert detail(profile, profile.layers[1]) == told


EVIL = r"x\"]; evil [label=\"<script>alert(1)</script>&\\N\n"


def drawn(text: str) -> ElementTree.Element:
    """The picture by Graphviz."""
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=True)
    assert done.stderr == b""
    return ElementTree.fromstring(done.stdout)


def count(picture: ElementTree.Element, kind: str) -> int:
    return len([g for g in picture.iter() if g.get("class") == kind])


def test_names_do_not_steer_graphviz() -> None:
    text = dot(profile_of(f'name: "{EVIL}"' + data(1, 3, 8, 8) + conv(EVIL, "data", 4, 3)))
    picture = drawn(text)
    assert count(picture, "node") == 2 and count(picture, "edge") == 1
    assert not [e for e in picture.iter() if e.tag.endswith("script")]


def test_graphviz_takes_public_nets(nets: Path) -> None:
    profile = profile_of(nets / "googlenet.prototxt")
    text = dot(profile)
    picture = drawn(text)
    # 8 boxes in each of 9 inceptions, 13 besides; 11 edges to and in each, 12 besides
    assert count(picture, "node") == len(boxes(text)) == 9 * 8 + 13
    assert count(picture, "cluster") == 11
    assert count(picture, "edge") == 9 * 11 + 12
