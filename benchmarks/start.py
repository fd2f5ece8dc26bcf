"""How long things take before the first number: import, check, compile, first compile.

    python benchmarks/start.py

* `netc --version`, and `netc check` of a short and a long text: whole processes, the start of
  Python included, with bytecode on disk as pip leaves it, whatever PYTHONDONTWRITEBYTECODE says;
* compiling a net whose kernels are on disk: text to ready plan, weights in memory;
* the same on a machine that has never run netc: every kernel is compiled first.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.nets import find, folder_of
from benchmarks.seeded import seeded_weights

ROOT = Path(__file__).resolve().parent.parent
COMPILE = "import netc, sys; netc.compile(sys.argv[1])"


def seconds_of(command: list[str], rounds: int, **environment: str) -> float:
    """Median wall seconds of a command."""
    given = {**os.environ, **environment}
    given.pop("PYTHONDONTWRITEBYTECODE", None)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=given)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    print(" ".join(f"{k}={v}" for k, v in describe("numba").items()))
    python = sys.executable
    with tempfile.TemporaryDirectory() as bytecode:
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        starts(python)
        compiles(python)


def starts(python: str) -> None:
    """Processes that compute nothing; the first of each leaves bytecode and tables of grammars."""
    netc_ = [python, "-m", "netc"]
    commands = {
        "python -c pass": [python, "-c", "pass"],
        "import numpy": [python, "-c", "import numpy"],
        "import netc": [python, "-c", "import netc"],
        "netc --version": [*netc_, "--version"],
        "netc check lenet": [*netc_, "check", str(net_of("lenet"))],
        "netc check resnet152": [*netc_, "check", str(net_of("resnet152"))],
    }
    for what, command in commands.items():
        seconds_of(command, 1)
        show(what, seconds_of(command, 7))


def compiles(python: str) -> None:
    """Nets compiled, their kernels on disk or not."""
    for name in ("resnet18", "googlenet"):
        show(f"compile {name} in the process", warm(net_of(name)))
    with tempfile.TemporaryDirectory() as folder:
        first = [python, "-c", COMPILE, str(net_of("googlenet"))]
        show("compile googlenet, first time", seconds_of(first, 1, NETC_CACHE_DIR=folder))
        show("compile googlenet, second process", seconds_of(first, 3, NETC_CACHE_DIR=folder))


def net_of(name: str) -> Path:
    """Of the folder that NETC_NETS names, else of prototxt/."""
    return find(name, folder_of(None))


def show(what: str, seconds: float) -> None:
    print(f"{what:36} {seconds:6.2f} s", flush=True)


def warm(path: Path) -> float:
    """Median seconds from text to a ready plan, with kernels on disk and weights in memory."""
    weights = seeded_weights(netc.compile(path, backend="reference").graph)
    netc.compile(path, weights)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        netc.compile(path, weights)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
