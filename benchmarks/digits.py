"""The README's net of digits: made from pictures, trained and tested, with the time of each.

    python -m benchmarks.digits
    python -m benchmarks.digits --threads 1 --seeds 1 2 3

The commands of the README are run as they stand there, in a folder of its own: `netc data make`
twice, `netc train` for 1,000 iterations with their tests and the snapshot, all from a new process
each, compilation of kernels included. ``--warm`` runs training once before it is timed, so that the
kernels are on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import describe
from netc.data import prototxt_dir

RESULTS = Path(__file__).resolve().parent / "results" / "digits.json"
_ACCURACY = re.compile(r"accuracy ([\d.]+)")
_MADE = ("train", "test")


def main() -> None:
    args = _arguments()
    print(" ".join(f"{k}={v}" for k, v in describe("numba").items()))
    print(f"{'seed':>5} {'threads':>7} {'data s':>7} {'train s':>8} {'accuracy':>9}")
    results = []
    if args.warm:
        trained(args.threads, None)
    for seed in args.seeds or [None]:
        found = trained(args.threads, seed)
        results.append(found)
        own = "own" if seed is None else str(seed)
        print(
            f"{own:>5} {args.threads or os.cpu_count():>7} {found['data_seconds']:>7.1f} "
            f"{found['train_seconds']:>8.1f} {found['accuracy']:>9.4f}"
        )
    args.json.parent.mkdir(exist_ok=True)
    args.json.write_text(json.dumps({"machine": describe("numba"), "runs": results}, indent=1))


def trained(threads: int | None, seed: int | None) -> dict[str, Any]:
    """Make the databases and train; gives the seconds of both and the last test's accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        digits = Path(shutil.copytree(prototxt_dir() / "digits", Path(folder, "digits")))
        begin = time.perf_counter()
        for name in _MADE:
            source, target = digits / f"{name}_digits.npz", digits / f"{name}_lmdb"
            _netc("data", "make", str(source), "-o", str(target))
        made = time.perf_counter()
        more = [] if threads is None else ["--threads", str(threads)]
        more += [] if seed is None else ["--seed", str(seed)]
        said = _netc("train", str(digits / "solver.prototxt"), *more)
        done = time.perf_counter()
    return {
        "seed": seed,
        "threads": threads or os.cpu_count(),
        "data_seconds": made - begin,
        "train_seconds": done - made,
        "accuracy": float(_ACCURACY.findall(said)[-1]),
    }


def _netc(*arguments: str) -> str:
    command = [sys.executable, "-m", "netc", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, help="default: the machine's cores")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the solver's own")
    parser.add_argument("--warm", action="store_true", help="train once before")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
