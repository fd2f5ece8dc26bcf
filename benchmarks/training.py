"""Training: milliseconds an iteration (forward, backward, SGD with momentum), netc and PyTorch.

    python benchmarks/training.py --nets lenet resnet18 --threads 1 2 --json training.json

Both begin with the same seeded weights and see the same batch at each iteration; they run in turn,
so that a noisy machine is noisy for both. Their first losses are compared, where no layer draws at
random. PyTorch runs eagerly, channels last; where it is not installed its column says so. Below
each net stand the steps that a definition runs in the place of a kernel, and their share.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.nets import find, folder_of, plain
from benchmarks.seeded import seeded_weights
from netc.solver.solver import Solver

Iterate = Callable[[], float]
BATCHES = {
    "lenet": 64, "cifar_quick": 100, "alexnet": 16, "googlenet": 8, "resnet18": 8,
    "mobilenet2": 8, "resnet50": 4,
}  # fmt: skip
RATE, MOMENTUM = 1e-4, 0.9
_LEAST = 3  # iterations of a row, besides the first
#: Names that prototxt/ has under another one: file, and what is set in it.
_VARIANTS = {"resnet50": ("resnet152", {"depth": "50"})}
_CIFAR_QUICK = """
name: "CIFAR-quick"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 100 dim: 3 dim: 32 dim: 32 } } }
""" + "".join(
    f"""
layer {{ name: "conv{i}" type: "Convolution" bottom: "{below}" top: "conv{i}"
        convolution_param {{ num_output: {width} kernel_size: 5 pad: 2 }} }}
