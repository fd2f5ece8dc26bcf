"""`netc time` beside `caffe time`: the same lines, layers and loss; what it measures adds up."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from netc.cli.main import main

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "train"
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]\d+)?")

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
        include { phase: TEST } }
"""


def lines(text: str) -> list[str]:
    """The lines of the benchmark without their heads."""
    found = [line.partition("] ")[2] for line in text.splitlines() if "caffe.cpp" in line]
    return found[found.index("Performing Forward") :]


def test_the_log_is_caffes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("h5py", exc_type=ImportError)
    for path in GOLDEN.glob("log_time*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    command = Path("log_time.cmd").read_text().split()
    assert command[:2] == ["caffe", "time"]
    given = dict(part.removeprefix("--").split("=") for part in command[2:])
    assert main(["time", given["model"], "--iterations", given["iterations"], "--log", "mine"]) == 0
    ours, theirs = lines(Path("mine").read_text()), lines(Path("log_time_time.log").read_text())
    assert [NUMBER.sub("#", line) for line in ours] == [NUMBER.sub("#", line) for line in theirs]
    assert ours[1] == theirs[1] == "Initial loss: 1.38629"
    assert ours[4] == theirs[4] == "Testing for 3 iterations."


def test_what_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    arguments = ["time", str(tmp_path / "net.prototxt"), "--iterations", "4", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["milliseconds"]) == 4
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert list(layers) == ["data", "ip", "drop", "loss"]
    assert layers["ip"]["forward"] > 0 and layers["ip"]["backward"] > 0
    assert layers["loss"]["backward"] > 0 and layers["data"]["forward"] == 0
    whole = sum(layer["forward"] + layer["backward"] for layer in layers.values())
    assert 0 < whole <= sum(found["milliseconds"]) / 4


def test_in_test_and_for_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    assert (
        main(["time", str(tmp_path / "net.prototxt"), "--iterations", "1", "--phase", "TEST"]) == 0
    )
    said = capsys.readouterr().out.splitlines()
    assert "ms a pass, forward and backward" in said[0]
    names = [line.split()[-1] for line in said[3:-1]]
    # Splits are Caffe's, for what two layers read.
    assert names == [
        "data",
        "label_data_1_split",
        "ip",
        "drop",
        "ip_drop_0_split",
        "loss",
        "accuracy",
    ]


def test_a_net_without_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = NET.partition('layer { name: "loss"')[0]
    (tmp_path / "net.prototxt").write_text(text)
    assert main(["time", str(tmp_path / "net.prototxt"), "--iterations", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loss"] == 0
    assert all(layer["backward"] == 0 for layer in found["layers"])
