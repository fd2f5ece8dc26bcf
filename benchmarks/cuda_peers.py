"""netc on a GPU against PyTorch and ONNX Runtime on the same GPU, interleaved.

    python benchmarks/peers.py --device cuda --batch 1 32 --precision float32 tf32 --json FILE

Every net gets the same seeded weights everywhere. Inputs and outputs lie on the device. PyTorch
runs in a CUDA graph with channels last and channels first, through torch.compile in a CUDA graph,
and as written; products that a pass of netc folds into one are folded for it too. ONNX Runtime runs
its CUDA provider with bound buffers, in a CUDA graph. All run one after another, round after round,
in an order that changes; a round is timed by events; the table gives medians in milliseconds and
netc's ratio to the best peer. A peer that cannot run says why.

Rows come in the order of precisions, then batches, then nets, so that what comes first is batch 1
of every net. With --json each row is written when it is done. Rows that the file has already, of
the same device and versions, are not run again: a run that was cut short goes on where it stopped
(remove the file to measure anew). A runtime that takes longer than --limit seconds to be made is
left out. One that hangs so that nothing else can run, or spoils the device for the whole process,
ends the program with status 3, is noted in the file, and left out when the same command goes on:

    while python benchmarks/peers.py --device cuda --json FILE ...; [ $? = 3 ]; do :; done

How long it takes: a row's runtimes have --seconds each, half a second if it is not given, or ten
rounds of one call. The first time, netc compiles some 170 kernels for all eight nets of a precision
and measures some 2300 ways of 200 products, and torch.compile takes tens of seconds for a net. So
the 48 rows of eight nets, batches 1 and 32 and three precisions are some half an hour of a machine;
one that is lent for ten minutes a command does one precision and batch in each, and without
torch-compile (--peers torch-graph torch-graph-nchw) two.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import netc
from benchmarks.cuda_runtimes import PEERS, Case, Run, disagreement, host_arrays, own
from benchmarks.machine import describe
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.backends.cuda.devices import compiler_version, current_device
from netc.diagnostics import NetcError

SECONDS = 0.5  # for each runtime of a row
ROUNDS = 10  # at the least
LEAST = 1e-3  # milliseconds: nearer, an event does not tell
AT_ONCE = 0.01  # seconds of work between two events, about
TOLERANCE = {"float32": 1e-3, "tf32": 2e-2, "fp16": 5e-2}
Row = dict[str, Any]


def main(args: argparse.Namespace, find: Callable[[str, Path], Path]) -> None:
    """Measure every net, batch and precision, and print a table."""
    try:
        current_device()
    except NetcError as error:
        sys.exit(str(error))
    report = Report(Path(args.json) if args.json else None, machine())
    print(" ".join(f"{k}={v}" for k, v in report.about.items()))
    print(f"{'net':14} {'batch':>5} {'precision':>9}  netc ms  (peers ms)  netc / best peer")
    for precision in args.precision:
        for batch in args.batch:
            for name in args.nets:
                path = find(name, args.folder)
                row = report.row(path.stem, batch, precision)
                if row is None:
                    row = measure(path, batch, precision, args, report)
                    report.add(row)
                    if not alive():
                        sys.exit(3)
                    give_back()
                print(line(row), flush=True)
    print(summary(report.rows))


class Report:
    """Rows, in a file if there is one, and runtimes that have ended the program.

    Args:
        path: a JSON file; what it has of the same machine is kept.
        about: the machine.
    """

    def __init__(self, path: Path | None, about: Mapping[str, str]) -> None:
        self.path, self.about = path, dict(about)
        self.rows: list[Row] = []
        self.lost: list[list[Any]] = []
        if path is not None and path.exists():
            found = json.loads(path.read_text("utf-8"))
            if _same(found.get("machine", {}), self.about):
                self.rows, self.lost = found["results"], found.get("lost", [])

    def row(self, net: str, batch: int, precision: str) -> Row | None:
        """A row that is there already."""
        wanted = (net, batch, precision)
        rows = (r for r in self.rows if (r["net"], r["batch"], r["precision"]) == wanted)
        return next(rows, None)

    def end(self, key: Sequence[Any], why: str) -> None:
        """End the program because of a runtime in some row; it is left out from now on."""
        self.lost.append([*key, why])
        self.write()
        print(f"{key}: {why}; the same command goes on", file=sys.stderr, flush=True)
        faulthandler.dump_traceback()
        os._exit(3)

    def why_not(self, key: Sequence[Any]) -> str | None:
        """Why a runtime has ended the program in some row before, if it has."""
        return next((why for *known, why in self.lost if known == list(key)), None)

    def add(self, row: Row) -> None:
        """Another row."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """All there is, in one go: a reader never sees half a file."""
        if self.path is None:
            return
        data = {"machine": self.about, "results": self.rows, "lost": self.lost}
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
        beside.replace(self.path)


def _same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether figures of two machines may stand in one table: but for the day."""
    return {**one, "date": ""} == {**other, "date": ""}


