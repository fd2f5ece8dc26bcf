"""`netc test` beside `caffe test`: the same lines, words and digits."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "train"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("h5py")
    for path in GOLDEN.glob("log_test_*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(text: str) -> list[str]:
    """The lines of caffe.cpp from the first pass on, without their stamps."""
    found = re.findall(r"^I\d{4} [\d:.]+ +\d+ caffe\.cpp:\d+\] (.*)$", text, re.MULTILINE)
    return [line for line in found if not line.startswith("Use ")]


COMMAND = ["test", "log_test_train.prototxt", "--weights=log_test_init.caffemodel"]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_log_is_caffes(folder: Path, backend: str) -> None:
    argv = [*COMMAND, "--iterations=3", "--log", "mine.log", "--backend", backend]
    assert main(argv) == 0
    mine = told((folder / "mine.log").read_text())
    caffes = told((GOLDEN / "log_test_test.log").read_text())
    number = re.compile(r"\d+\.\d+(?:e-?\d+)?")
    assert [number.sub("x", line) for line in mine] == [number.sub("x", line) for line in caffes]
    for one, other in zip(mine, caffes, strict=True):
        values = [float(text) for text in number.findall(one)]
        assert values == pytest.approx([float(t) for t in number.findall(other)], rel=2e-5)


def test_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--iterations=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "accuracy 0.25"
    assert re.fullmatch(r"loss 1\.6367\d*  \(\* 1 in the loss\)", lines[1])
    assert re.fullmatch(r"loss 1\.6367\d* in all, means over 3 batches", lines[2])
    assert main([*COMMAND, "--iterations=3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["means"]["accuracy"] == 0.25 and found["iterations"] == 3


def test_a_net_that_nothing_feeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"\n'
        "        inner_product_param { num_output: 2 } }\n"
    )
    weights = str(GOLDEN / "log_test_init.caffemodel")
    assert main(["test", str(net), "-w", weights]) == 1
    assert "error[no-data]" in capsys.readouterr().err


def test_weights_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "net.prototxt"]) == 2
    assert "--weights" in capsys.readouterr().err


LOSSES = """
layer { name: "in" type: "DummyData" top: "x" top: "label"
        dummy_data_param { shape { dim: 4 dim: 2 } shape { dim: 4 }
                           data_filler { value: 1 } data_filler { value: 0 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
        inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" LOSS }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
"""


@pytest.mark.parametrize(
    ("loss", "shown"),
    [
        ("", ["accuracy"]),
        ('top: "loss"', ["accuracy", "loss"]),
        ('top: "loss" } layer { name: "silence" type: "Silence" bottom: "loss"', ["accuracy"]),
    ],
    ids=["no top", "an output", "a top that is read"],
)
def test_a_loss_counts_whether_it_is_an_output_or_not(
    loss: str, shown: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "w.npz", **{"ip/0": np.zeros((10, 2), "f4"), "ip/1": np.zeros(10, "f4")})
    net = tmp_path / "net.prototxt"
    net.write_text(LOSSES.replace("LOSS", loss))
    argv = ["test", str(net), "-w", str(tmp_path / "w.npz"), "--iterations=2", "--json"]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loss"] == pytest.approx(2.302585)
    assert sorted(found["means"]) == shown
