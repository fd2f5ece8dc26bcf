"""Training that reads its pictures against training that is fed: milliseconds an iteration.

    python -m benchmarks.training_data
    python -m benchmarks.training_data --cases lenet_raw --threads 1 2 --seconds 4

Each net is trained twice, in turn: with a Data layer, which reads an LMDB, decodes, transforms and
makes batches beside the step; and with the same batches fed as arrays that are there already. The
ratio is what reading costs; in the first epoch, where all is decoded, and in later ones, for which
decoded records are kept as far as there is room. Databases hold pixels (`raw`) or files (`jpeg`),
made by `netc data make` of random pictures: LeNet's are 1x28x28, scaled; CIFAR-quick's 3x32x32,
less a mean file, mirrored; `crop` cuts 32x32 out of 40x40. LeNet's batch is 64, CIFAR-quick's 100.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.pages import put
from benchmarks.training_nets import BATCHES, training_text
from netc.cli.main import main as command
from netc.solver.solver import Solver

RESULTS = Path(__file__).resolve().parent / "results" / "training-data.json"
RECORDS = 2000
_LEAST = 5  # turns of a row
_IN_A_ROW = 20  # iterations of a turn
_AHEAD = 3  # batches that are read before they are asked for


class Case(NamedTuple):
    """What is read: a net, whether pictures are stored as files, their shape and the transform."""

    net: str
    encoded: bool
    shape: tuple[int, int, int]
    transform: str


CASES: Mapping[str, Case] = {
    "lenet_raw": Case("lenet", False, (1, 28, 28), "scale: 0.00390625"),
    "lenet_jpeg": Case("lenet", True, (1, 28, 28), "scale: 0.00390625"),
    "cifar_raw": Case("cifar_quick", False, (3, 32, 32), 'mean_file: "{mean}" mirror: true'),
    "cifar_jpeg": Case("cifar_quick", True, (3, 32, 32), 'mean_file: "{mean}" mirror: true'),
    "cifar_crop": Case(
        "cifar_quick", True, (3, 40, 40), "mean_value: 127 mirror: true crop_size: 32"
    ),
}


def main() -> None:
    args = _arguments()
    print(" ".join(f"{k}={v}" for k, v in describe("numba").items()))
    print(f"{'case':12} {'threads':>7} {'fed ms':>8} {'reading':>8} {'ratio':>6} first epoch")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.cases:
            text = _text(name, Path(folder))
            for threads in args.threads:
                found = measure(text, threads, args.seconds)
                results.append({"case": name, "threads": threads, **found})
                print(_line(results[-1]), flush=True)
    report = {"machine": describe("numba"), "results": results}
    args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        put(args.docs, "reading", _table(results))


def measure(text: str, threads: int, seconds: float) -> dict[str, float]:
    """Milliseconds of an iteration, medians of runs that take turns."""
    reading = _solver(text, None, threads)
    fed = _solver(text, _first_batch(reading), threads)
    runs: dict[str, Callable[[], object]] = {
        "reading": lambda: reading.step(1),
        "fed": lambda: fed.step(1),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    fed.step(_IN_A_ROW)
    first = [_seconds(runs["reading"]) for _ in range(RECORDS // reading.batch - _AHEAD)]
    end = time.perf_counter() + 2 * seconds
    while time.perf_counter() < end or len(times["fed"]) < _LEAST:
        for name, run in runs.items():
            # Several in a row: what one has read ahead while the other ran would cost nothing.
            times[name].append(_seconds(run, _IN_A_ROW))
    shown = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    ratios = {
        "ratio": shown["reading"] / shown["fed"],
        "first_epoch": 1e3 * statistics.median(first) / shown["fed"],
    }
    return {**shown, **ratios}


def _seconds(run: Callable[[], object], times: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - begin) / times


def _solver(text: str, feeds: Any, threads: int) -> Solver:
    solver = (
        f'net_param {{ {text} }} base_lr: 1e-5 lr_policy: "fixed" momentum: 0.9 '
        "max_iter: 1000000 snapshot_after_train: false random_seed: 1"
    )
    return Solver(netc.Source("solver.prototxt", solver), feeds=feeds, threads=threads)


def _first_batch(solver: Solver) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in solver._run.feeds.peek().items()}


def _text(name: str, folder: Path) -> str:
    """A net with a Data layer, whose database is made."""
    case = CASES[name]
    text = training_text(case.net, BATCHES[case.net])
    body = "layer {" + text.split("layer {", 3)[3]  # behind `label` and `data`
    database = folder / name
    made = _made(case, folder / f"{name}_pictures")
    _quietly("data", "make", str(made), "-o", str(database), *(["--encoded"] * case.encoded))
    mean = folder / f"{name}.binaryproto"
    if "{mean}" in case.transform:
        _quietly("data", "mean", str(database), "-o", str(mean))
    transform = case.transform.replace("{mean}", str(mean))
    return (
        'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } '
        f'data_param {{ source: "{database}" backend: LMDB batch_size: {BATCHES[case.net]} }} '
        f"transform_param {{ {transform} }} }}\n{body}"
    )


def _quietly(*words: str) -> None:
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        if command([*words]):
            raise SystemExit(f"`netc {' '.join(words)}` failed")


def _made(case: Case, folder: Path) -> Path:
    """Random pictures, smooth ones as JPEGs are meant for: arrays, or files in a folder."""
    random = np.random.default_rng(0)
    channels, high, wide = case.shape
    coarse = random.integers(0, 256, (RECORDS, channels, high // 4, wide // 4), np.uint8)
    pictures = coarse.repeat(4, 2).repeat(4, 3)
    labels = random.integers(0, 10, RECORDS)
    folder.mkdir()
    if not case.encoded:
        np.savez(folder / "all.npz", data=pictures, label=labels)
        return folder / "all.npz"
    from PIL import Image

    for number, picture in enumerate(pictures):
        shown = picture[0] if channels == 1 else picture.transpose(1, 2, 0)
        Image.fromarray(shown).save(folder / f"{number:05}.jpg", quality=90)
    lines = [f"{number:05}.jpg {label}" for number, label in enumerate(labels)]
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return folder / "list.txt"


def _line(found: Mapping[str, Any]) -> str:
    return (
        f"{found['case']:12} {found['threads']:7} {found['fed']:8.2f} {found['reading']:8.2f} "
        f"{found['ratio']:6.3f} {found['first_epoch']:11.3f}"
    )


def _table(results: list[dict[str, Any]]) -> str:
    heads = ["case", "threads", "ms, fed", "ms, reading", "ratio", "in the first epoch"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [
        f"| {r['case']} | {r['threads']} | {r['fed']:.1f} | {r['reading']:.1f} | "
        f"{r['ratio']:.2f} | {r['first_epoch']:.2f} |"
        for r in results
    ]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run of a row")
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULTS)
    parser.add_argument("--docs", metavar="FILE", type=Path, help="write the table there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
