"""`netc run` on folders, patterns, lists and standard input; crops averaged; boxes told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netc.cli import answers
from netc.cli.main import main

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 6, 6] } }
        transform_param { scale: 0.01 } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgs").mkdir()
    for index in range(3):
        pixels = np.full((6, 6, 3), 40, np.uint8)
        pixels[:, :, 2 - index] = 240
        Image.fromarray(pixels).save(tmp_path / f"imgs/{index}.png")
    (tmp_path / "imgs/notes.md").write_text("no image", encoding="utf-8")
    (tmp_path / "net.prototxt").write_text(NET, encoding="utf-8")
    return "net.prototxt"


def ran(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main(["run", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def best(told: Any) -> list[int]:
    return [item[0]["index"] for item in told["outputs"]["prob"]["top"]]


@pytest.mark.parametrize("given", ["data=imgs", "imgs", "imgs/*.png", "data=imgs/[0-2].png"])
def test_folders_and_patterns(given: str, net: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = ran(capsys, net, "--input", given)
    assert best(told) == [0, 1, 2]
    assert told["items"] == [str(Path("imgs") / f"{i}.png") for i in range(3)]
    assert main(["run", net, "--input", given, "--top", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("prob of imgs/1.png:")


@pytest.mark.parametrize("text", ["imgs/2.png 7\n\nimgs/0.png 3\n", "imgs/2.png\nimgs/0.png"])
def test_lists(text: str, net: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    Path("list.txt").write_text(text, encoding="utf-8")
    assert best(ran(capsys, net, "--input", "data=list.txt")) == [2, 0]
    stdin = SimpleNamespace(buffer=io.BytesIO(text.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert best(ran(capsys, net, "--input", "-")) == [2, 0]


def test_an_image_from_standard_input(
    net: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(Path("imgs/1.png").read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    told = ran(capsys, net, "--input", "data=-")
    assert best(told) == [1] and told["items"] == ["<stdin>"]


def test_arrays_are_named_by_their_files(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.zeros((2, 3, 6, 6))
    x[1, 2] = 1
    np.save("x.npy", x)
    told = ran(capsys, net, "--input", "x.npy", "--input", "imgs/1.png")
    assert told["items"] == ["x.npy[0]", "x.npy[1]", "imgs/1.png"]
    assert best(told)[1:] == [2, 1]
    assert [d["code"] for d in told["diagnostics"]] == ["rounded-input"]


def test_many_files_are_run_in_batches(
    net: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ran(capsys, net, "--input", "imgs")
    monkeypatch.setattr(answers, "TOGETHER", 2)
    parts = ran(capsys, net, "--input", "imgs", "--save", "out.npz")
    assert parts["items"] == whole["items"]
    with np.load("out.npz") as saved:
        np.testing.assert_allclose(saved["prob"], whole["outputs"]["prob"]["values"], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("data=empty", "input-format"),
        ("data=imgs/*.jpg", "missing-file"),
        ("data=none.txt", "input-format"),
        ("label=imgs", "unknown-input"),
    ],
)
def test_mistakes(given: str, code: str, net: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["run", net, "--input", given]) == 1
    assert f"error[{code}]" in capsys.readouterr().err


def test_a_file_that_could_be_for_several_inputs(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = 'layer { name: "m" type: "Input" top: "m" input_param { shape { dim: [2, 3, 6, 6] } } }'
    Path("two.prototxt").write_text(
        more
        + NET.replace('bottom: "data"', 'bottom: "s"').replace(
            'layer { name: "pool"',
            'layer { name: "s" type: "Eltwise" bottom: "data" bottom: "m" top: "s" }'
            'layer { name: "pool"',
        ),
        encoding="utf-8",
    )
    assert main(["run", "two.prototxt", "--input", "imgs"]) == 1
    assert "error[ambiguous-input]: `imgs" in capsys.readouterr().err


def test_ten_crops_are_averaged(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for index in range(2):
        pixels = rng.integers(0, 255, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"r{index}.png")
    told = ran(capsys, net, "--input", "r?.png", "--crops", "ten", "--resize", "9,8")
    assert told["outputs"]["prob"]["shape"] == [2, 3, 1, 1]
    pixels = np.asarray(Image.open("r1.png"), np.float32).transpose(2, 0, 1)[::-1] * 0.01
    corners = [(0, 0), (0, 2), (3, 0), (3, 2), (1, 1)]
    means = [pixels[:, y : y + 6, x : x + 6].mean((1, 2)) for y, x in corners]
    powers = np.exp(np.stack(means))
    want = (powers / powers.sum(1, keepdims=True)).mean(0)
    got = np.reshape(told["outputs"]["prob"]["values"], (2, 3))[1]
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_a_turned_image_is_turned_and_that_is_said_once(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.zeros((6, 12, 3), np.uint8)
    pixels[:, :6] = (0, 0, 240)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels).save(name, exif=exif)
    Path("own.prototxt").write_text(NET.replace("[2, 3, 6, 6]", "[1, 3, 12, 6]"), encoding="utf-8")
    argv = ("own.prototxt", "--input", "?.png", "--output", "data", "--save", "out.npz")
    told = ran(capsys, *argv)
    assert [d["code"] for d in told["diagnostics"]] == ["turned-image"]
    with np.load("out.npz") as saved:
        want = np.rot90(pixels, -1).transpose(2, 0, 1)[::-1] * 0.01
        np.testing.assert_allclose(saved["data"][1], want, atol=1e-4)


SSD = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "loc" type: "Input" top: "loc" input_param { shape { dim: [1, 8] } } }
layer { name: "conf" type: "Input" top: "conf" input_param { shape { dim: [1, 6] } } }
layer { name: "prior" type: "Input" top: "prior" input_param { shape { dim: [1, 2, 8] } } }
layer { name: "quiet" type: "Silence" bottom: "data" }
layer { name: "det" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "det"
        detection_output_param { num_classes: 3 share_location: true background_label_id: 0
          nms_param { nms_threshold: 0.45 } code_type: CENTER_SIZE keep_top_k: 10
          confidence_threshold: 0.01 } }
"""


