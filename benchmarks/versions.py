"""Two checkouts of netc on the same nets, in turn: whether a change made any net slower.

    git worktree add /tmp/before COMMIT
    python benchmarks/versions.py /tmp/before --json versions.json

Each checkout runs in a process of its own with the same seeded weights and inputs. They take turns,
round after round, so that a noisy machine is noisy for both; the ratio is the median of the
rounds'. Answers are compared by their means' magnitude.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import describe
from benchmarks.nets import find, folder_of
from benchmarks.peers import NETS

ROOT = Path(__file__).resolve().parent.parent

# Run by the Python of a checkout, which may be older than this file: it asks for little.
_WORKER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import netc
path, threads = sys.argv[1], int(sys.argv[2])
random = np.random.default_rng(0)
graph = netc.compile(path, backend="reference").graph

def drawn(name):
    array = random.standard_normal(graph.parameters[name].shape, np.float32)
    fan_in = max(1, array.size // max(1, array.shape[0]))
    return array * np.float32((2 / fan_in) ** 0.5) if array.ndim > 1 else np.abs(array) + 1

weights = {n.name: [drawn(p) for p in n.parameters] for n in graph.nodes if n.parameters}
net = netc.compile(path, weights=weights, backend="cpu", threads=threads)
feeds = {name: random.standard_normal(net.inputs[name], np.float32) for name in net.inputs}
answers = [np.asarray(a) for a in net(feeds).values()]
print(json.dumps([float(np.abs(a).mean()) for a in answers]), flush=True)
for line in sys.stdin:
    spent, end = [], time.perf_counter() + float(line)
    while not spent or time.perf_counter() < end:
        start = time.perf_counter()
        net(feeds)
        spent.append(time.perf_counter() - start)
    print(json.dumps(sorted(spent)[len(spent) // 2]), flush=True)
"""


class Checkout:
    """A process that runs one net by the netc of a folder."""

    def __init__(self, folder: Path, net: Path, threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-c", _WORKER, str(net), str(threads)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
        self.answers: list[float] = self._read()

    def seconds(self, spent: float) -> float:
        """Median seconds of a run, of runs for so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{spent}\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a checkout cannot run the net; its message is above")
        return json.loads(line)


def compared(before: Path, net: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The times of a net by both, and their ratio."""
    both = [Checkout(folder, net, args.threads) for folder in (before, ROOT)]
    old, new = (one.answers for one in both)
    differ = max(abs(a - b) / max(abs(a), 1e-9) for a, b in zip(old, new, strict=True))
    rounds = []
    for number in range(args.rounds):
        order = both if number % 2 else both[::-1]
        times = {one: one.seconds(args.seconds) for one in order}
        rounds.append([times[one] for one in both])
    for one in both:
        one.close()
    return {
        "net": net.stem,
        "before": statistics.median(r[0] for r in rounds),
        "after": statistics.median(r[1] for r in rounds),
        "ratio": statistics.median(r[1] / r[0] for r in rounds),
        "differ": differ,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout of another commit")
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    parser.add_argument("--folder", type=Path, default=folder_of(None))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a round")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(" ".join(f"{key}={value}" for key, value in describe().items()))
    print(f"{'net':14}{'before, ms':>12}{'after, ms':>12}{'after / before':>16}")
    rows = []
    for name in args.nets:
        row = compared(args.before.resolve(), find(name, args.folder), args)
        rows.append(row)
        print(
            f"{row['net']:14}{1000 * row['before']:12.2f}{1000 * row['after']:12.2f}"
            f"{row['ratio']:16.3f}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
