"""`netc summary --train`: what an iteration takes of memory, before it runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.ir.graph import Array
from netc.solver.solver import Solver
from tests.solver.small import BASE, NET


@pytest.fixture
def solver(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    path = tmp_path / "solver.prototxt"
    path.write_text(f'net: "net.prototxt" {BASE} type: "Adam" iter_size: 2')
    return path


def training(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, int]:
    assert main(["summary", "--train", "--json", *arguments]) == 0
    found: dict[str, int] = json.loads(capsys.readouterr().out)["training"]
    return found


def test_a_net(solver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = training(capsys, str(solver.with_name("net.prototxt")))
    parameters = 4 * (3 * 6 + 3)
    # data 4x6, labels 4, scores 4x3, the loss; the label is read once in TRAIN
    tops = 4 * (24 + 4 + 12 + 1)
    assert found["parameter_bytes"] == found["history_bytes"] == parameters
    assert found["sum_bytes"] == 0
    assert found["caffe_data_bytes"] == tops
    assert found["caffe_bytes"] == 2 * tops + 2 * parameters + parameters
    assert found["planned_bytes"] >= found["planned_floor_bytes"] > 0
    assert found["total_bytes"] == found["planned_bytes"] + 2 * parameters


def test_a_solver(solver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = training(capsys, str(solver))
    assert found["history_bytes"] == 2 * found["parameter_bytes"] == 2 * found["sum_bytes"]


def test_the_forecast_is_what_is_planned(solver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(solver.with_name("net.prototxt"))
    found = training(capsys, path)
    made = Solver(f'net: "{path}" {BASE} momentum: 0.9', feeds=_batch(), threads=1).report()
    assert made["programs"]["first"]["arena_bytes"] == found["planned_bytes"]
    for name in ("parameter_bytes", "history_bytes", "caffe_bytes"):
        assert made[name] == found[name]
    assert made["tests"] == [] and made["recomputed"] == []


def _batch() -> dict[str, Array]:
    return {"data": np.zeros((4, 6), np.float32), "label": np.zeros(4, np.float32)}


def test_lines(solver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "--train", str(solver)]) == 0
    out = capsys.readouterr().out
    assert "phase TRAIN" in out
    lines = out[out.index("memory of an iteration of training") :].splitlines()
    starts = [line[2:19].strip() for line in lines[1:8] if line[2:19].strip()]
    assert starts == [
        "planned by netc",
        "parameters",
        "history",
        "sums over passes",
        "in all",
        "Caffe",
    ]
    assert "it prints 164" in lines[7]
    assert max(map(len, lines)) <= 80


def test_a_net_that_cannot_be_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deploy.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: 1 dim: 2 } layer { name: "r" type: "ReLU" '
        'bottom: "x" top: "y" }'
    )
    assert main(["summary", "--train", str(path)]) == 1
    assert "no loss" in capsys.readouterr().err
