"""Training: milliseconds an iteration (forward, backward, SGD with momentum), netc and PyTorch.

    python -m benchmarks.training
    python -m benchmarks.training --nets lenet resnet18 --threads 1 --json training.json
    python -m benchmarks.training --nets alexnet --append
    python -m benchmarks.training --nets --docs docs/training.md

A full run takes long: with ``--append`` a net's rows are put beside those that the file has of
other nets and numbers of threads, each with its own machine and date; ``--docs`` writes the file's
table between its marks in a page, and without nets does that alone.

All begin with the same seeded weights and see the same batch at each iteration; they run in turn,
so that a noisy machine is noisy for all. PyTorch runs eagerly, eagerly with channels last, and by
torch.compile; ``--peers`` chooses. What cannot run says why. The ratio is netc's time to that of
the best peer. First losses are compared, where no layer draws at random.

Below each net's row stand what netc plans for an iteration (blobs, gradients, scratch memory) to
the least that any plan of its steps could take, and to what Caffe would hold; all that netc holds,
with parameters and history, to the same figure of Caffe, also with `iter_size: 2`; and the steps
that a definition runs in the place of a kernel, with their share.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.nets import folder_of
from benchmarks.pages import put
from benchmarks.seeded import seeded_weights
from benchmarks.training_nets import BATCHES, training_text
from netc.ops.update_rules import UpdateRule
from netc.report.training import training_memory
from netc.solver.solver import Solver
from netc.train.step import Updating

Iterate = Callable[[], float]
Result = dict[str, Any]  # a row as JSON
PEERS = ("eager", "channels_last", "compiled")
RESULTS = Path(__file__).resolve().parent / "results" / "training.json"
RATE, MOMENTUM = 1e-4, 0.9
_LEAST = 3  # iterations of a row, besides the first
_AGREE = 1e-3  # relative difference of first losses up to which they agree
_TITLES = {
    "lenet": "LeNet", "cifar_quick": "CIFAR-quick", "alexnet": "AlexNet", "googlenet": "GoogLeNet",
    "resnet18": "ResNet-18", "mobilenet2": "MobileNet v2", "resnet50": "ResNet-50",
}  # fmt: skip
_RATIOS = (
    "planned_to_floor", "planned_to_caffe", "held_to_caffe", "held_to_caffe_iter_size_2",
)  # fmt: skip
_STATISTICS = {"median": statistics.median, "least": min}


def main() -> None:
    args = _arguments()
    print(" ".join(f"{k}={v}" for k, v in describe("numba", "torch").items()))
    columns = "".join(f"{peer:>14}" for peer in args.peers)
    print(f"{'net':12} {'batch':>5} {'threads':>7} {'netc ms':>8}{columns}  ratio  first losses")
    results = []
    old = _results(args.json) if args.append or not args.nets else []
    for name in args.nets:
        for threads in args.threads:
            result = measure(name, args.batch or BATCHES.get(name, 8), threads, args)
            results.append(result)
            print(_lines(result, args.peers), flush=True)
            _write(args.json, old, results)
    results = joined(old, results)
    if results:
        print(mean_of(results))
    if args.docs:
        put(args.docs, "training", table(results))


def mean_of(results: Sequence[Mapping[str, Any]]) -> str:
    """The geometric mean of rows' ratios, and the worst."""
    ratios = [r["ratio"] for r in results if r["ratio"]]
    if not ratios:
        return "no peer ran"
    mean = float(np.exp(np.mean(np.log(ratios))))
    return f"geometric mean of {len(ratios)} ratios {mean:.2f}, worst {max(ratios):.2f}"


def joined(old: Sequence[Result], new: Sequence[Result]) -> list[Result]:
    """Rows of a file with new ones in the place of those of the same net, batch and threads."""
    made = {_key(row): row for row in (*old, *new)}
    order = list(BATCHES)
    known = {name: index for index, name in enumerate(order)}
    return sorted(made.values(), key=lambda r: (known.get(r["net"], len(order)), *_key(r)))