def machine() -> dict[str, str]:
    """The device, its driver, and versions."""
    import cupy

    runtime = cupy.cuda.runtime
    found = describe()
    found["device"] = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    found["driver"] = _driver()
    found["driver-cuda"] = str(runtime.driverGetVersion())
    found["nvrtc"] = ".".join(map(str, compiler_version()))
    found["cupy"] = f"{cupy.__version__} for CUDA {runtime.runtimeGetVersion()}"
    found["netc"] = netc.__version__
    for name in ("torch", "triton", "onnxruntime-gpu", "nvidia-cublas", "nvidia-cudnn-cu13"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _driver() -> str:
    """The driver's version, such as 580.95.05; empty where nobody knows."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.strip().partition("\n")[0]


def give_back() -> None:
    """Free the device memory that a row's runtimes have left in their pools."""
    import cupy

    torch = sys.modules.get("torch")
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    if torch is not None:
        torch.cuda.empty_cache()


class TooLongError(Exception):
    """A runtime took longer than it may."""


@contextmanager
def limited(seconds: int, at_last: Callable[[], None]) -> Iterator[None]:
    """An error after some seconds; if that does not help, something else after twice that.

    Args:
        seconds: how long the work may take.
        at_last: called in another thread; to end the process, say.
    """

    def late(*_: Any) -> None:
        raise TooLongError(f"took longer than {seconds} s")

    last = threading.Timer(2 * seconds, at_last)
    last.daemon = True
    last.start()
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        last.cancel()


@cache
def weights_of(path: Path) -> Mapping[str, Any]:
    """A net's seeded weights; they are the same for every batch."""
    return seeded_weights(netc.compile(path, backend="reference").graph)


def case_of(path: Path, batch: int, precision: str) -> Case:
    """A net with its weights and inputs, for a batch."""
    plain = netc.compile(path, backend="reference")
    shapes = {name: (batch, *shape[1:]) for name, shape in plain.inputs.items()}
    graph = netc.compile(path, weights_of(path), backend="reference", inputs=shapes).graph
    return Case(graph, seeded_inputs(graph), precision)


def measure(
    path: Path, batch: int, precision: str, args: argparse.Namespace, report: Report
) -> Row:
    """One row: every runtime's median, and how far the answers are apart."""
    case = case_of(path, batch, precision)
    row = {"net": path.stem, "batch": batch, "precision": precision}
    runs, failed = made(path, case, args, report, (path.stem, batch, precision))
    times: Mapping[str, list[float]] = {}
    apart: Mapping[str, float] = {}
    key = (*row.values(), "all")
    try:
        with limited(4 * args.limit, partial(report.end, key, "hung")):
            times = interleaved(runs, args.seconds or SECONDS)
            apart = disagreements(runs, case)
    except Exception as error:
        failed["all"] = told(error)
    return {
        **row,
        **compared({name: statistics.median(values) for name, values in times.items()}),
        "spread": {name: spread(values) for name, values in times.items()},
        "disagreement": dict(apart),
        "failed": failed,
    }


def made(
    path: Path, case: Case, args: argparse.Namespace, report: Report, row: tuple[Any, ...]
) -> tuple[dict[str, Run], dict[str, str]]:
    """What runs, by name; and why others do not."""
    makers: dict[str, Callable[[], Run]] = {"netc": partial(own, path, weights_of(path), case)}
    for name in PEERS if args.peers is None else args.peers:
        makers[name] = partial(PEERS[name], case)
    runs: dict[str, Run] = {}
    failed: dict[str, str] = {}
    for name, make in makers.items():
        key = (*row, name)
        why = report.why_not(key) or report.why_not((*row, "all"))
        if why is not None:
            failed[name] = why
            continue
        try:
            with limited(args.limit, partial(report.end, key, "hung")):
                runs[name] = checked(make())
        except Exception as error:  # a peer that is not here or cannot: the others still count
            failed[name] = told(error)
            if not alive():
                report.end(key, failed[name])
    return runs, failed


def checked(run: Run) -> Run:
    """A run that has run: what is started may fail later."""
    run()
    _wait()
    return run


def _wait() -> None:
    import cupy

    cupy.cuda.runtime.deviceSynchronize()


def alive() -> bool:
    """Whether the device still does anything for this process."""
    try:
        _wait()
    except Exception:
        return False
    return True


def told(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:160]}"


