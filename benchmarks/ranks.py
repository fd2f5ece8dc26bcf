"""Data-parallel training: images a second on one rank and on two, and what a cluster would give.

    pip install 'netc[mpi]'
    python benchmarks/ranks.py --json benchmarks/results/ranks.json --docs docs/distributed.md

Each rank has one thread and the batch of benchmarks/training.py. Four kinds of runs follow each
other, round after round: one rank; two that train one net; two that each train their own (what the
machine's memory leaves of two cores at best); and, once, two that train one net by messages as on
two machines. Every second round goes backwards. Efficiency is the speed of both ranks over
twice that of one, the median of the rounds: what else the machine does meets all runs of a round.
What talking costs is the speed of two ranks over that of two that do not talk.

The model (benchmarks/ranks_model.py) takes the times of one rank's steps, how much longer a rank
takes beside another, and how fast two ranks at once copy and average. It is first asked for the two
ways that were measured, and then for clusters of 8 to 256 machines.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import describe
from benchmarks.nets import folder_of
from benchmarks.pages import put
from benchmarks.ranks_model import Messages, SharedMemory
from benchmarks.training import BATCHES

Result = dict[str, Any]
KINDS = {  # what runs, and on how many ranks
    "one": ("together", 1),
    "two": ("together", 2),
    "apart": ("apart", 2),
    "messages": ("messages", 2),
}
CLUSTERS = {"25 Gbit/s, 20 us": (20e-6, 25e9 / 8), "100 Gbit/s, 3 us": (3e-6, 100e9 / 8)}
SIZES = (8, 16, 32, 64, 128, 256)


def main() -> None:
    args = _arguments()
    if args.read:
        report = json.loads(Path(args.read).read_text(encoding="utf-8"))
    else:
        report = _measured_all(args)
    for result in report["results"]:
        print(f"{result['net']}: the model's efficiency of machines with one rank each")
        for name, line in result["clusters"].items():
            print(f"  {name:17}", "  ".join(f"{n}: {e:.2f}" for n, e in line.items()))
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.docs:
        put(Path(args.docs), "efficiency", _page(report))


def _measured_all(args: argparse.Namespace) -> Result:
    machine = describe("numba", "mpi4py", "mpich")
    print(" ".join(f"{k}={v}" for k, v in machine.items()))
    link = _worker("link", 2, args, args.nets[0])
    print(
        f"two ranks at once: each averages {link['averaged'] / 1e9:.1f} GB/s; "
        f"they meet in {1e6 * link['meeting']:.0f} us; "
        f"messages of {1e6 * link['latency']:.0f} us and {link['bandwidth'] / 1e9:.1f} GB/s"
    )
    print("images a second, and the efficiency of two ranks (as the model has it)")
    print(
        f"{'net':10}{'batch':>6}{'one':>8}{'two':>8}{'apart':>8}"
        f"{'shared memory':>18}{'messages':>16}"
    )
    found = [_measured(net, args, link) for net in args.nets]
    return {"machine": machine, "link": link, "results": found}


def _page(report: Result) -> str:
    """The table of docs/distributed.md."""
    machine, link = report["machine"], report["link"]
    rows = [
        f"| {r['net']}, {r['batch']} | {r['rates']['one']:.1f} | {r['rates']['two']:.1f} "
        f"| **{r['efficiency']['two']:.2f}** ({r['model']['two']:.2f}) "
        f"| {r['efficiency']['messages']:.2f} ({r['model']['messages']:.2f}) "
        f"| {r['efficiency']['apart']:.2f} | {r['talking']:.2f} | {_least(r):.2f} |"
        for r in report["results"]
    ]
    return "\n".join(
        (
            "| net, batch of a rank | one, images/s | two | shared memory (model) "
            "| messages (model) | not talking | shared / not talking | 256 machines (model) |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"{machine['processor']}, {machine['cores']} cores, {machine['date']}, one thread a "
            f"rank. Two ranks at once averaged {link['averaged'] / 1e9:.1f} GB/s each. Of machines "
            "it is the slower of two networks: 25 Gbit/s with 20 us, 100 Gbit/s with 3 us.",
        )
    )


def _least(result: Result) -> float:
    last = str(SIZES[-1])
    return min({str(n): e for n, e in line.items()}[last] for line in result["clusters"].values())


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--nets", nargs="+", default=["alexnet", "resnet18"])
    parser.add_argument("--folder", type=Path, default=folder_of(None))
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--docs", metavar="FILE", help="write the table between its marks there")
    parser.add_argument("--read", metavar="FILE", help="what --json wrote, in place of measuring")
    return parser.parse_args()


def _worker(kind: str, count: int, args: argparse.Namespace, net: str) -> Result:
    """What rank 0 of a run of ranks_worker.py prints."""
    mpiexec = shutil.which("mpiexec") or str(Path(sys.executable).with_name("mpiexec"))
    script = str(Path(__file__).with_name("ranks_worker.py"))
    command = [mpiexec, "-n", str(count), sys.executable, script, kind, net, str(args.seconds)]
    command += ["--folder", str(args.folder)] if args.folder else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    result: Result = json.loads(done.stdout.strip().splitlines()[0])
    return result


def _measured(net: str, args: argparse.Namespace, link: Result) -> Result:
    rounds = [
        {
            kind: float(_worker(*KINDS[kind], args, net)["rate"])
            for kind in (reversed(KINDS) if number % 2 else KINDS)
            if kind != "messages" or number == 0
        }
        for number in range(args.rounds)
    ]
    timeline, batch = _worker("timeline", 1, args, net), BATCHES.get(net, 8)
    rates = {k: statistics.median(r[k] for r in rounds if k in r) for k in KINDS}
    efficiency = {kind: _efficiency(rounds, kind) for kind in ("two", "apart", "messages")}
    result = {
        "net": net,
        "batch": batch,
        "rounds": rounds,
        "rates": rates,
        "efficiency": efficiency,
        "talking": statistics.median(r["two"] / r["apart"] for r in rounds),
        "model": _model(timeline, link, 1 / efficiency["apart"]),
        "timeline": timeline,
        "clusters": {
            name: {n: _hidden(timeline, Messages(*wire, link["averaged"]), n) for n in SIZES}
            for name, wire in CLUSTERS.items()
        },
    }
    own, model = result["efficiency"], result["model"]
    print(
        f"{net:10}{batch:6}{rates['one']:8.1f}{rates['two']:8.1f}{rates['apart']:8.1f}"
        f"{own['two']:11.2f} ({model['two']:.2f}){own['messages']:9.2f} ({model['messages']:.2f})",
        flush=True,
    )
    return result


def _efficiency(rounds: Sequence[Mapping[str, float]], kind: str) -> float:
    """Both ranks' speed over twice that of one in the same round."""
    return statistics.median(r[kind] / (2 * r["one"]) for r in rounds if kind in r)


def _model(timeline: Result, link: Result, beside: float) -> dict[str, float]:
    """The model's efficiency of two ranks of this machine."""
    memory = SharedMemory(link["meeting"])
    messages = Messages(link["latency"], link["bandwidth"], link["averaged"])
    return {
        "two": timeline["one"] / memory.step(timeline["of_two"], beside),
        "messages": timeline["one"] / messages.in_turn(timeline, 2, beside),
    }


def _hidden(timeline: Result, messages: Messages, ranks: int) -> float:
    return float(timeline["total"] / messages.hidden(timeline, ranks))


if __name__ == "__main__":
    main()
