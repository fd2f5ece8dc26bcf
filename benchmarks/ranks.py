"""Data-parallel training: images a second on one rank and on two, and what a cluster would give.

    pip install 'netc[mpi]'
    python benchmarks/ranks.py --nets alexnet resnet18 --json ranks.json

Each rank has one thread and the batch of benchmarks/training.py. Runs of one rank, of ranks that
train one net, and of ranks that each train their own (what the machine's memory leaves of two cores
at best) follow each other, round after round; the table has medians. Efficiency is the speed of the
ranks together over that of one rank times their number.

Then the model. It takes what was measured here: when each bucket's gradients are ready, by the
times of the steps of one rank; how long this machine's ranks take for a message of some size (a
latency and a bandwidth are fitted); and how fast a processor adds up. It is first asked for the
ranks that were measured, where messages take the time of the processors that compute, and then for
clusters of 8 to 256 machines, where a network card moves them beside the computation. Slices are
exchanged by all with all, so a bucket costs 2 (N - 1) latencies and moves 2 (N - 1) / N of its
bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.nets import folder_of
from benchmarks.training import BATCHES, training_text
from netc.ops.random import generator_key
from netc.ops.ranks import START, Ranks, Slot
from netc.ranks.mpi import MpiRanks
from netc.solver.solver import Solver
from netc.train.generator import KEY
from netc.train.step import ITERATION, RATE

Result = dict[str, Any]
CLUSTERS = {"25 Gbit/s, 20 us": (20e-6, 25e9 / 8), "100 Gbit/s, 3 us": (3e-6, 100e9 / 8)}
SIZES = (8, 16, 32, 64, 128, 256)
MESSAGES = (1 << 14, 1 << 18, 1 << 22, 1 << 24, 1 << 26)  # bytes


def main() -> None:
    args = _arguments()
    if args.worker:
        result = WORKERS[args.worker](args)
        if MpiRanks().rank == 0:
            print(json.dumps(result))
        return
    print(" ".join(f"{k}={v}" for k, v in describe("numba", "mpi4py", "mpich").items()))
    link = _worker("link", 2, args, args.nets[0])
    print(
        f"a message between two ranks here: {1e6 * link['latency']:.0f} us and "
        f"{link['bandwidth'] / 1e9:.1f} GB/s; sums {link['sums'] / 1e9:.1f} GB/s"
    )
    print(f"{'net':10} {'batch':>5} {'one':>8} {'two':>8} {'apart':>8}  efficiency  (model)")
    found = [_measured(net, args, link) for net in args.nets]
    for result in found:
        print(f"{result['net']}: the model's efficiency on")
        for name, line in result["clusters"].items():
            print(f"  {name:18}", "  ".join(f"{n}: {e:.2f}" for n, e in line.items()))
    if args.json:
        report = {"machine": describe("numba", "mpi4py"), "link": link, "results": found}
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--nets", nargs="+", default=["alexnet", "resnet18"])
    parser.add_argument("--folder", type=Path, default=folder_of(None))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", choices=list(WORKERS), help=argparse.SUPPRESS)
    return parser.parse_args()


def _worker(kind: str, count: int, args: argparse.Namespace, net: str) -> Result:
    """What rank 0 of a run of this program prints."""
    mpiexec = shutil.which("mpiexec") or str(Path(sys.executable).with_name("mpiexec"))
    command = [mpiexec, "-n", str(count), sys.executable, __file__, "--worker", kind]
    command += ["--nets", net, "--seconds", str(args.seconds)]
    command += ["--folder", str(args.folder)] if args.folder else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    result: Result = json.loads(done.stdout.strip().splitlines()[0])
    return result


def _measured(net: str, args: argparse.Namespace, link: Result) -> Result:
    kinds = {"one": ("together", 1), "two": ("together", 2), "apart": ("apart", 2)}
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind, (worker, count) in kinds.items():
            rates[kind].append(_worker(worker, count, args, net)["rate"])
    rate = {kind: statistics.median(values) for kind, values in rates.items()}
    timeline = _worker("timeline", 1, args, net)
    model = Model(link["latency"], link["bandwidth"], link["sums"], shared=True)
    batch = BATCHES.get(net, 8)
    result = {
        "net": net,
        "batch": batch,
        "rates": rate,
        "efficiency": rate["two"] / (2 * rate["one"]),
        "model": model.efficiency(timeline, 2),
        "timeline": timeline,
        "clusters": {
            name: {n: Model(*wire, link["sums"]).efficiency(timeline, n) for n in SIZES}
            for name, wire in CLUSTERS.items()
        },
    }
    print(
        f"{net:10} {batch:5} {rate['one']:8.1f} {rate['two']:8.1f} {rate['apart']:8.1f}"
        f"  {result['efficiency']:10.2f}  ({result['model']:.2f})",
        flush=True,
    )
    return result


# The model


class Model(NamedTuple):
    """Seconds of a message: a latency, and bytes over a bandwidth.

    Args:
        latency: seconds.
        bandwidth: bytes a second.
        sums: bytes of gradients that a processor adds up in a second.
        shared: the processors that compute move the messages too.
    """

    latency: float
    bandwidth: float
    sums: float
    shared: bool = False

    def bucket(self, size: int, ranks: int) -> float:
        """Seconds for the means of a bucket of some bytes."""
        part = (ranks - 1) / ranks
        wire = 2 * ((ranks - 1) * self.latency + part * size / self.bandwidth)
        return wire + size / self.sums

    def step(self, timeline: Mapping[str, Any], ranks: int) -> float:
        """Seconds of an iteration."""
        spent = [self.bucket(size, ranks) for size in timeline["bytes"]]
        if self.shared:
            return float(timeline["total"] + sum(spent))
        free = 0.0
        for ready, seconds in zip(timeline["ready"], spent, strict=True):
            free = max(free, ready) + seconds
        after = timeline["total"] - timeline["backward"]
        return float(max(timeline["backward"], free) + after)

    def efficiency(self, timeline: Mapping[str, Any], ranks: int) -> float:
        """Speed of all ranks over that of one times their number."""
        return float(timeline["total"] / self.step(timeline, ranks))


# What runs under mpiexec


class Here:
    """A group of one rank that is asked for sums as if there were more: to time one rank."""

    rank, size = 0, 2

    def __init__(self) -> None:
        self._given: dict[tuple[int, int], Any] = {}

    def start(self, at: Slot, gradient: Any) -> None:
        self._given[at[:2]] = gradient

    def finish(self, at: Slot) -> Any:
        return self._given[at[:2]]

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        return [list(numbers)] * 2

    def broadcast(self, array: Any) -> None:
        pass


def _solver(args: argparse.Namespace, ranks: Ranks | None) -> Solver:
    batch = BATCHES.get(args.nets[0], 8)
    net = training_text(args.nets[0], batch, args.folder)
    base = 'base_lr: 1e-4 momentum: 0.9 lr_policy: "fixed" snapshot_after_train: false'
    source = netc.Source("solver", f"net_param {{ {net} }}\n{base} max_iter: 1000000")
    return Solver(source, ranks=ranks, threads=1, seed=0, feeds=_feeds)


def _feeds(position: int) -> Mapping[str, Any]:
    """One batch, drawn once: reading is not what is measured."""
    return _FEEDS


_FEEDS: dict[str, Any] = {}


def _draw_feeds(args: argparse.Namespace) -> None:
    batch = BATCHES.get(args.nets[0], 8)
    text = training_text(args.nets[0], batch, args.folder)
    graph = netc.compile(text=text, backend="reference", phase="TRAIN").graph
    random = np.random.default_rng(0)
    for blob, value in graph.input_blobs.items():
        shape = graph.shape(value)
        labels = len(shape) == 1
        drawn = random.integers(0, 10, shape) if labels else random.standard_normal(shape)
        _FEEDS[blob] = drawn.astype(np.float32)


def _rate(args: argparse.Namespace, together: bool) -> Result:
    world = MpiRanks()
    _draw_feeds(args)
    solver = _solver(args, world if together and world.size > 1 else None)
    solver.step(2)
    world.gather([0])
    start, iterations = time.perf_counter(), 0
    while True:
        solver.step(2)
        iterations += 2
        spent = time.perf_counter() - start
        if any(done for (done,) in world.gather([float(spent > args.seconds)])):
            break
    rates = world.gather([iterations * BATCHES.get(args.nets[0], 8) / spent])
    return {"rate": sum(rate for (rate,) in rates)}


def _link(args: argparse.Namespace) -> Result:
    """The latency and the bandwidth of a message that all ranks send, and the speed of sums."""
    world = MpiRanks()
    times = []
    for size in MESSAGES:
        flat = np.ones(size // 4, np.float32)
        received = np.empty((world.size, flat.size // world.size), np.float32)
        spent = []
        for _ in range(7):
            world.gather([0])
            start = time.perf_counter()
            world._exchange(flat, received)
            world._collect(flat)
            spent.append((time.perf_counter() - start) / 2)
        times.append(min(spent))
    moved = [size * (world.size - 1) / world.size for size in MESSAGES]
    slope, _ = np.polyfit(moved[2:], times[2:], 1)
    rows = np.ones((world.size, MESSAGES[-1] // 8), np.float32)
    start = time.perf_counter()
    rows[0] += rows[1]
    sums = rows.nbytes / (time.perf_counter() - start)
    return {"latency": times[0], "bandwidth": 1 / float(slope), "sums": sums}


def _timeline(args: argparse.Namespace) -> Result:
    """When the buckets of one rank are ready, and how large they are."""
    _draw_feeds(args)
    here = Here()
    solver = _solver(args, here)
    solver.step(2)
    program = solver._train._first
    scalars = {RATE: np.float32(1e-4), ITERATION: np.float32(0), KEY: generator_key(0, 0)}
    known = {**_FEEDS, **{name: np.asarray(array) for name, array in scalars.items()}}
    feeds = {name: known[name] for name in program.graph.input_blobs}
    runs = [_timed(program, feeds) for _ in range(3)]
    total, steps = min(runs, key=lambda run: run[0])
    starts = {node.name: node for node in solver._train.graphs.first.nodes if node.op == START}
    ready: dict[int, float] = {}
    size: dict[int, int] = {}
    clock = backward = 0.0
    for name, seconds in steps:
        clock += seconds
        if name in starts:
            node = starts[name]
            bucket = node.params.bucket
            ready[bucket] = backward = clock
            shape = solver._train.graphs.first.shape(node.inputs[0])
            size[bucket] = size.get(bucket, 0) + 4 * int(np.prod(shape))
    return {
        "total": total,
        "backward": backward,
        "ready": [ready[b] for b in sorted(ready)],
        "bytes": [size[b] for b in sorted(size)],
    }


def _timed(program: Any, feeds: Mapping[str, Any]) -> tuple[float, list[tuple[str, float]]]:
    start = time.perf_counter()
    values = {program.graph.input_blobs[name]: array for name, array in feeds.items()}
    _, steps = program.executable(tuple(a.shape for a in values.values())).timed(values)
    return time.perf_counter() - start, [(s.name, s.seconds) for s in steps]


WORKERS = {
    "together": lambda args: _rate(args, True),
    "apart": lambda args: _rate(args, False),
    "link": _link,
    "timeline": _timeline,
}

if __name__ == "__main__":
    main()
