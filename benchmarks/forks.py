"""How much of Caffe's forks netc computes: ``python -m benchmarks.forks``.

Two tables. The first runs the layer cases that forks of Caffe computed (tests/golden/forks, or a
folder given with ``--golden``) and says how many agree. The second, with ``--corpus``, takes the
public nets of the corpus (``NETC_CORPUS``) and says of how many every layer, field and shape is
known; with ``--run`` the deploy nets are run too, on seeded weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.corpus import corpus_dir, rows
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.backends.base import Options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.driver import Built, build, read_net, runnable
from netc.weights.match import assign

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "forks"
ABSOLUTE, RELATIVE = 1e-5, 1e-4  # the agreement that the goldens' README asks for

Array = NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a case or a net: "" where it agrees or runs, else why not."""

    name: str
    group: str
    fault: str


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
        return _fault(error.diagnostics)


def case_outcomes(folder: Path, only: str = "", backend: str = "reference") -> Iterator[Outcome]:
    """Every case whose name holds ``only``."""
    for case in manifest(folder):
        if only in case["case"]:
            yield Outcome(case["case"], case["type"], run_case(folder, case, backend))


def net_outcomes(corpus: Path, only: str = "", run: bool = False) -> Iterator[Outcome]:
    """Every net of the corpus, by its role and phase; with ``run`` those without data layers run.

    A net counts where no layer, field or shape of it is in error.
    """
    for row in rows(corpus):
        if row.kind == "net" and only in row.file:
            yield from _net_outcomes(corpus / "files" / row.file, row.file, run)


def _net_outcomes(path: Path, name: str, run: bool) -> Iterator[Outcome]:
    try:
        text = read_net(path)
    except NetcError as error:
        yield Outcome(name, "not read", _fault(error.diagnostics))
        return
    trained = any(layer.get("type").endswith("Loss") for layer in text.message.get("layer"))
    for phase in ("TRAIN",) if trained else ("TEST",):
        built = build(text.message, phase=phase)
        fault = _fault([d for d in built.diagnostics if d.severity == "error"])
        if run and not fault and not trained:
            fault = _run_fault(built)
        yield Outcome(f"{name}#{phase}", f"{'training' if trained else 'deploy'} nets", fault)


def _run_fault(built: Built) -> str:
    try:
        graph = runnable(built)
        loaded, _ = assign(graph, seeded_weights(graph))
        CompiledNet(loaded, "cpu", Options((), False, None, None, None))(seeded_inputs(graph))
    except NetcError as error:
        return _fault(error.diagnostics)
    return ""


def _fault(found: Sequence[Diagnostic]) -> str:
    return f"{found[0].code}: {found[0].message}" if found else ""


def show(outcomes: Sequence[Outcome], faults: bool) -> None:
    """A table of groups, and the faults if they are asked for."""
    all_of, good = (
        Counter(o.group for o in outcomes),
        Counter(o.group for o in outcomes if not o.fault),
    )
    if faults:
        for outcome in outcomes:
            if outcome.fault:
                print(f"{outcome.name}: {outcome.fault}")
        print()
    for group, number in sorted(all_of.items()):
        print(f"{group:32} {good[group]:4} of {number:4}")
    print(f"{'all':32} {sum(good.values()):4} of {len(outcomes):4}")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="the folder of cases")
    parser.add_argument("--backend", default="reference", help="what runs the cases")
    parser.add_argument("--corpus", action="store_true", help="the public nets, not the cases")
    parser.add_argument("--run", action="store_true", help="run the deploy nets, which takes long")
    parser.add_argument("--faults", action="store_true", help="show each fault")
    parser.add_argument("--only", default="", metavar="TEXT", help="names that hold it")
    args = parser.parse_args()
    if args.corpus:
        corpus = corpus_dir()
        if not corpus.is_dir():
            print(f"no corpus at {corpus}; set NETC_CORPUS", file=sys.stderr)
            return 1
        show(list(net_outcomes(corpus, args.only, args.run)), args.faults)
    else:
        show(list(case_outcomes(args.golden, args.only, args.backend)), args.faults)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
