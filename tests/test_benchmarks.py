"""Programs in benchmarks/ run from any clone; nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from benchmarks import fork_nets, peers, training
from benchmarks.nets import BUNDLED, ROOT, find, plain
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source
from tests.cli.test_bench import DETECTION

# The others are parts of these, or need a GPU or PyTorch to be loaded.
PROGRAMS = (
    "bind", "corpus", "deployable", "digits", "forks", "kernels", "machine_code", "parse", "peers",
    "predict",
    "training",
    "training_data",
    "weights",
)  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_starts_in_any_folder(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    lacking = "ModuleNotFoundError" in done.stderr and "netc" not in done.stderr.splitlines()[-1]
    if lacking:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_default_nets_are_in_every_clone() -> None:
    assert all(find(name).parent == BUNDLED for name in peers.NETS)


@pytest.mark.parametrize("name", training.BATCHES)
def test_each_net_in_training_has_a_text_with_a_loss(name: str) -> None:
    made = netc.compile(
        text=training.training_text(name, 2), phase="TRAIN", backend="reference", missing="fill"
    )
    assert made.graph.losses
    assert {shape[0] for shape in made.inputs.values()} == {2}


def test_a_folder_comes_first_and_a_path_is_itself(tmp_path: Path) -> None:
    own = tmp_path / "alexnet.prototxt"
    own.write_text("")
    assert find("alexnet", tmp_path) == own
    assert find("vgg16", tmp_path) == BUNDLED / "vgg16.netc"
    assert find("squeezenet11") == BUNDLED / "squeezenet.netc"
    assert find(str(own)) == own


def test_a_net_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(SystemExit, match=r"no net `nosuch`.*alexnet.*vgg16"):
        find("nosuch")


def test_texts_of_the_dialect_are_made_plain() -> None:
    made = plain(find("resnet18"))
    assert made.suffix == ".prototxt"
    assert parse_document(read_source(made))


def row(
    path: Path, monkeypatch: pytest.MonkeyPatch, isa: str | None = None, **runtimes: Any
) -> dict[str, Any]:
    monkeypatch.setattr(peers, "PEERS", runtimes)
    monkeypatch.setattr(peers, "to_onnx", lambda graph: None)
    args = Namespace(peers=None, seconds=0.001, isa=isa, input_shape=[("data", (1, 3, 20, 20))])
    return peers.measure(path, 1, 1, args)


def test_a_peer_that_cannot_is_told_in_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ssd.prototxt"
    path.write_text(DETECTION)

    def refusing(model: Any, feeds: Any, threads: int) -> Any:
        raise ValueError("Can't create layer\n  of type NonMaxSuppression")

    def failing(model: Any, feeds: Any, threads: int) -> Any:
        def run() -> Any:
            raise RuntimeError("shapes")

        return run

    def other(model: Any, feeds: Any, threads: int) -> Any:
        return lambda: {"out": np.zeros((1, 1, 1, 7), np.float32)}

    found = row(
        path, monkeypatch, refusing=refusing, failing=failing, other=other, absent=lambda *a: None
    )
    assert found["cannot"] == {
        "refusing": "ValueError: Can't create layer of type NonMaxSuppression",
        "failing": "RuntimeError: shapes",
    }
    assert set(found["milliseconds"]) == {"netc", "other"}
    line = peers._line(found)
    assert "refusing cannot: ValueError" in line
    assert "other's answer differs" in line
    assert found["ratio"] > 0


def test_who_cannot_be_held_to_fewer_instructions_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ssd.prototxt"
    path.write_text(DETECTION)

    def other(model: Any, feeds: Any, threads: int) -> Any:
        assert feeds["data"].shape == (1, 3, 20, 20)
        return lambda: {"out": np.zeros((1, 1, 1, 7), np.float32)}

    found = row(path, monkeypatch, "avx2", onnxruntime=other, openvino=other)
    assert found["cannot"] == {"onnxruntime": "cannot be held to avx2"}
    assert set(found["milliseconds"]) == {"netc", "openvino"}
    assert found["isa"] == "avx2"


def test_a_table_that_is_made_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    first, again, more = (
        {"net": net, "batch": 1, "threads": 1, "isa": "avx2", "ratio": ratio}
        for net, ratio in (("a", 1.0), ("a", 0.5), ("b", 0.7))
    )
    for part, append in (([first], True), ([again, more], True)):
        peers.write(file, part, append=append)
    assert json.loads(file.read_text())["results"] == [again, more]
    peers.write(file, [first], append=False)
    assert json.loads(file.read_text())["results"] == [first]


def test_rows_of_training_are_joined_and_told_in_one_table() -> None:
    memory = {"planned_to_floor": 1.0, "planned_to_caffe": 0.29, "held_to_caffe": 0.5}
    machine = {"processor": "some", "date": "2026-01-02"}

    def row(net: str, threads: int, ratio: float) -> dict[str, object]:
        return {
            "net": net, "batch": 8, "threads": threads, "milliseconds": {"netc": 10.0},
            "ratio": ratio, "memory": memory, "machine": machine,
        }  # fmt: skip

    old = [row("alexnet", 1, 0.5), row("lenet", 1, 0.9)]
    made = training.joined(old, [row("lenet", 1, 0.4), row("lenet", 2, 0.8)])
    assert [(r["net"], r["threads"], r["ratio"]) for r in made] == [
        ("lenet", 1, 0.4), ("lenet", 2, 0.8), ("alexnet", 1, 0.5),
    ]  # fmt: skip
    lines = training.table(made).splitlines()
    assert lines[2] == "| LeNet, batch 8 | 10 | 0.40 | 10 | 0.80 | 1.00 | 0.29 | 0.50 |  |"
    assert lines[3] == "| AlexNet, batch 8 | 10 | 0.50 |  |  | 1.00 | 0.29 | 0.50 |  |"
    assert lines[-1].startswith("Geometric mean of 3 ratios 0.54, worst 0.80. Measured: some")


class Endless(str):
    """A name that no dictionary finds in any time."""

    def __hash__(self) -> int:
        while True:
            pass


def test_a_net_is_given_up_after_its_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_nets, "WAITS", 6000)
    runner = fork_nets.Runner("1G", 0.1)
    try:
        fault = runner.run(fork_nets.Task(Path("net"), Endless("net"), trained=True)).fault
    finally:
        runner.end()
    assert fault == "timeout: more than 0 s of processor time"
