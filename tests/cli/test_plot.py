"""`netc plot`: rows of logs, CSV and JSON, and their picture."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.cli.main import main
from netc.solver.plot import curves
from netc.solver.read_log import log_rows, read_rows

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "train"
LOGS = ("log_average", "log_basic", "log_iter_size", "log_resume")


def parsed(path: Path) -> list[dict[str, float]]:
    """What Caffe's parse_log.py made of a log."""
    with path.open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", LOGS)
def test_rows_are_those_of_parse_log(name: str) -> None:
    rows = read_rows(GOLDEN / f"{name}.log")
    for kind, wanted in (("train", f"{name}.log.train"), ("test 0", f"{name}.log.test")):
        mine = [row for row in rows if row["net"] == kind and "loss" in row]
        theirs = parsed(GOLDEN / wanted)
        assert [row["iteration"] for row in mine] == [int(row["NumIters"]) for row in theirs]
        for one, other in zip(mine, theirs, strict=True):
            scores = {k: v for k, v in other.items() if k not in ("NumIters", "Seconds")}
            scores.pop("LearningRate", None)  # of the row before, there
            assert {key: one[key] for key in scores} == scores


def test_rates_are_of_their_own_iteration() -> None:
    lines = [
        "I1128 23:59:59.5 1 solver.cpp:239] Iteration 0 (1 iter/s, 2s/5 iters), loss = 2",
        "I1128 23:59:59.5 1 solver.cpp:258]     Train net output #0: p = 1",
        "I1128 23:59:59.5 1 solver.cpp:258]     Train net output #1: p = 3e-05",
        "I1128 23:59:59.5 1 sgd_solver.cpp:112] Iteration 0, lr = 0.1",
        "I1129 00:00:01.0 1 solver.cpp:239] Iteration 5, loss = nan",
        "I1129 00:00:01.0 1 sgd_solver.cpp:112] Iteration 5, lr = 0.01",
    ]
    first, second = log_rows(lines)
    assert (first["rate"], first["p[0]"], first["p[1]"]) == (0.1, 1.0, 3e-05)
    assert (second["rate"], second["seconds"], second["iteration"]) == (0.01, 1.5, 5)


def test_csv_and_json_come_back_as_they_were(tmp_path: Path) -> None:
    from netc.solver.rows import EventRows

    rows: list[dict[str, Any]] = [
        {"net": "train", "iteration": 0, "loss": 2.5, "smoothed_loss": 2.5, "rate": 0.1},
        {"net": "test 0", "iteration": 5, "accuracy": 0.5},
    ]
    kept = EventRows(rows=rows)
    kept.write_csv(tmp_path / "run.csv")
    kept.write_json(tmp_path / "run.json")
    assert read_rows(tmp_path / "run.csv") == rows == read_rows(tmp_path / "run.json")


def test_curves() -> None:
    rows = [
        {"net": "train", "iteration": 0, "loss": 2.5, "smoothed_loss": 2.4, "rate": 0.1},
        {"net": "test 0", "iteration": 0, "loss": 2.6, "accuracy": 0.5},
        {"net": "train", "iteration": 9, "loss": 1.5, "smoothed_loss": 1.4, "rate": 0.1},
    ]
    found = {curve.name: curve for curve in curves({"a": rows})}
    assert list(found) == ["train smoothed_loss", "rate", "test 0 loss", "test 0 accuracy"]
    assert found["train smoothed_loss"].values == [2.4, 1.4]
    assert found["test 0 accuracy"].panel == "score"
    assert {curve.name for curve in curves({"a": rows, "b": rows[1:2]})} >= {"b: test 0 loss"}


def test_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "run.svg"
    logs = [str(GOLDEN / f"{name}.log") for name in LOGS[:2]]
    assert main(["plot", *logs, "-o", str(target)]) == 0
    assert capsys.readouterr().out == f"wrote {target}\n"
    text = target.read_text()
    assert "test 0 accuracy" in text and "learning rate" in text
    assert main(["plot", *logs, "-o", str(target)]) == 0
    assert target.read_text() == text, "the same picture of the same runs"
    assert main(["plot", logs[0], "-o", str(tmp_path / "run.txt")]) == 1
    assert "error[image-format]" in capsys.readouterr().err


