"""Signals to a running ``netc train``: a stop, a snapshot or nothing, as of ``caffe train``."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SECONDS = 60
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signals")


@contextmanager
def training(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A run that would not end by itself, once it has begun."""
    text = f"net_param {{ {NET} }} base_lr: 0.1 lr_policy: 'fixed' max_iter: 100000000 display: 1"
    (folder / "solver.prototxt").write_text(text)
    prefix = f"snapshot_prefix={folder}/run"
    command = [sys.executable, "-m", "netc", "train", str(folder / "solver.prototxt")]
    command += ["--backend", "reference", "--set", prefix, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("iteration 0")
            yield process
        finally:
            process.kill()


def states(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("run_iter_*.solverstate")]


def wait_for(process: subprocess.Popen[str], said: str) -> None:
    """Read what the run prints up to a line that begins so."""
    assert process.stdout is not None
    deadline = time.monotonic() + SECONDS
    while not process.stdout.readline().startswith(said):
        assert time.monotonic() < deadline
        assert process.poll() is None


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGINT, ()),
        (signal.SIGHUP, ("--sighup-effect", "stop")),
    ],
)
def test_a_stop_writes_a_snapshot_and_ends_well(
    number: signal.Signals, more: tuple[str, ...], tmp_path: Path
) -> None:
    with training(tmp_path, *more) as process:
        process.send_signal(number)
        output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    last = output.splitlines()[-1]
    assert last.startswith("done after ") and last.endswith("iterations, stopped early")
    assert states(tmp_path) == [f"run_iter_{last.split()[2]}.solverstate"]


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGHUP, ()),
        (signal.SIGINT, ("--sigint-effect", "snapshot")),
    ],
)
def test_a_snapshot_is_written_and_the_run_goes_on(
    number: signal.Signals, more: tuple[str, ...], tmp_path: Path
) -> None:
    with training(tmp_path, *more) as process:
        process.send_signal(number)
        wait_for(process, "snapshot: ")
        wait_for(process, "iteration ")
        assert len(states(tmp_path)) == 1


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGINT, ("--sigint-effect", "none")),
        (signal.SIGHUP, ("--sighup-effect", "none")),
    ],
)
def test_a_signal_without_effect(
    number: signal.Signals, more: tuple[str, ...], tmp_path: Path
) -> None:
    with training(tmp_path, *more) as process:
        process.send_signal(number)
        for _ in range(20):
            wait_for(process, "iteration ")
        assert states(tmp_path) == []
