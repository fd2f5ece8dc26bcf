"""Predicting: rows a second of one process, and of Ray Data on the same cores.

    python benchmarks/predict.py --net resnet18 --rows 2000 --workers 1 2

Pictures of 500 by 375 are made and answered by `netc predict`, in one process and on a Ray of this
machine, in turn. The rate is that between the first shard that is written and the last one, so that
starting (Python, Ray, kernels) is left out; it is told beside it, since short runs consist of it.
Memory is the most that the command's process held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.nets import find, folder_of
from benchmarks.seeded import seeded_weights
from netc.images import Preprocessing, load_input

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    args = _arguments()
    print(" ".join(f"{k}={v}" for k, v in describe("numba", "ray", "Pillow").items()))
    print(f"{'engine':16} {'rows/s':>8} {'of one process':>15} {'start s':>8} {'memory MB':>10}")
    results = []
    with tempfile.TemporaryDirectory(prefix="netc-predict-") as folder:
        net, weights = _net(args, Path(folder))
        _pictures(Path(folder) / "pictures", args.rows)
        print(f"decoding takes {_decoding(Path(folder) / 'pictures'):.1f} ms of a core a picture")
        for repeat in range(args.repeats):
            for workers in (0, *args.workers):
                found = measure(args, Path(folder), net, weights, workers)
                results.append({"repeat": repeat, "workers": workers, **found})
                print(_line(results), flush=True)
    if args.json:
        report = {"machine": describe("numba", "ray", "Pillow"), "results": results}
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--net", default="squeezenet", help="a path, or a net of prototxt/")
    parser.add_argument("--folder", type=Path, help="of public definitions (else NETC_NETS)")
    parser.add_argument("--rows", type=int, default=1000, help="pictures")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="of Ray; none: 0")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures")
    return parser.parse_args()


def _net(args: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    path = find(args.net, folder_of(args.folder))
    made = netc.compile(path, backend="reference")
    weights = folder / "weights.npz"
    netc.save_weights(weights, seeded_weights(made.graph))
    return path, weights


def _pictures(folder: Path, number: int) -> None:
    """JPEGs of smooth noise, some 40 KB each, as photographs of this size are."""
    from PIL import Image

    folder.mkdir()
    draws = np.random.default_rng(0)
    for index in range(number):
        small = Image.fromarray(draws.integers(0, 255, (47, 63, 3), np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(
            folder / f"{index:06}.jpg", quality=90
        )


def _decoding(folder: Path) -> float:
    """Milliseconds to make an input of a picture, on one core."""
    how, paths = Preprocessing((224, 224), resize=256), sorted(folder.iterdir())[:50]
    start = time.process_time()
    for path in paths:
        load_input(path, how)
    return (time.process_time() - start) * 1000 / len(paths)


def measure(
    args: argparse.Namespace, folder: Path, net: Path, weights: Path, workers: int
) -> dict[str, Any]:
    """One run: rows a second between the first shard and the last, and seconds before the first."""
    target = folder / f"answers-{workers}"
    rows = max(args.batch, args.rows // 16 // args.batch * args.batch)
    command = [
        *(sys.executable, "-m", "netc", "predict", str(net), "-w", str(weights)),
        *(str(folder / "pictures"), "-o", f"{target}/", "--resize", "256", "--restart"),
        *("--batch", str(args.batch), "--shard-rows", str(rows)),
        *(("--on", "ray", "--workers", str(workers)) if workers else ()),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.time()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        if process.returncode:
            sys.exit(told.read().decode(errors="replace"))
    records = list((target / "_manifest").glob("part-*.json"))
    written = sorted(
        (path.stat().st_mtime, json.loads(path.read_text())["rows"]) for path in records
    )
    (first, before), (last, _) = written[0], written[-1]
    steady = (sum(count for _, count in written) - before) / (last - first)
    return {"rate": steady, "start": first - start, "memory": used.ru_maxrss / 1024}


def _line(results: list[dict[str, Any]]) -> str:
    last = results[-1]
    alone = next(r for r in reversed(results) if not r["workers"])
    name = f"ray, {last['workers']} workers" if last["workers"] else "one process"
    share = f"{last['rate'] / alone['rate']:.2f}"
    return f"{name:16} {last['rate']:8.1f} {share:>15} {last['start']:8.1f} {last['memory']:10.0f}"


if __name__ == "__main__":
    main()
