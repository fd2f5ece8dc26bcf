"""benchmarks/cuda_training.py and on_device.sh, as far as a machine without a GPU can tell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from argparse import Namespace
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cuda_training
from benchmarks.nets import ROOT
from tests.backends.cuda.emulated_training import emulated
from tests.backends.cuda.emulator.device import COMPILER

SCRIPT = ROOT / "benchmarks" / "on_device.sh"
NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 4 dim: 1 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
        inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
emulator = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


def arguments(folder: Path, **more: Any) -> Namespace:
    (folder / "tiny.prototxt").write_text(NET)
    given = {"nets": [str(folder / "tiny.prototxt")], "folder": None, "batch": 3, "peers": []}
    given |= {"seconds": 0.01, "limit": None, "json": folder / "out.json", "torch_device": "cpu"}
    return Namespace(**{**given, **more})


def rows(folder: Path, **more: Any) -> list[dict[str, Any]]:
    with emulated():
        return cuda_training.report(arguments(folder, **more), {"device": "emulator"}, lambda: None)


@emulator
def test_rows_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(tmp_path)
    assert row["net"] == "tiny" and row["batch"] == 3 and row["definitions"] == []
    assert row["milliseconds"]["netc"] > 0 and row["ratio"] is None and row["losses_agree"]
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["machine"] == {"device": "emulator"} and found["results"] == [row]
    assert "device=emulator" in capsys.readouterr().out


@emulator
def test_pytorch_has_the_same_first_loss(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (row,) = rows(tmp_path, peers=["eager", "channels_last"])
    assert row["cannot"] == {} and row["losses_agree"] and row["ratio"] > 0
    assert set(row["losses"]) == {"netc", "eager", "channels_last"}


@emulator
def test_a_peer_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (row,) = rows(tmp_path, peers=["eager"])
    assert row["cannot"] == {"eager": "PyTorch is not installed"}
    assert "PyTorch is not installed" in cuda_training.line(row, ["eager"])


@emulator
def test_losses_that_differ_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_training, "_torch_run", lambda *a: lambda: 99.0)
    with pytest.raises(SystemExit, match="first losses differ"):
        rows(tmp_path, peers=["eager"])
    (row,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert "DIFFER" in cuda_training.line(row, ["eager"])


@emulator
def test_no_row_begins_when_the_time_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(tmp_path, limit=1e-9) == []
    assert "tiny.prototxt: not begun, 1e-09 s are over" in capsys.readouterr().out


def test_all_stages_together_take_nine_minutes_at_most() -> None:
    text = SCRIPT.read_text()
    seconds = [int(n) for n in re.findall(r"^ *(?:stage|tests) \w+ (\d+) ", text, flags=re.M)]
    assert len(seconds) == 7 and sum(seconds) <= 540
    order = re.findall(r"^ *(?:stage|tests) (\w+) \d+ ", text, flags=re.M)
    assert order[1:3] == ["gradients", "training"]


@pytest.mark.skipif(util.find_spec("cupy") is not None, reason="where CuPy is there may be a GPU")
def test_without_a_device_the_script_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "OUT": str(tmp_path), "PYTHON": sys.executable}
    done = subprocess.run(["bash", str(SCRIPT)], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 2, done.stderr


def test_what_the_stages_run_is_there() -> None:
    """Every file that the script names exists, and the benchmark takes the options it is given."""
    text = SCRIPT.read_text()
    named = re.findall(r"(?:tests|benchmarks|prototxt)/[\w/.]+", text)
    assert all((ROOT / name).exists() for name in named), named
    program = [sys.executable, str(ROOT / "benchmarks" / "cuda_training.py"), "--help"]
    told = subprocess.run(program, capture_output=True, text=True, timeout=120).stdout
    stage = text[text.index("stage cuda_training") :].partition("\ncat")[0]
    assert set(re.findall(r"--\w+", stage)) <= set(re.findall(r"--\w+", told))
