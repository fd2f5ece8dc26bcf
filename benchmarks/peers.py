"""netc against the runtimes people would pick instead, on the same nets, interleaved.

    python benchmarks/peers.py --nets alexnet googlenet --batch 1 --threads 1 2

Every net gets the same seeded random weights everywhere; peers get it through netc's ONNX writer.
All runtimes run one after another, round after round, so that a noisy machine is noisy for each of
them, in an order that changes from round to round, since threads of one may still spin while the
next one starts. Their answers are compared; the table gives medians and netc's ratio to the best
peer. A peer that cannot take a net says why in the net's row. Detection nets need images as large
as their users': ``--input-shape data=1,3,600,800``.

A table may be made in parts, each of which adds its rows to one file:

    python benchmarks/peers.py --nets alexnet --json table.json --append
    python benchmarks/peers.py --nets vgg16 --batch 8 32 --json table.json --append
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.cpu_runtimes import PEERS, Run
from benchmarks.machine import describe
from benchmarks.nets import find, folder_of
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.cli.arguments import add_shape_argument
from netc.export.onnx import to_onnx
from netc.ir.graph import Graph

_UNTOLD = ("test", "deploy", "train_val")  # files that say nothing of their net
NETS = (
    "alexnet", "googlenet", "squeezenet", "vgg16", "resnet18", "mobilenet", "densenet121",
    "inceptionv3",
)  # fmt: skip
SECONDS = 4.0  # for each runtime of a row


def main() -> None:
    args = _arguments()
    if args.device == "cuda":
        from benchmarks import cuda_peers

        cuda_peers.main(args, find)
        return
    if args.isa:
        held_to(args.isa)
    _head()
    results = []
    for name in args.nets:
        for batch in args.batch:
            for threads in args.threads:
                result = measure(find(name, args.folder), batch, threads, args)
                results.append(result)
                print(_line(result), flush=True)
                if args.json:
                    write(Path(args.json), results, append=args.append)
    print(_summary(results))


def write(file: Path, results: Sequence[Mapping[str, Any]], *, append: bool) -> None:
    """The rows as JSON, behind those of other runs that the file has already."""
    made = {_key(row) for row in results}
    old = json.loads(file.read_text("utf-8"))["results"] if append and file.is_file() else []
    kept = [row for row in old if _key(row) not in made]
    report = {"machine": machine(), "results": [*kept, *results]}
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _key(row: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(row.get(name) for name in ("net", "batch", "threads", "isa"))


# What holds a peer to fewer instructions; the others cannot be held.
_HELD = {
    "avx2": {
        "NETC_CPU_ISA": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENCV_CPU_DISABLE": "AVX512-SKX",
    }
}
_CAN_BE_HELD = ("openvino", "opencv")


def held_to(isa: str) -> None:
    """Have netc, OpenVINO and OpenCV use no wider instructions; before any of them is imported."""
    os.environ.update(_HELD[isa])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument(
        "--nets", nargs="+", default=list(NETS), help="paths, or names of prototxt/"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=folder_of(None),
        help="where names are looked up first, such as that of public definitions",
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--seconds", type=float, help="for each runtime of a row; default: 4, half a second on cuda"
    )
    parser.add_argument(
        "--limit", type=int, default=300, help="seconds that a runtime may take to be made, on cuda"
    )
    parser.add_argument(
        "--isa",
        choices=tuple(_HELD),
        help="hold all runtimes to it; those that cannot be are left out",
    )
    add_shape_argument(parser)
    parser.add_argument(
        "--append", action="store_true", help="keep the other rows that FILE of --json has"
    )
    parser.add_argument("--peers", nargs="*", help="names; default: all that are installed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["float32"],
        choices=("float32", "tf32", "fp16"),
        help="of a GPU's products",
    )
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def _head() -> None:
    print(" ".join(f"{k}={v}" for k, v in machine().items()))
    print(f"{'net':14} {'batch':>5} {'threads':>7}  netc ms  (peers ms)  netc / best peer")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    pass


def machine() -> dict[str, str]:
    return describe("numba", "onnxruntime", "openvino", "opencv-python-headless", "MNN")


def measure(path: Path, batch: int, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """One row: every runtime's median, and whether the answers agree."""
    plain = netc.compile(path, backend="reference")
    given = {name: shape for name, shape in args.input_shape if name in plain.inputs}
    shapes = {name: (batch, *s[1:]) for name, s in {**plain.inputs, **given}.items()}
    plain = netc.compile(path, backend="reference", inputs=shapes)
    weights = seeded_weights(plain.graph)
    own = netc.compile(path, weights, inputs=shapes, threads=threads)
    feeds = seeded_inputs(own.graph)
    runs: dict[str, Run] = {"netc": lambda: own(feeds)}
    made, cannot = _peers(
        netc.compile(path, weights, backend="reference", inputs=shapes).graph, feeds, threads, args
    )
    runs.update(made)
    errors = _disagreements(runs)
    medians = _interleaved(runs, args.seconds or SECONDS)
    peers = {k: v for k, v in medians.items() if k != "netc"}
    best = min(peers, key=lambda k: peers[k], default=None)
    return {
        "net": plain.graph.name if path.stem in _UNTOLD and plain.graph.name else path.stem,
        "batch": batch,
        "threads": threads,
        "isa": args.isa or own.report()["isa"],
        "milliseconds": medians,
        "best_peer": best,
        "ratio": medians["netc"] / peers[best] if best else None,
        "disagreement": errors,
        "cannot": cannot,
    }


