"""What the page adds to a net's graph: all attributes, labels apart from each other, paper."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from netc.cli.main import main
from netc.diagnostics import Source
from netc.frontend import build, read_net
from netc.report.page import attributes, page_data
from tests.analysis.profiles import profile_of
from tests.report.chromium import chromium, dom

NET = """name: "wide" input: "data" input_shape { dim: [4, 3, 16, 16] }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "slice" type: "Slice" bottom: "conv" top: "s0" top: "s1" top: "s2" top: "s3" }
layer { name: "sum" type: "Eltwise" bottom: "s0" bottom: "s1" bottom: "s2" bottom: "s3" top: "sum" }
"""


def messages() -> dict[str, list[list[str]]]:
    built = build(read_net(Source("wide", NET)).message)
    return {name: attributes(message) for name, message in built.messages.items()}


def test_all_attributes_and_fillers() -> None:
    assert messages()["conv"] == [
        ["", "param", "{ lr_mult: 1.0 decay_mult: 0.0 }"],
        ["convolution_param", "num_output", "8"],
        ["convolution_param", "kernel_size", "3"],
        ["convolution_param", "weight_filler", '{ type: "gaussian" std: 0.01 }'],
    ]


def test_long_values_are_cut_and_nothing_steers() -> None:
    assert page_data(profile_of(NET), "x")["layers"][1]["attributes"] == []
    text = NET.replace(
        'top: "sum"', 'top: "sum" python_param { param_str: "\\033[31m' + "x" * 900 + '" }'
    )
    built = build(read_net(Source("wide", text)).message)
    value = attributes(built.messages["sum"])[-1][2]
    assert len(value) == 400 and "\x1b" not in value


def page(folder: Path, capsys: object) -> str:
    (folder / "wide.prototxt").write_text(NET, encoding="utf-8")
    assert main(["view", str(folder / "wide.prototxt"), "-o", str(folder / "wide.html")]) == 0
    return (folder / "wide.html").read_text(encoding="utf-8")


def test_details_tell_images_and_batches_apart(tmp_path: Path, capsys: object) -> None:
    found = dom(page(tmp_path, capsys), tmp_path, "select=conv")
    assert "an image, " in found and "for the batch of 4" in found
    assert "weight_filler" in found and "gaussian" in found and "lr_mult" in found
    assert "MACs and memory of the batch of 4 images" in found


def test_labels_do_not_lie_on_each_other(tmp_path: Path, capsys: object) -> None:
    found = dom(page(tmp_path, capsys), tmp_path)
    labels = re.findall(r'<text class="shape" x="([\d.]+)" y="([\d.]+)">([^<]*)</text>', found)
    assert len(labels) >= 3
    for at, (x, y, text) in enumerate(labels):
        for other_x, other_y, _ in labels[at + 1 :]:
            apart = abs(float(y) - float(other_y)) >= 10
            assert apart or abs(float(x) - float(other_x)) > 5 * len(text)


def test_paper_has_the_graph_and_the_table(tmp_path: Path, capsys: object) -> None:
    layers = "".join(
        f'layer {{ name: "r{i}" type: "Pooling" bottom: "{f"r{i - 1}" if i else "sum"}" '
        f'top: "r{i}" '
        "pooling_param { kernel_size: 1 } }\n"
        for i in range(60)
    )
    path = tmp_path / "long.prototxt"
    path.write_text(NET + layers, encoding="utf-8")
    target = tmp_path / "long.html"
    assert main(["view", str(path), "-o", str(target)]) == 0
    pdf = tmp_path / "long.pdf"
    chromium(f"--print-to-pdf={pdf}", page=target, fragment="", profile=tmp_path / "profile")
    pages = re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())
    assert len(pages) >= 6  # four or more of the graph, two or more of the table


def test_data_is_json(tmp_path: Path, capsys: object) -> None:
    text = page(tmp_path, capsys)
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert data["layers"][1]["attributes"][0][1] == "param"


def test_the_source_is_looked_through_for_comments_no_more_often_than_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each value of a panel is a line of its own, and no comment of the text belongs to it."""
    from netc.syntax import printer

    looked: list[object] = []
    monkeypatch.setattr(printer, "comments_of", lambda source: looked.append(source) or [])
    rows = "".join(
        f'layer {{ name: "c{i}" type: "Convolution" bottom: "data" top: "c{i}" # told\n'
        "convolution_param { num_output: 2 kernel_size: 1 } }\n"
        for i in range(20)
    )
    head = 'name: "n" input: "data" input_shape { dim: [1, 2, 3, 3] }\n'
    built = build(read_net(Source("n", head + rows)).message)
    told = [attributes(message) for message in built.messages.values()]
    assert all(["convolution_param", "num_output", "2"] in rows for rows in told)
    assert len(looked) <= 1


def test_a_data_layer_that_netc_does_not_know() -> None:
    text = 'name: "n" layer { name: "d" type: "CoSData" top: "data" top: "label" }\n'
    boxes = page_data(profile_of(text), "n")["layers"]
    assert [box["family"] for box in boxes if box["type"] == "CoSData"] == ["data"]
