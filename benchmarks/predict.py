"""Predicting: rows a second of one process, and of Ray Data on the same cores.

    python benchmarks/predict.py --json benchmarks/results/predict.json --docs docs/scale.md

Pictures of 500 by 375 are made and answered by `netc predict`, in one process and on a Ray of this
machine, in turn. The rate is that of the last three quarters of the rows, by the times at which
their shards were written, so that starting (Python, Ray and its processes, kernels) is left out;
the time until the first shard is told beside it, since short runs consist of it. What Ray gives is
compared with the one process of the same repeat. Memory is the most that the command's process
held.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.nets import find, folder_of
from benchmarks.pages import put
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
        decoding = _decoding(Path(folder) / "pictures")
        print(f"decoding takes {decoding:.1f} ms of a core a picture")
        alone = 0.0  # rows a second of the one process of a repeat
        for repeat in range(args.repeats):
            for workers in (0, *args.workers):
                found = measure(args, Path(folder), net, weights, workers)
                alone = alone if workers else found["rate"]
                share = found["rate"] / alone
                results.append({"repeat": repeat, "workers": workers, "share": share, **found})
                print(_line(results), flush=True)
    report = {"machine": describe("numba", "ray", "Pillow"), "net": args.net, "rows": args.rows}
    report["decoding"], report["results"] = decoding, results
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        put(args.docs, "rows a second", _page(report))


def _page(report: dict[str, Any]) -> str:
    """The table of docs/scale.md."""
    machine, results = report["machine"], report["results"]
    kinds = list(dict.fromkeys(r["workers"] for r in results))
    rows = []
    for kind in kinds:
        own = [r for r in results if r["workers"] == kind]
        rate, start, memory = (
            statistics.median(r[name] for r in own) for name in ("rate", "start", "memory")
        )
        share = statistics.median(r["share"] for r in own)
        rows.append(
            f"| {_name(kind)} | {rate:.1f} | {share:.2f} | {start:.0f} s | {memory:.0f} MB |"
        )
    return "\n".join(
        (
            "| engine | rows a second | of one process | first shard after | memory |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"{Path(report['net']).stem}, {report['rows']} JPEGs of 500 x 375, "
            f"{report['decoding']:.1f} ms of a core to decode and resize each; "
            f"{machine['processor']}, {machine['cores']} cores, {machine['date']}.",
        )
    )


def _name(workers: int) -> str:
    return f"ray, {workers} worker{'s' * (workers > 1)}" if workers else "one process"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--net", default="resnet18", help="a path, or a net of prototxt/")
    parser.add_argument("--folder", type=Path, help="of public definitions (else NETC_NETS)")
    parser.add_argument("--rows", type=int, default=1200, help="pictures")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="of Ray; none: 0")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--docs", type=Path, help="write the table between its marks there")
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
    """One run: rows a second of its last three quarters, and seconds before the first shard."""
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
    sums = list(accumulate(count for _, count in written))
    begin = next(i for i, done in enumerate(sums) if 4 * done >= sums[-1])
    steady = (sums[-1] - sums[begin]) / (written[-1][0] - written[begin][0])
    return {"rate": steady, "start": written[0][0] - start, "memory": used.ru_maxrss / 1024}


def _line(results: list[dict[str, Any]]) -> str:
    last = results[-1]
    name, share = _name(last["workers"]), f"{last['share']:.2f}"
    return f"{name:16} {last['rate']:8.1f} {share:>15} {last['start']:8.1f} {last['memory']:10.0f}"


if __name__ == "__main__":
    main()