def compared(medians: Mapping[str, float]) -> Row:
    """The medians, the best peer's name, and netc's ratio to it."""
    peers = {k: v for k, v in medians.items() if k != "netc"}
    best = min(peers, key=lambda k: peers[k], default=None)
    there = best is not None and "netc" in medians
    return {
        "milliseconds": dict(medians),
        "best_peer": best,
        "ratio": medians["netc"] / peers[best] if there and best else None,
    }


def spread(values: list[float]) -> float:
    """Half of what the middle half of some times covers, of the median."""
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high - low) / 2 / statistics.median(values)


def interleaved(runs: Mapping[str, Run], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of a call of each, all running in turn, by events of the device.

    All work is on the default stream, or on one that it waits for and that waits for it.
    """
    from cupy.cuda import Event, get_elapsed_time

    def timed(run: Run, calls: int) -> float:
        first, last = Event(), Event()
        first.record()
        for _ in range(calls):
            run()
        last.record()
        last.synchronize()
        return max(float(get_elapsed_time(first, last)), LEAST) / calls

    for run in runs.values():
        timed(run, 2)
    calls = {n: max(1, min(10, round(1e3 * AT_ONCE / timed(r, 2)))) for n, r in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    order, chance = list(runs.items()), random.Random(0)
    end = time.perf_counter() + seconds * len(runs)
    rounds = 0
    while order and (rounds < ROUNDS or time.perf_counter() < end):
        chance.shuffle(order)
        for name, run in order:
            times[name].append(timed(run, calls[name]))
        rounds += 1
    return times


def disagreements(runs: Mapping[str, Run], case: Case) -> dict[str, float]:
    """How far each peer's answers are from netc's."""
    answers = {}
    for name, run in runs.items():
        value = run()
        _wait()
        answers[name] = host_arrays(value, case.graph)
    mine = answers.pop("netc", None)
    if mine is None:
        return {}
    return {n: disagreement(mine, theirs, case.precision) for n, theirs in answers.items()}


def line(row: Row) -> str:
    """A row of the table."""
    times, failed = row["milliseconds"], row["failed"]
    peers = "  ".join(f"{k} {v:.3f}" for k, v in times.items() if k != "netc")
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
    mine = f"{times['netc']:7.3f}" if "netc" in times else f"{'-':>7}"
    tolerance = TOLERANCE[row["precision"]]
    differ = {k: v for k, v in row["disagreement"].items() if not v <= tolerance}
    note = "".join(f"\n    {k}: ANSWERS DIFFER by {v:.1e}" for k, v in differ.items())
    lost = "".join(f"\n    {name}: {why}" for name, why in failed.items())
    head = f"{row['net']:14} {row['batch']:5} {row['precision']:>9}"
    return f"{head}  {mine}  ({peers})  {ratio}{note}{lost}"


def summary(rows: list[Row]) -> str:
    """Means of the ratios."""
    lines = []
    for key in dict.fromkeys((r["precision"], r["batch"]) for r in rows):
        ratios = [r["ratio"] for r in rows if (r["precision"], r["batch"]) == key and r["ratio"]]
        if ratios:
            mean = float(np.exp(np.mean(np.log(ratios))))
            lines.append(
                f"batch {key[1]}, {key[0]}: geometric mean of the ratios {mean:.2f}, "
                f"worst {max(ratios):.2f}, {len(ratios)} nets"
            )
    return "\n".join(lines) or "no peer is installed: pip install torch onnxruntime-gpu"
