"""How much of Caffe's forks netc computes: ``python -m benchmarks.forks``.

Two tables. The first runs the layer cases that forks of Caffe computed (tests/golden/forks, or a
folder given with ``--golden``) and says how many agree. The second, with ``--corpus``, takes the
public nets of the corpus (``NETC_CORPUS``) and says of how many every layer, field and shape is
known; with ``--run`` deploy nets are run too, and the gradients of training nets made, on seeded
weights (benchmarks/fork_nets.py). That takes hours: ``--save FILE`` keeps what was found, and the
same command goes on from it. Nets that no Caffe runs (benchmarks/broken.py) are told, and do not
count.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.corpus import corpus_dir
from benchmarks.fork_nets import (
    Depth,
    Outcome,
    fault_of,
    outcome,
    outcomes_apart,
    tasks,
    tasks_below,
)
from benchmarks.machine import describe
from netc.diagnostics import NetcError

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "forks"
ABSOLUTE, RELATIVE = 1e-5, 1e-4  # the agreement that the goldens' README asks for

Array = NDArray[Any]


def manifest(folder: Path) -> list[dict[str, Any]]:
    """The cases of a folder."""
    entries: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return entries


def arrays(path: Path, prefix: str) -> dict[str, Array]:
    """A case's arrays whose names begin so, without it."""
    with np.load(path) as file:
        return {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}


def params(path: Path) -> dict[str, list[Array]]:
    """A case's parameters: layer -> arrays in Caffe's order."""
    found: dict[str, dict[int, Array]] = {}
    for name, array in arrays(path, "param/").items():
        layer, _, index = name.rpartition("/")
        found.setdefault(layer, {})[int(index)] = array
    return {layer: [blobs[i] for i in sorted(blobs)] for layer, blobs in found.items()}


def difference(got: dict[str, Any], wanted: dict[str, Array]) -> str:
    """How a run's outputs differ from the wanted ones; "" where they agree."""
    for name, want in wanted.items():
        if name not in got:
            return f"no output `{name}`"
        array = np.asarray(got[name])
        if array.shape != want.shape:
            return f"`{name}` is {array.shape}, and {want.shape} is wanted"
        off = np.abs(array.astype(np.float64) - want) - ABSOLUTE - RELATIVE * np.abs(want)
        if not (off <= 0).all():
            return f"`{name}` is off by {np.abs(array - want).max():.3g}"
    return ""


def run_case(folder: Path, case: dict[str, Any], backend: str = "reference") -> str:
    """Run one case; "" where all of its outputs agree, else why they do not."""
    text = folder / f"{case['case']}.prototxt"
    data = text.with_suffix(".npz")
    wanted = arrays(data, "out/")
    try:
        net = netc.compile(text, params(data) or None, backend=backend, phase=case["phase"])
        return difference(net(arrays(data, "in/")), wanted)
    except NetcError as error:
        return fault_of(error.diagnostics)


def case_outcomes(folder: Path, only: str = "", backend: str = "reference") -> Iterator[Outcome]:
    """Every case whose name holds ``only``."""
    for case in manifest(folder):
        if only in case["case"]:
            yield Outcome(case["case"], case["type"], run_case(folder, case, backend))


def net_outcomes(corpus: Path, args: argparse.Namespace) -> Iterator[Outcome]:
    """The outcomes of the corpus's nets; those in the file of ``--save`` are taken from it."""
    before = saved(args.save)
    depth: Depth = "run" if args.run else "shapes" if args.shapes else "check"
    listed = tasks_below if args.folder else tasks
    kept = {name for name, made in before.items() if not (args.again and made.fault)}
    nets = [t for t in listed(corpus, args.only, depth) if t.name not in kept]
    apart = depth != "check"
    found = outcomes_apart(nets, args.max_memory, args.seconds) if apart else map(outcome, nets)
    yield from [before[name] for name in kept]
    for number, made in enumerate(found, 1):
        if args.save is not None:
            before[made.name] = made
            save(args.save, before.values(), args)
        if apart:
            print(f"{number} of {len(nets)}: {made.name}  {made.fault[:200]}", file=sys.stderr)
        yield made


def saved(path: Path | None) -> dict[str, Outcome]:
    """What an earlier run has found, by the nets' names."""
    if path is None or not path.is_file():
        return {}
    return {row["name"]: Outcome(**row) for row in json.loads(path.read_text("utf-8"))["nets"]}


def save(path: Path, outcomes: Iterable[Outcome], args: argparse.Namespace) -> None:
    """Write outcomes, with the machine, the limits and the sums."""
    made = sorted(outcomes, key=lambda outcome: outcome.name)
    told = {
        "machine": describe("numba"),
        "limits": {"memory": args.max_memory, "seconds": args.seconds},
        "sums": {group: list(pair) for group, pair in sums(made).items()},
        "nets": [asdict(outcome) for outcome in made],
    }
    path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def sums(outcomes: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Group -> how many of it are without fault, and how many there are."""
    good = Counter(o.group for o in outcomes if not o.fault)
    number = Counter(o.group for o in outcomes)
    return {group: (good[group], number[group]) for group in sorted(number, reverse=True)}


def show(outcomes: Sequence[Outcome], faults: bool) -> None:
    """A table of groups, and the faults if they are asked for."""
    if faults:
        for outcome in outcomes:
            if outcome.fault:
                print(f"{outcome.name}: {outcome.fault}")
        print()
    counted = [outcome for outcome in outcomes if outcome.counts]
    for group, (good, number) in sums(outcomes).items():
        told = f"{number:4}" if group.startswith("(") else f"{good:4} of {number:4}"
        print(f"{group:32} {told}")
    good = sum(not outcome.fault for outcome in counted)
    print(f"{'all that count':32} {good:4} of {len(counted):4}")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="the folder of cases")
    parser.add_argument("--backend", default="reference", help="what runs the cases")
    parser.add_argument("--corpus", action="store_true", help="the public nets, not the cases")
    parser.add_argument("--run", action="store_true", help="run the nets, which takes hours")
    parser.add_argument("--folder", type=Path, help="the nets among all texts below it")
    parser.add_argument("--shapes", action="store_true", help="infer every shape, and run nothing")
    parser.add_argument("--max-memory", default="4G", help="the most a net may take (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=300, help="of processor time for a net (%(default)s)"
    )
    parser.add_argument("--again", action="store_true", help="try those again that had a fault")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep what was found, and go on")
    parser.add_argument("--faults", action="store_true", help="show each fault")
    parser.add_argument("--only", default="", metavar="TEXT", help="names that hold it")
    args = parser.parse_args()
    if args.corpus or args.folder:
        corpus = args.folder or corpus_dir()
        if not corpus.is_dir():
            print(f"no corpus at {corpus}; set NETC_CORPUS", file=sys.stderr)
            return 1
        show(list(net_outcomes(corpus, args)), args.faults)
    else:
        show(list(case_outcomes(args.golden, args.only, args.backend)), args.faults)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
