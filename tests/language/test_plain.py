"""Expanded texts as prototxt that Caffe could read; what only netc knows is in comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.data import prototxt_dir
from netc.diagnostics import Source
from netc.language.plain import plain_text
from netc.language.read import read_document
from netc.schema.bind import bind
from netc.schema.load import load_schema
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source


def plain(source: Source, folder: Path | None = None) -> str:
    return plain_text(read_document(source, load_schema(), {}, folder))


@pytest.mark.parametrize("name", ["lenet", "resnet18", "googlenet", "vae"])
def test_a_bundled_net_is_prototxt_and_stays_so(name: str) -> None:
    path = prototxt_dir() / f"{name}.netc"
    text = plain(read_source(path), path.parent)
    document = parse_document(Source("plain", text))
    message = bind(document, load_schema().message("NetParameter"))
    assert len(message.get("layer")) > 3
    assert plain_text(document) == text


def test_prototxt_is_as_it_was() -> None:
    text = 'name: "a"\nlayer {\n  name: "b"\n  type: "ReLU"\n  bottom: "x"\n  top: "y"\n}\n'
    assert plain(Source("net", text)) == text


def test_what_caffe_has_no_fields_for_is_a_comment() -> None:
    text = """
    input data: [1, 3, 8, 8] { mean: [104, 117, 123] resize: 10 }
    y = data -> conv(4, 3)
    expect y: [1, 4, _, _]
    """
    found = plain(Source("net.netc", text))
    comments = [line for line in found.splitlines() if line.startswith("#")]
    assert any(line.startswith('# expect "conv1": [1, 4, _, _]') for line in comments)
    assert any("resize: 10" in line for line in comments)
    rest = "\n".join(line for line in found.splitlines() if not line.startswith("#"))
    assert "resize" not in rest
    assert "expect" not in rest
    assert "mean_value" in rest