def test_rows_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(GOLDEN / "log_basic.log")
    assert main(["plot", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["run"] == path


def test_what_is_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a.log", "hello\n"), ("b.json", "{]"), ("c.csv", "net\ntrain\n")):
        (tmp_path / name).write_text(text)
        assert main(["plot", str(tmp_path / name)]) == 1
        assert "error[not-a-log]" in capsys.readouterr().err
    assert main(["plot", str(tmp_path / "absent.log")]) == 1
    assert "error[missing-file]: there is no file" in capsys.readouterr().err


def test_what_netc_train_prints_is_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `netc train solver.prototxt > run.log` leaves it."""
    pytest.importorskip("h5py", reason="the data are in HDF5")
    import h5py

    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"], file["label"] = np.eye(4, dtype="f4"), np.arange(4, dtype="f4")
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'rows.h5'}\n")
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "HDF5Data" top: "data" top: "label"\n'
        f'  hdf5_data_param {{ source: "{tmp_path / "list.txt"}" batch_size: 4 }} }}\n'
        'layer { name: "f" type: "InnerProduct" bottom: "data" top: "f"\n'
        "  inner_product_param { num_output: 4 } }\n"
        'layer { name: "accuracy" type: "Accuracy" bottom: "f" bottom: "label" top: "accuracy"\n'
        "  include { phase: TEST } }\n"
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }\n'
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path / "net.prototxt"}" base_lr: 0.5 lr_policy: "fixed" max_iter: 4\n'
        f"display: 2 test_iter: 1 test_interval: 2 snapshot_after_train: false\n"
    )
    assert main(["train", str(tmp_path / "solver.prototxt")]) == 0
    (tmp_path / "run.log").write_text(capsys.readouterr().out)
    assert main(["plot", str(tmp_path / "run.log"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    train = [row for row in rows if row["net"] == "train"]
    tests = [row for row in rows if row["net"] == "test 0"]
    assert [row["iteration"] for row in train] == [0, 2]
    assert train[0]["smoothed_loss"] == pytest.approx(np.log(4), rel=1e-4)
    assert [row["rate"] for row in train] == [0.5, 0.5]
    assert [row["iteration"] for row in tests] == [0, 2, 4]
    assert tests[-1]["accuracy"] == 1 and tests[-1]["loss"] < tests[0]["loss"]


def test_matplotlib_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    path = str(GOLDEN / "log_basic.log")
    assert main(["plot", path, "-o", str(tmp_path / "run.svg")]) == 1
    assert "pip install 'netc[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize("piece", [
    "Iteration 1 (", "Train net output #1: ", "iteration 1 test 0: ", "iteration 1   loss ", "1",
    "Iteration 1, loss = ", "a 1 ", "(", "x", "Test net output #0: x = ", "I0101 ",
])  # fmt: skip
@pytest.mark.parametrize("start", ["", "iteration 1 test 0: a ", "iteration 1 loss ", "Iteration "])
def test_long_lines_take_no_long_time(start: str, piece: str) -> None:
    log_rows([start + piece * (300_000 // len(piece)) + "!"])


def test_outputs_of_many_elements() -> None:
    lines = ["Iteration 1, loss = 1", *["Train net output #0: p = 2"] * 20_000]
    (row,) = log_rows(lines)
    assert row["p[0]"] == row["p[19999]"] == 2.0 and "p" not in row


def test_a_matplotlibrc_of_the_current_folder_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could name LaTeX, a program, and modules to import."""
    pytest.importorskip("matplotlib")
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nbackend: module://evil\n\xff")
    (tmp_path / "evil.py").write_text("open('RAN', 'w')")
    (tmp_path / "latex").write_text("#!/bin/sh\ntouch RAN\n")
    (tmp_path / "latex").chmod(0o755)
    shutil.copy(GOLDEN / "log_basic.log", tmp_path / "run.log")
    script = tmp_path / "netc-script.py"
    start = f"import sys; sys.path[:] = [{str(ROOT)!r}, *sys.path[1:]]"
    script.write_text(f"{start}; from netc.__main__ import main; sys.exit(main())")
    done = subprocess.run(
        [sys.executable, str(script), "plot", "run.log"], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, "PATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run.svg").exists() and not (tmp_path / "RAN").exists()
