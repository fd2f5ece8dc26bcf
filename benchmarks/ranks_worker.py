"""What benchmarks/ranks.py runs under mpiexec: rank 0 prints what it found as JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.training import BATCHES, training_text
from netc.ops.random import generator_key
from netc.ops.ranks import START, Ranks, Slot
from netc.ranks.mpi import MpiRanks
from netc.ranks.sums import mean_in_order
from netc.solver.solver import Solver
from netc.train.generator import KEY
from netc.train.step import ITERATION, RATE

Result = dict[str, Any]
MESSAGES = (1 << 14, 1 << 18, 1 << 22, 1 << 24, 1 << 26)  # bytes
AVERAGED = 1 << 27  # bytes, more than any cache


class Here:
    """A group of one rank that is asked for sums as if there were more: to time one rank.

    Args:
        shares: whether it seems to share memory with another.
    """

    rank, size = 0, 2

    def __init__(self, shares: bool = False) -> None:
        self._shares = shares
        self._given: dict[tuple[int, int], Any] = {}

    def start(self, at: Slot, gradient: Any) -> None:
        self._given[at[:2]] = gradient

    def finish(self, at: Slot) -> Any:
        return self._given[at[:2]]

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        return [list(numbers)] * 2

    def broadcast(self, array: Any) -> None:
        pass

    def meet(self) -> None:
        pass

    def shared_memory(self, elements: int, reserved: bool = False) -> Any:
        if not self._shares:
            return None
        memory = np.zeros(elements + 16, np.float32)
        memory = memory[-memory.ctypes.data // 4 % 16 :][:elements]  # at a cache line, as a page is
        if not reserved:  # written, so that the other rank's gradients have memory of their own
            memory[...] = 0
        return memory


class ByMessages(MpiRanks):
    """Ranks that talk as those of two machines do."""

    def shared_memory(self, elements: int, reserved: bool = False) -> None:
        return None


def _solver(args: argparse.Namespace, ranks: Ranks | None) -> Solver:
    batch = BATCHES.get(args.net, 8)
    net = training_text(args.net, batch, args.folder)
    base = 'base_lr: 1e-4 momentum: 0.9 lr_policy: "fixed" snapshot_after_train: false'
    source = netc.Source("solver", f"net_param {{ {net} }}\n{base} max_iter: 1000000")
    return Solver(source, ranks=ranks, threads=1, seed=0, feeds=_feeds)


def _feeds(position: int) -> Mapping[str, Any]:
    """One batch, drawn once: reading is not what is measured."""
    return _FEEDS


_FEEDS: dict[str, Any] = {}


def _draw_feeds(args: argparse.Namespace) -> None:
    batch = BATCHES.get(args.net, 8)
    text = training_text(args.net, batch, args.folder)
    graph = netc.compile(text=text, backend="reference", phase="TRAIN").graph
    random = np.random.default_rng(0)
    for blob, value in graph.input_blobs.items():
        shape = graph.shape(value)
        labels = len(shape) == 1
        drawn = random.integers(0, 10, shape) if labels else random.standard_normal(shape)
        _FEEDS[blob] = drawn.astype(np.float32)


def _rate(args: argparse.Namespace, kind: type[MpiRanks], together: bool) -> Result:
    world = kind()
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
    rates = world.gather([iterations * BATCHES.get(args.net, 8) / spent])
    return {"rate": sum(rate for (rate,) in rates)}


def _link(args: argparse.Namespace) -> Result:
    """What ranks take, all at once, for messages and means."""
    world = MpiRanks()
    times = [_fastest(world, partial(_swap, world, size)) for size in MESSAGES]
    moved = [size * (world.size - 1) / world.size for size in MESSAGES]
    slope, _ = np.polyfit(moved[2:], times[2:], 1)
    rows = np.ones((2, AVERAGED // 4), np.float32)
    averaging = _fastest(world, lambda: mean_in_order([rows[0], rows[1]], rows[0]))
    return {
        "latency": times[0] / 2,
        "bandwidth": 2 / float(slope),
        "averaged": AVERAGED / averaging,
        "meeting": _fastest(world, world.meet),
    }


def _swap(world: MpiRanks, size: int) -> None:
    """A bucket there and back."""
    flat = np.ones(size // 4, np.float32)
    received = np.empty((world.size, flat.size // world.size), np.float32)
    world._exchange(flat, received)
    world._collect(flat)


def _fastest(world: MpiRanks, run: Callable[[], None]) -> float:
    """Seconds of the best of some runs, which all ranks begin together; the slowest rank's."""
    spent = []
    for _ in range(9):
        world.meet()
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return max(seconds for (seconds,) in world.gather([statistics.median(spent)]))


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
        **_iterations({"one": _solver(args, None), "of_two": _solver(args, Here(shares=True))}),
        "ready": [ready[b] for b in sorted(ready)],
        "bytes": [size[b] for b in sorted(size)],
    }


def _iterations(solvers: Mapping[str, Solver]) -> dict[str, float]:
    """Seconds of an iteration of each, in turn: the best of some."""
    found: dict[str, list[float]] = {name: [] for name in solvers}
    for _ in range(4):
        for name, solver in solvers.items():
            start = time.perf_counter()
            solver.step(2)
            found[name].append((time.perf_counter() - start) / 2)
    return {name: min(seconds) for name, seconds in found.items()}


def _timed(program: Any, feeds: Mapping[str, Any]) -> tuple[float, list[tuple[str, float]]]:
    start = time.perf_counter()
    values = {program.graph.input_blobs[name]: array for name, array in feeds.items()}
    _, steps = program.executable(tuple(a.shape for a in values.values())).timed(values)
    return time.perf_counter() - start, [(s.name, s.seconds) for s in steps]


WORKERS = {
    "together": lambda args: _rate(args, MpiRanks, True),
    "apart": lambda args: _rate(args, MpiRanks, False),
    "messages": lambda args: _rate(args, ByMessages, True),
    "link": _link,
    "timeline": _timeline,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=list(WORKERS))
    parser.add_argument("net")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    result = WORKERS[args.kind](args)
    if MpiRanks().rank == 0:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