@pytest.fixture
def ssd(net: str) -> list[str]:
    Path("ssd.prototxt").write_text(SSD, encoding="utf-8")
    prior = np.float32([0.25, 0.5, 0.75, 1, 0, 0, 0.5, 0.25, *[0.1, 0.1, 0.2, 0.2] * 2])
    conf = np.float32([[0.1, 0.8, 0.1, 0.6, 0.1, 0.3]])
    np.savez("a.npz", loc=np.zeros((1, 8), "f4"), conf=conf, prior=prior.reshape(1, 2, 8))
    Image.new("RGB", (200, 100), "black").save("dark.png")
    return ["ssd.prototxt", "--input", "a.npz", "--input", "data=dark.png"]


def test_boxes_are_told_with_labels_in_pixels(
    ssd: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("map.prototxt").write_text(
        'item { name: "none" label: 0 display_name: "background" }'
        'item { name: "n1" label: 1 display_name: "cat" } item { name: "dog" label: 2 }',
        encoding="utf-8",
    )
    assert main(["run", *ssd, "--labels", "map.prototxt"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "det: 1 box"
    assert lines[1].split() == ["0.8000", "1", "cat", "50,50", "to", "150,100"]
    assert "of a score below 0.5" in lines[2]
    told = ran(capsys, *ssd, "--labels", "map.prototxt")["outputs"]["det"]["boxes"]
    assert told[0] == {"item": 0, "index": 1, "label": "cat", "score": pytest.approx(0.8),
                       "box": [50, 50, 150, 100]}  # fmt: skip


def test_boxes_are_drawn(ssd: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *ssd, "--draw", "out.png"]) == 0
    drawn = np.asarray(Image.open("out.png"))
    assert drawn.shape == (100, 200, 3)
    assert drawn[75, 50].any() and drawn[75, 150].any() and not drawn[75, 100].any()
    assert not np.asarray(Image.open("dark.png")).any()


def test_what_cannot_be_drawn(ssd: list[str], net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", net, "--input", "imgs", "--draw", "out"]) == 1
    assert main(["run", *ssd[:3], "--draw", "out.png"]) == 1
    assert capsys.readouterr().err.count("error[nothing-to-draw]") == 2


def test_names_of_inputs_and_files_may_hold_anything(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = NET.replace('"data"', '"im/data"')
    filled = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 } } }'
    Path("slash.prototxt").write_text(text + filled, encoding="utf-8")
    assert best(ran(capsys, "slash.prototxt", "--input", "im/data=imgs/1.png", "--output", "prob"))
    Path("a=b").mkdir()
    Path("imgs/2.png").rename("a=b/2.png")
    for given in ("a=b/2.png", "a=b", "im/data=a=b"):
        assert best(ran(capsys, "slash.prototxt", "--input", given, "--output", "prob")) == [2]