layer {{ name: "relu{i}" type: "ReLU" bottom: "conv{i}" top: "conv{i}" }}
layer {{ name: "pool{i}" type: "Pooling" bottom: "conv{i}" top: "pool{i}"
        pooling_param {{ pool: {method} kernel_size: 3 stride: 2 }} }}"""
    for i, below, width, method in (
        (1, "data", 32, "MAX"), (2, "pool1", 32, "AVE"), (3, "pool2", 64, "AVE")
    )
) + """
layer { name: "ip1" type: "InnerProduct" bottom: "pool3" top: "ip1"
        inner_product_param { num_output: 64 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""  # fmt: skip


def main() -> None:
    args = _arguments()
    print(" ".join(f"{k}={v}" for k, v in describe("numba", "torch").items()))
    print(f"{'net':12} {'batch':>5} {'threads':>7}  netc ms  PyTorch ms  ratio  first losses")
    results = []
    for name in args.nets:
        for threads in args.threads:
            result = measure(name, args.batch or BATCHES.get(name, 8), threads, args)
            results.append(result)
            print(_line(result), flush=True)
    ratios = [r["ratio"] for r in results if r["ratio"]]
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"geometric mean of the ratios {mean:.2f}, worst {max(ratios):.2f}")
    if args.json:
        report = {"machine": describe("numba", "torch"), "results": results}
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--nets", nargs="+", default=list(BATCHES), help="paths or names")
    parser.add_argument(
        "--folder", type=Path, default=folder_of(None), help="where names are looked up first"
    )
    parser.add_argument("--batch", type=int, help="default: one for each net")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each runtime of a row")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def training_text(name: str, batch: int, folder: Path | None = None) -> str:
    """A net as plain prototxt, for a batch, with its own losses, or one in the place of Softmax."""
    if name == "cifar_quick":
        text = _CIFAR_QUICK
    else:
        file, chosen = _VARIANTS.get(name, (name, {}))
        path = find(file, folder)
        text = _with_parameters(path, chosen) if chosen else plain(path).read_text("utf-8")
    text = _without_expectations(text)
    start = r"(input_param\s*\{\s*shape\s*\{\s*dim:\s*)\d+"
    text, places = re.subn(start, rf"\g<1>{batch}", text)
    if not places:
        raise SystemExit(f"`{name}` has no Input layer whose batch could be set")
    if '"SoftmaxWithLoss"' in text:  # the text has a part for training
        return text
    found = r'(type: )"Softmax"(\s+bottom: "[^"]+")'
    text, losses = re.subn(found, r'\g<1>"SoftmaxWithLoss"\g<2> bottom: "label"', text)
    if not losses:
        raise SystemExit(f"`{name}` has no Softmax to be trained by")
    shape = f"shape {{ dim: {batch} }}"
    label = f'layer {{ name: "label" type: "Input" top: "label" input_param {{ {shape} }} }}'
    return f"{label}\n{text}"


def _with_parameters(path: Path, chosen: Mapping[str, str]) -> str:
    from netc.language.plain import plain_text
    from netc.language.read import read_document
    from netc.schema.load import load_schema
    from netc.syntax.reader import read_source

    return plain_text(read_document(read_source(path), load_schema(), chosen, path.parent))


def _without_expectations(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith("#"))


def measure(name: str, batch: int, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    text = training_text(name, batch, args.folder)
    graph = netc.compile(
        text=text, phase="TRAIN", backend="reference", missing="fill", optimize=False
    ).graph
    weights, feeds = seeded_weights(graph), _batch(graph)
    solver = _solver(text, weights, feeds, threads)
    runs: dict[str, Iterate] = {"netc": lambda: float(solver.step(1)[0])}
    cannot = {}
    try:
        runs["torch"] = _torch_run(text, weights, feeds, threads)
    except ImportError:
        cannot["torch"] = "PyTorch is not installed"
    except Exception as error:  # of a library that may lack a layer
        cannot["torch"] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    losses = {key: run() for key, run in runs.items()}
    medians = _interleaved(runs, args.seconds)
    return {
        "net": Path(name).stem,
        "batch": batch,
        "threads": threads,
        "milliseconds": medians,
        "ratio": medians["netc"] / medians["torch"] if "torch" in medians else None,
        "losses": losses,
        "drawn": any(node.op == "Dropout" for node in graph.nodes),
        "cannot": cannot,
        "definitions": _definitions(solver, feeds),
    }


def _batch(graph: Any) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    found = {}
    for blob, value in graph.input_blobs.items():
        shape = graph.shape(value)
        if blob == "label":
            found[blob] = random.integers(0, 10, shape).astype(np.float32)
        else:
            found[blob] = random.standard_normal(shape, np.float32)
    return found


def _solver(
    text: str, weights: Mapping[str, Any], feeds: Mapping[str, Any], threads: int
) -> Solver:
    solver = (
        f'net_param {{ {text} }} base_lr: {RATE} lr_policy: "fixed" momentum: {MOMENTUM} '
        "weight_decay: 0 max_iter: 1000000 snapshot_after_train: false random_seed: 1"
    )
    source = netc.Source("solver.prototxt", solver)
    return Solver(source, weights, feeds=lambda: feeds, threads=threads)


def _torch_run(
    text: str, weights: Mapping[str, Any], feeds: Mapping[str, Any], threads: int
) -> Iterate:
    from benchmarks.torch_training import training_run

    graph = netc.compile(
        text=text, weights=weights, phase="TRAIN", backend="reference", optimize=False
    ).graph
    return training_run(graph, feeds, threads, RATE, MOMENTUM)


def _interleaved(runs: Mapping[str, Iterate], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, all running in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or len(times["netc"]) < _LEAST:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


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


def _line(result: Mapping[str, Any]) -> str:
    times, losses = result["milliseconds"], result["losses"]
    torch = f"{times['torch']:10.1f}" if "torch" in times else f"{'-':>10}"
    ratio = f"{result['ratio']:5.2f}" if result["ratio"] else f"{'-':>5}"
    shown = ", ".join(f"{loss:.5f}" for loss in losses.values())
    drawn = "  (masks differ)" if result["drawn"] and len(losses) > 1 else ""
    head = f"{result['net']:12} {result['batch']:5} {result['threads']:7}"
    lines = [f"{head}  {times['netc']:7.1f}  {torch}  {ratio}  {shown}{drawn}"]
    lines += [f"{'':12} {key}: {why}" for key, why in result["cannot"].items()]
    slow = result["definitions"]
    most = ", ".join(f"{name} {share:.1%}" for name, share in list(slow.items())[:4])
    if slow:
        lines.append(f"{'':12} {len(slow)} by definition, {sum(slow.values()):.1%}: {most}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
