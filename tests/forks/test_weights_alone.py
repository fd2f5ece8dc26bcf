"""A caffemodel alone: summed up, drawn, and its text written out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.cli.main import main
from netc.frontend import build, read_net

MODEL = Path(__file__).resolve().parents[2] / "prototxt" / "digits" / "digits.caffemodel"


def test_its_text_is_that_of_its_net(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = tmp_path / "net.prototxt"
    assert main(["expand", str(MODEL), "-o", str(text)]) == 0
    capsys.readouterr()
    graph = build(read_net(text).message).graph
    assert [node.name for node in graph.nodes][:3] == ["conv1", "relu1", "pool1"]
    assert graph.values["conv1"].shape == (64, 16, 8, 8)


@pytest.mark.parametrize("command", ["check", "summary"])
def test_commands_take_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, str(MODEL), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    layers = told["files"][0]["layers"] if command == "check" else told["layers"]
    assert "conv2" in [layer["name"] for layer in layers]


def test_it_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "net.dot"
    assert main(["draw", str(MODEL), "-o", str(picture)]) == 0
    assert "conv2" in picture.read_text(encoding="utf-8")


def test_formatting_leaves_it_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "net.caffemodel"
    copy.write_bytes(MODEL.read_bytes())
    assert main(["fmt", str(copy)]) == 1
    assert copy.read_bytes() == MODEL.read_bytes()


def test_other_weights_are_still_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hdf5 = tmp_path / "net.caffemodel.h5"
    hdf5.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    assert main(["check", str(hdf5)]) == 1
    assert "swapped-arguments" in capsys.readouterr().err
