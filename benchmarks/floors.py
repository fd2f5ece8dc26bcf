"""How far nets are from the least that their arithmetic and their bytes take, by kind of layer.

    python benchmarks/floors.py --folder FOLDER --docs docs/cpu.md

Each column adds up layers of `netc bench --floor`. A layer's floor is its multiply-adds at the
peak that a loop of them reaches here, or its inputs, outputs and weights at the speed at which
memory of that size is read, whichever is longer. What Winograd's algorithm computes is counted with
the multiplications that it makes. What no layer accounts for (the call from Python, the conversion
of inputs) has no floor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import describe
from benchmarks.nets import find, folder_of
from benchmarks.pages import put

NETS = ("resnet50", "mobilenet", "mobilenet2", "resnext")
OUTSIDE = "outside of layers"


class Share(NamedTuple):
    """Milliseconds of a kind of layers, and their floors."""

    spent: float
    floor: float


def main() -> None:
    args = _arguments()
    folder = folder_of(args.folder)
    machine = describe("numba")
    print(" ".join(f"{k}={v}" for k, v in machine.items()))
    found = {name: _shares(find(name, folder), args.threads) for name in args.nets}
    table = _table(found)
    print(table)
    if args.docs:
        threads = "one thread" if args.threads == 1 else f"{args.threads} threads"
        where = f"{machine['processor']}, {machine['date']}, {threads}, batch 1"
        put(Path(args.docs), "floors", f"{table}\n\n{where}.")


def _shares(path: Path, threads: int) -> dict[str, Share]:
    """Kind of layer -> its share of a run; ``all`` is the whole run."""
    command = [sys.executable, "-m", "netc", "bench", str(path), "--batch", "1", "--floor"]
    command += ["--threads", str(threads), "--rounds", "40", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    shares: dict[str, Share] = {}
    for layer in result["layers"]:
        for kind in (_kind(layer), "all"):
            known = shares.get(kind, Share(0.0, 0.0))
            floor = layer["floor"] or 0.0
            shares[kind] = Share(known.spent + layer["milliseconds"], known.floor + floor)
    return shares


def _kind(layer: Mapping[str, Any]) -> str:
    """What the layer's time goes to."""
    if not layer["op"]:
        return OUTSIDE
    if not layer["macs"]:
        return "no products"
    few = layer["macs"] < _FEW * 1e6 * layer["megabytes"]
    return "depthwise, inner products" if few else "convolutions"


_FEW = 5.0  # multiply-adds a byte: layers with fewer wait for memory


def _table(found: Mapping[str, Mapping[str, Share]]) -> str:
    kinds = ("convolutions", "depthwise, inner products", "no products", OUTSIDE, "all")
    lines = [f"| net | {' | '.join(kinds)} |", "|---|" + "---:|" * len(kinds)]
    lines += [f"| {net} | {_row(shares, kinds)} |" for net, shares in found.items()]
    return "\n".join(lines)


def _row(shares: Mapping[str, Share], kinds: Sequence[str]) -> str:
    return " | ".join(_cell(shares.get(kind, Share(0.0, 0.0))) for kind in kinds)


def _cell(share: Share) -> str:
    ratio = f" ({share.spent / share.floor:.2f})" if share.floor else ""
    return f"{share.spent:.2f} / {share.floor:.2f}{ratio}" if share.floor else f"{share.spent:.2f}"


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--nets", nargs="+", default=NETS, help="paths, or names of prototxt/")
    parser.add_argument("--folder", type=Path, help="where names are looked up first")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--docs", metavar="FILE", help="write the table between its marks there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