def _key(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["net"], row["batch"], row["threads"]


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: a row for each net and batch, with the time at each number of threads."""
    threads = sorted({r["threads"] for r in results})
    times = [t for n in threads for t in (f"ms, {_threads(n)}", "netc / best peer")]
    heads = ["net", *times, "planned / floor", "planned / Caffe", "held / Caffe", "iter_size 2"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for net, batch in dict.fromkeys((r["net"], r["batch"]) for r in results):
        own = {r["threads"]: r for r in results if (r["net"], r["batch"]) == (net, batch)}
        cells = [cell for n in threads for cell in _times(own.get(n))]
        memory = next(iter(own.values()))["memory"]
        cells += [f"{memory[name]:.2f}" if name in memory else "" for name in _RATIOS]
        lines.append(f"| {_TITLES.get(net, net)}, batch {batch} | {' | '.join(cells)} |")
    machines = dict.fromkeys((r["machine"]["processor"], r["machine"]["date"]) for r in results)
    measured = "; ".join(f"{processor}, {date}" for processor, date in machines)
    return "\n".join([*lines, "", f"{mean_of(results).capitalize()}. Measured: {measured}."])


def _times(row: Mapping[str, Any] | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    return f"{row['milliseconds']['netc']:.0f}", f"{row['ratio']:.2f}" if row["ratio"] else "-"


def _threads(number: int) -> str:
    return f"{number} thread" + "s" * (number > 1)


def _results(path: Path) -> list[Result]:
    """The rows of a file; of an older one each has the machine of all."""
    if not path.exists():
        return []
    report = json.loads(path.read_text("utf-8"))
    own = {key: report[key] for key in ("machine", "statistic") if key in report}
    return [{**own, **row} for row in report["results"]]


def _write(path: Path, old: list[Result], results: list[Result]) -> None:
    report = {"results": joined(old, results)}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--nets", nargs="*", default=list(BATCHES), help="paths or names")
    parser.add_argument(
        "--folder", type=Path, default=folder_of(None), help="where names are looked up first"
    )
    parser.add_argument("--batch", type=int, help="default: one for each net")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each runtime of a row")
    parser.add_argument(
        "--statistic",
        default="median",
        choices=_STATISTICS,
        help="of a row's iterations; the least says more on a busy machine",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULTS)
    parser.add_argument("--append", action="store_true", help="keep the file's other rows")
    parser.add_argument("--docs", metavar="FILE", type=Path, help="write the table there")
    return parser.parse_args()


def measure(name: str, batch: int, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    text = training_text(name, batch, args.folder)
    graph = netc.compile(
        text=text, phase="TRAIN", backend="reference", missing="fill", optimize=False
    ).graph
    weights, feeds = seeded_weights(graph), batch_of(graph)
    solver = solver_of(text, weights, feeds, threads)
    runs: dict[str, Iterate] = {"netc": lambda: float(solver.step(1)[0])}
    losses, cannot = {"netc": runs["netc"]()}, {}
    for peer in args.peers:
        try:
            run = _torch_run(text, weights, feeds, threads, peer)
            losses[peer], runs[peer] = run(), run
        except ImportError:
            cannot[peer] = "PyTorch is not installed"
        except Exception as error:  # of a library that may lack a layer or a compiler
            cannot[peer] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    times = interleaved(runs, args.seconds)
    shown = {key: 1e3 * _STATISTICS[args.statistic](values) for key, values in times.items()}
    peers = {key: value for key, value in shown.items() if key != "netc"}
    drawn = any(node.op == "Dropout" for node in graph.nodes)
    return {
        "machine": describe("numba", "torch"),
        "statistic": args.statistic,
        "net": Path(name).stem,
        "batch": batch,
        "threads": threads,
        "milliseconds": shown,
        "best_peer": min(peers, key=peers.__getitem__) if peers else None,
        "ratio": shown["netc"] / min(peers.values()) if peers else None,
        "losses": losses,
        "losses_agree": None if drawn else agree(losses),
        "cannot": cannot,
        "memory": _memory(graph),
        "definitions": _definitions(solver, feeds),
    }


def agree(losses: Mapping[str, float]) -> bool:
    """Whether all first losses are netc's, as far as sums in other orders are."""
    first = losses["netc"]
    return all(abs(loss - first) <= _AGREE * abs(first) for loss in losses.values())


def _memory(graph: Any) -> dict[str, float]:
    """Bytes of an iteration, and what they are to the floor and to Caffe's."""
    rule = UpdateRule("SGD", momentum=MOMENTUM)
    used = training_memory(graph, Updating(rule))
    summed = training_memory(graph, Updating(rule, iter_size=2))
    assert used.planned is not None and used.floor and used.total and summed.total
    return {
        "planned_bytes": used.planned,
        "held_bytes": used.total,
        "caffe_bytes": used.caffe,
        "planned_to_floor": used.planned / used.floor,
        "planned_to_caffe": used.planned / used.caffe,
        "held_to_caffe": used.total / used.caffe,
        "held_to_caffe_iter_size_2": summed.total / summed.caffe,
    }


def batch_of(graph: Any) -> dict[str, np.ndarray]:
    """A batch of random numbers and labels, the same at each call."""
    random = np.random.default_rng(1)
    found = {}
    for blob, value in graph.input_blobs.items():
        shape = graph.shape(value)
        if blob == "label":
            found[blob] = random.integers(0, 10, shape).astype(np.float32)
        else:
            found[blob] = random.standard_normal(shape, np.float32)
    return found


def solver_of(
    text: str,
    weights: Mapping[str, Any],
    feeds: Mapping[str, Any],
    threads: int | None = None,
    backend: str = "cpu",
) -> Solver:
    """A solver that sees the same batch at each iteration."""
    solver = (
        f'net_param {{ {text} }} base_lr: {RATE} lr_policy: "fixed" momentum: {MOMENTUM} '
        "weight_decay: 0 max_iter: 1000000 snapshot_after_train: false random_seed: 1"
    )
    source = netc.Source("solver.prototxt", solver)
    return Solver(source, weights, feeds=lambda: feeds, threads=threads, backend=backend)


def _torch_run(
    text: str, weights: Mapping[str, Any], feeds: Mapping[str, Any], threads: int, peer: str
) -> Iterate:
    from benchmarks.torch_training import training_run

    graph = netc.compile(
        text=text, weights=weights, phase="TRAIN", backend="reference", optimize=False
    ).graph
    return training_run(graph, feeds, threads, RATE, MOMENTUM, peer)


def interleaved(runs: Mapping[str, Iterate], seconds: float) -> dict[str, list[float]]:
    """Seconds of each iteration, all running in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or len(times["netc"]) < _LEAST:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return times


def _definitions(solver: Solver, feeds: Mapping[str, Any]) -> dict[str, float]:
    """Step that a definition runs -> its share of an iteration, the largest first."""
    net = solver._train._first
    scalars = solver._train._scalars(net, np.float32(RATE), 0)
    given = {name: np.zeros(shape, np.float32) for name, shape in net.inputs.items()}
    given.update({**feeds, **scalars})
    executable = net.executable(tuple(net.inputs.values()))
    times = executable.timed({name: given[name] for name in net.inputs})[1]
    whole = sum(t.seconds for t in times)
    slow = sorted((t for t in times if not t.compiled), key=lambda t: -t.seconds)
    return {t.name: t.seconds / whole for t in slow}


def _lines(result: Mapping[str, Any], peers: list[str]) -> str:
    times, losses, memory = (result[key] for key in ("milliseconds", "losses", "memory"))
    shown = "".join(f"{times[p]:14.1f}" if p in times else f"{'-':>14}" for p in peers)
    ratio = f"{result['ratio']:6.2f}" if result["ratio"] else f"{'-':>6}"
    agree = {None: "masks differ", True: "agree", False: "DIFFER"}[result["losses_agree"]]
    seen = ", ".join(f"{loss:.5f}" for loss in dict.fromkeys(losses.values()))
    head = f"{result['net']:12} {result['batch']:5} {result['threads']:7}"
    lines = [f"{head} {times['netc']:8.1f}{shown} {ratio}  {agree}: {seen}"]
    lines += [f"{'':12} {key}: {why}" for key, why in result["cannot"].items()]
    lines.append(
        f"{'':12} planned / floor {memory['planned_to_floor']:.3f}, "
        f"planned / Caffe {memory['planned_to_caffe']:.2f}, "
        f"held / Caffe {memory['held_to_caffe']:.2f} "
        f"({memory['held_to_caffe_iter_size_2']:.2f} with iter_size 2)"
    )
    slow = result["definitions"]
    most = ", ".join(f"{name} {share:.1%}" for name, share in list(slow.items())[:4])
    if slow:
        lines.append(f"{'':12} {len(slow)} by definition, {sum(slow.values()):.1%}: {most}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
