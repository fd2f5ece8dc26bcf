"""Training on a GPU: milliseconds an iteration (forward, backward, SGD with momentum).

    python -m benchmarks.cuda_training --json cuda_training.json
    python -m benchmarks.cuda_training --nets lenet resnet18 --peers channels_last --limit 100

netc and PyTorch have the nets and batches of benchmarks/training.py, the same seeded weights, and
the same batch at each iteration, which both copy from the host; each gives its loss to the host at
the end, so that an iteration is timed from outside. They run in turn on the same device. Products
are in float32 in both, without matrix units. PyTorch runs eagerly, eagerly with channels last, and
by torch.compile; what cannot run says why. The ratio is netc's time to that of the best peer. First
losses are compared, where no layer draws at random; the status is 1 where they differ.

netc's tuner measures the products of a net the first time, which takes some seconds of a large one.
Each row is written when it is done; with --limit no row begins after so many seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.nets import folder_of
from benchmarks.seeded import seeded_weights
from benchmarks.training import (
    MOMENTUM,
    PEERS,
    RATE,
    Iterate,
    agree,
    batch_of,
    interleaved,
    solver_of,
)
from benchmarks.training_nets import BATCHES, training_text
from netc.diagnostics import NetcError

Row = dict[str, Any]


def main() -> None:
    """Measure every net and print a table."""
    from benchmarks.cuda_peers import give_back, machine
    from netc.backends.cuda.devices import current_device

    args = _arguments()
    try:
        current_device()
    except NetcError as error:
        sys.exit(str(error))
    report(args, machine(), give_back)


def report(args: argparse.Namespace, about: Mapping[str, str], between: Any) -> list[Row]:
    """The rows that there is time for, printed and written one by one."""
    print(" ".join(f"{key}={value}" for key, value in about.items()))
    columns = "".join(f"{peer:>14}" for peer in args.peers)
    print(f"{'net':12} {'batch':>5} {'netc ms':>8}{columns}  ratio  first losses")
    rows: list[Row] = []
    began = time.monotonic()
    for name in args.nets:
        if args.limit and time.monotonic() - began > args.limit:
            print(f"{name}: not begun, {args.limit:g} s are over")
            continue
        rows.append(measure(name, args.batch or BATCHES.get(name, 8), args))
        print(line(rows[-1], args.peers), flush=True)
        if args.json:
            found = {"machine": dict(about), "statistic": "median", "results": rows}
            args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        between()
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"geometric mean of the ratios {mean:.2f}, worst {max(ratios):.2f}")
    if any(row["losses_agree"] is False for row in rows):
        sys.exit("first losses differ")
    return rows


def measure(name: str, batch: int, args: argparse.Namespace) -> Row:
    """One row."""
    text = training_text(name, batch, args.folder)
    graph = netc.compile(
        text=text, phase="TRAIN", backend="reference", missing="fill", optimize=False
    ).graph
    weights, feeds = seeded_weights(graph), batch_of(graph)
    solver = solver_of(text, weights, feeds, backend="cuda")
    runs: dict[str, Iterate] = {"netc": lambda: float(solver.step(1)[0])}
    losses, cannot = {"netc": runs["netc"]()}, {}
    for peer in args.peers:
        try:
            run = _torch_run(text, weights, feeds, peer, args.torch_device)
            losses[peer], runs[peer] = run(), run
        except ImportError:
            cannot[peer] = "PyTorch is not installed"
        except Exception as error:  # of a library that may lack a layer or a compiler
            cannot[peer] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    for run in runs.values():
        run()  # the second iteration records what the first has tried
    times = interleaved(runs, args.seconds)
    shown = {key: 1e3 * statistics.median(values) for key, values in times.items()}
    peers = {key: value for key, value in shown.items() if key != "netc"}
    drawn = any(node.op == "Dropout" for node in graph.nodes)
    programs: dict[str, Any] = solver.report()["programs"]
    first: dict[str, Any] = programs["first"]
    return {
        "net": Path(name).stem,
        "batch": batch,
        "milliseconds": shown,
        "best_peer": min(peers, key=peers.__getitem__) if peers else None,
        "ratio": shown["netc"] / min(peers.values()) if peers else None,
        "losses": losses,
        "losses_agree": None if drawn else agree(losses),
        "cannot": cannot,
        "arena_bytes": first["arena_bytes"],
        "weights_bytes": first["weights_bytes"],
        "definitions": [*first["array_steps"], *first["host_steps"]],
        "library_steps": first["library_steps"],
    }


def _torch_run(
    text: str, weights: Mapping[str, Any], feeds: Mapping[str, Any], peer: str, device: str
) -> Iterate:
    import torch

    from benchmarks.torch_training import training_run

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    graph = netc.compile(
        text=text, weights=weights, phase="TRAIN", backend="reference", optimize=False
    ).graph
    return training_run(graph, feeds, torch.get_num_threads(), RATE, MOMENTUM, peer, device)


def line(row: Row, peers: Sequence[str]) -> str:
    """A row of the table."""
    times, losses = row["milliseconds"], row["losses"]
    shown = "".join(f"{times[p]:14.2f}" if p in times else f"{'-':>14}" for p in peers)
    ratio = f"{row['ratio']:6.2f}" if row["ratio"] else f"{'-':>6}"
    agreed = {None: "masks differ", True: "agree", False: "DIFFER"}[row["losses_agree"]]
    seen = ", ".join(f"{loss:.5f}" for loss in dict.fromkeys(losses.values()))
    head = f"{row['net']:12} {row['batch']:5} {times['netc']:8.2f}"
    lines = [f"{head}{shown} {ratio}  {agreed}: {seen}"]
    lines += [f"{'':12} {key}: {why}" for key, why in row["cannot"].items()]
    if row["definitions"]:
        lines.append(f"{'':12} by definition: {', '.join(row['definitions'][:4])}")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--nets", nargs="+", default=list(BATCHES), help="paths or names")
    parser.add_argument(
        "--folder", type=Path, default=folder_of(None), help="where names are looked up first"
    )
    parser.add_argument("--batch", type=int, help="default: one for each net")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each runtime of a row")
    parser.add_argument("--limit", type=float, help="seconds after which no row begins")
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.set_defaults(torch_device="cuda")
    return parser.parse_args()


if __name__ == "__main__":
    main()
