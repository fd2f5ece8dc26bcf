"""The GPU backend on CuPy itself, whose driver is a fake that runs kernels on the processor.

What CuPy does with netc's calls (compiling, launching, packing arguments, pools of memory, streams,
events, recording and starting of graphs, foreign arrays) is CuPy's own; see driver/fake.h for what
lies under it. CuPy is imported in a process of its own, since the driver must be there before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import util
from pathlib import Path

import pytest

from tests.backends.cuda.driver.library import built, reason_to_skip
from tests.backends.cuda.driver.names import ELSEWHERE, FAST, FAULTS, SLOW
from tests.backends.cuda.emulator.device import _folder
from tests.backends.cuda.nvrtc import library

ROOT = Path(__file__).resolve().parents[3]


def _missing() -> str:
    if util.find_spec("cupy") is None:
        return "CuPy is not installed"
    if library() is None:
        return "NVRTC is not installed"
    return reason_to_skip()


pytestmark = [pytest.mark.gpu_tools, pytest.mark.skipif(bool(_missing()), reason=_missing())]


def run(names: tuple[str, ...], **environment: str) -> Mapping[str, str]:
    """What came of each scenario: nothing, or what was wrong."""
    built()
    kept = {"CUPY_CACHE_DIR": str(_folder() / "cupy-of-tests"), **environment}
    command = [sys.executable, "-m", "tests.backends.cuda.driver", *names]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **kept}, capture_output=True, text=True
    )
    found = dict(map(json.loads, result.stdout.splitlines()))
    first = next((name for name in names if name not in found), "")
    return {**found, first: result.stderr} if first else found


@cache
def outcomes() -> Mapping[str, str]:
    return run(FAST)


@pytest.mark.parametrize("name", FAST)
def test_scenario(name: str) -> None:
    assert name in outcomes(), "an earlier one ended the process"
    assert not outcomes()[name], outcomes()[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_slow_scenario(name: str) -> None:
    found = run((name,))
    assert not found[name], found[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str) -> None:
    """What would be undefined on a device ends the process, with a reason."""
    assert FAULTS[name] in run((name,))[name]


@pytest.mark.slow
@pytest.mark.parametrize("seed", ("1", "2"))
def test_other_orders(seed: str) -> None:
    """Of work that has no order, and of a kernel's threads and blocks."""
    found = run(FAST, FAKE_CUDA_SEED=seed, FAKE_CUDA_ORDER=seed)
    assert set(found) == set(FAST)
    assert not any(found.values()), "\n".join(found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name, devices", tuple(zip(ELSEWHERE, "20", strict=True)))
def test_other_numbers_of_devices(name: str, devices: str) -> None:
    found = run((name,), FAKE_CUDA_DEVICES=devices)
    assert not found[name], found[name]


@pytest.mark.slow
@pytest.mark.skipif("NETC_OTHER_CUPY" not in os.environ, reason="NETC_OTHER_CUPY names no folder")
def test_another_cupy() -> None:
    """A version of CuPy, with the NumPy that it takes, in folders that the environment names."""
    folders = os.environ["NETC_OTHER_CUPY"]
    found = run((*FAST, "tuned"), PYTHONPATH=folders, CUPY_CACHE_DIR=str(_folder() / "cupy-other"))
    assert not any(found.values()), "\n".join(found.values())


@pytest.mark.slow
def test_whole_nets_tuned() -> None:
    """Tests that take a backend, with what is the default: measured ways."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--backend", "cuda"]
    plugin, tests = "tests.backends.cuda.driver.plugin", "tests/test_compiled.py"
    environment = {**os.environ, "CUPY_CACHE_DIR": str(_folder() / "cupy-of-tests")}
    result = subprocess.run(
        [*command, "-p", plugin, tests], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_an_older_device() -> None:
    """One of compute capability 7.5, with more processors."""
    names = ("split_sum", "residual_float32", "branches_in_lanes", "golden_few")
    found = run(names, FAKE_CUDA_MAJOR="7", FAKE_CUDA_MINOR="5", FAKE_CUDA_PROCESSORS="40")
    assert set(found) == set(names)
    assert not any(found.values()), "\n".join(found.values())