def _peers(
    graph: Graph, feeds: Mapping[str, Any], threads: int, args: argparse.Namespace
) -> tuple[dict[str, Run], dict[str, str]]:
    """The peers that ran once, and what the others say."""
    try:
        model = to_onnx(graph)
    except netc.NetcError as error:
        return {}, {"all of them": _first_line(error)}
    runs: dict[str, Run] = {}
    cannot: dict[str, str] = {}
    for name in PEERS if args.peers is None else args.peers:
        if args.isa and name not in _CAN_BE_HELD:
            cannot[name] = f"cannot be held to {args.isa}"
            continue
        try:
            peer = PEERS[name](model, feeds, threads)
            if peer is not None:
                peer()
                runs[name] = peer
        except Exception as error:  # of whatever library
            cannot[name] = _first_line(error)
    return runs, cannot


def _first_line(error: Exception) -> str:
    """What a library says, in a line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:120]}"


def _disagreements(runs: Mapping[str, Run]) -> dict[str, float]:
    """How far each peer's answers are from netc's, relative to the largest value."""
    own = runs["netc"]()
    found = {}
    for name, run in runs.items():
        if name == "netc":
            continue
        other = run()
        worst = 0.0
        for key, value in own.items():
            scale = float(np.abs(value).max(initial=0)) or 1.0
            theirs = np.asarray(other[key])
            if theirs.size != value.size:  # as where a box more or less was found
                worst = float("inf")
                continue
            theirs = theirs.reshape(value.shape)
            worst = max(worst, float(np.abs(value - theirs).max(initial=0)) / scale)
        found[name] = worst
    return found


def _interleaved(runs: Mapping[str, Run], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, all running in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    order, chance = list(runs.items()), random.Random(0)
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or len(times["netc"]) < 5:
        chance.shuffle(order)
        for name, run in order:
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def _line(result: Mapping[str, Any]) -> str:
    times = result["milliseconds"]
    peers = "  ".join(f"{k} {v:.1f}" for k, v in times.items() if k != "netc")
    ratio = f"{result['ratio']:.2f}" if result["ratio"] else "-"
    differ = {k: v for k, v in result["disagreement"].items() if v > 1e-3}
    note = "".join(f"  {k}'s answer differs by {v:.1e}" for k, v in differ.items())
    head = f"{result['net']:14} {result['batch']:5} {result['threads']:7}"
    cannot = "".join(f"\n{'':14} {k} cannot: {why}" for k, why in result["cannot"].items())
    return f"{head}  {times['netc']:7.1f}  ({peers})  {ratio}{note}{cannot}"


def _summary(results: list[dict[str, Any]]) -> str:
    ratios = [r["ratio"] for r in results if r["ratio"]]
    if not ratios:
        return "no peer ran: pip install onnxruntime openvino MNN 'opencv-python-headless<5'"
    mean = float(np.exp(np.mean(np.log(ratios))))
    return f"geometric mean of the ratios {mean:.2f}, worst {max(ratios):.2f}"


if __name__ == "__main__":
    main()
