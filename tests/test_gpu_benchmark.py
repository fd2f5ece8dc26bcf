"""benchmarks/peers.py --device cuda, as far as it goes without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from benchmarks.cuda_peers import Report, TooLongError, compared, limited, line, summary
from benchmarks.cuda_runtimes import Case, bound, disagreement, folded, host_arrays, torch_module
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.backends import reference
from tests.backends.cuda.emulator.device import COMPILER

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "prototxt" / "digits" / "deploy.prototxt"
ABOUT = {"date": "today", "device": "Some GPU", "cupy": "14"}


def row(net: str, batch: int = 1, precision: str = "float32", **more: Any) -> dict[str, Any]:
    return {"net": net, "batch": batch, "precision": precision, **more}


def case(precision: str = "float32") -> Case:
    graph = netc.compile(DIGITS, backend="reference").graph
    weights = seeded_weights(graph)
    graph = netc.compile(DIGITS, weights, backend="reference").graph
    return Case(graph, seeded_inputs(graph), precision)


# The file


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    report = Report(path, ABOUT)
    report.add(row("alexnet"))
    report.add(row("vgg16", 32, "tf32"))
    again = Report(path, {**ABOUT, "date": "tomorrow"})
    assert again.row("alexnet", 1, "float32") == row("alexnet")
    assert again.row("alexnet", 32, "float32") is None
    assert again.row("vgg16", 32, "tf32") is not None
    assert json.loads(path.read_text())["machine"] == ABOUT


def test_figures_of_another_machine_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    Report(path, ABOUT).add(row("alexnet"))
    assert Report(path, {**ABOUT, "cupy": "13"}).rows == []


def test_a_report_without_a_file() -> None:
    report = Report(None, ABOUT)
    report.add(row("alexnet"))
    assert report.rows and report.row("alexnet", 1, "float32")


ENDS = """
import sys
from pathlib import Path
from benchmarks.cuda_peers import Report
Report(Path(sys.argv[1]), {"device": "Some GPU"}).end(("alexnet", 1, "float32", "torch"), "hung")
"""


def test_what_ends_the_program_is_left_out_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-c", ENDS, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 3 and "hung" in result.stderr
    report = Report(path, {"device": "Some GPU"})
    assert report.why_not(("alexnet", 1, "float32", "torch")) == "hung"
    assert report.why_not(("alexnet", 1, "float32", "netc")) is None


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGALRM")
def test_a_runtime_that_takes_too_long_is_left() -> None:
    with pytest.raises(TooLongError, match="longer than 1 s"), limited(1, lambda: None):
        time.sleep(60)
    with limited(1, lambda: None):
        pass


# Answers


def test_answers_are_compared() -> None:
    one = {"y": np.array([1.0, -4.0])}
    assert disagreement(one, {"y": np.array([1.0, -4.04])}, "float32") == pytest.approx(0.01)
    assert disagreement(one, {"y": np.array([1.0, np.nan])}, "float32") == float("inf")


def test_probabilities_are_compared_by_their_logarithms() -> None:
    one = {"p": np.array([1.0, 1e-10])}
    assert disagreement(one, {"p": np.array([1.0, 1e-10])}, "float32") == 0
    assert disagreement(one, {"p": np.array([1.0, 1e-12])}, "float32") == pytest.approx(0.2)
    assert disagreement(one, {"p": np.array([1.0, 0.0])}, "float32") == float("inf")
    assert disagreement(one, {"p": np.array([1.0, 0.0])}, "fp16") == 0  # below what it holds


def test_a_row_is_told() -> None:
    medians = {"netc": 1.5, "torch": 3.0, "torch-graph": 2.0}
    full = {"disagreement": {"torch": float("nan")}, "failed": {"onnxruntime": "no"}}
    told = line(row("alexnet", **compared(medians), **full))
    assert "1.500" in told and "0.75" in told
    assert "torch: ANSWERS DIFFER" in told and "onnxruntime: no" in told
    assert "worst 0.75" in summary([row("alexnet", **compared(medians))])
    without = line(row("alexnet", **compared({"torch": 3.0}), disagreement={}, failed={}))
    assert " - " in without


@pytest.mark.parametrize("precision", ("float32", "fp16"))
@pytest.mark.parametrize("last", (True, False))
def test_pytorchs_answers_are_the_references(precision: str, last: bool) -> None:
    torch = pytest.importorskip("torch")
    given = case(precision)
    module, inputs = torch_module(given, last=last, device="cpu")
    with torch.inference_mode():
        answers = host_arrays(module(*inputs), given.graph)
    want = reference.run(given.graph, given.feeds)
    assert disagreement(want, answers, precision) < (1e-5 if precision == "float32" else 2e-2)


def test_onnx_runtimes_answers_are_the_references() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    given = case()
    answers = host_arrays(bound(given, "cpu", {})(), given.graph)
    graph = folded(given.graph)
    assert {node.op for node in graph.nodes} <= {node.op for node in given.graph.nodes}
    want = reference.run(given.graph, given.feeds)
    assert disagreement(want, answers, "float32") < 1e-5


# The whole of it, on a driver that is a stand-in


STAGED = """
import sys
from tests.backends.cuda.driver.stage import staged
staged()
import netc
real = netc.compile
netc.compile = lambda *a, **k: real(*a, **k, **({"tune": False} if "precision" in k else {}))
from benchmarks import cuda_peers, cuda_runtimes
from benchmarks.peers import main
def broken(case): raise RuntimeError("cannot\\nat all")
cuda_peers.PEERS = {"onnx": lambda case: cuda_runtimes.bound(case, "cpu", {}), "broken": broken}
sys.argv = ["peers.py", "--device", "cuda", "--seconds", "0.01", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(
    COMPILER is None or util.find_spec("cupy") is None or util.find_spec("onnxruntime") is None,
    reason="needs CuPy, ONNX Runtime, Linux and a C++ compiler",
)
def test_the_whole_benchmark_on_a_driver_that_is_a_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    options = ["--nets", str(DIGITS), "--batch", "1", "2", "--json", str(path)]
    command = [sys.executable, "-c", STAGED, *options, "--precision", "float32", "fp16"]
    environment = {**os.environ, "CUPY_CACHE_DIR": str(tmp_path)}
    for _ in range(2):
        result = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=500
        )
        assert result.returncode == 0, result.stderr
        assert "broken: RuntimeError: cannot\n" in result.stdout
    found = json.loads(path.read_text())
    assert found["machine"]["device"] and found["machine"]["cupy"]
    assert [(r["precision"], r["batch"]) for r in found["results"]] == [
        ("float32", 1), ("float32", 2), ("fp16", 1), ("fp16", 2),
    ]  # fmt: skip
    for result in found["results"]:
        assert set(result["milliseconds"]) == {"netc", "onnx"} and result["ratio"]
        most = 1e-4 if result["precision"] == "float32" else 2e-2
        assert result["disagreement"]["onnx"] < most
