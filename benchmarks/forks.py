"""How much of Caffe's forks netc computes: ``python -m benchmarks.forks``.

Two tables. The first runs the layer cases that forks of Caffe computed (tests/golden/forks, or a
folder given with ``--golden``) and says how many agree. The second, with ``--corpus``, takes the
public nets of the corpus (``NETC_CORPUS``) and says of how many every layer, field and shape is
known; with ``--run`` deploy nets are run too, and the gradients of training nets made, on seeded
weights. Nets that no Caffe runs (benchmarks/broken.py) are told, and do not count.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.broken import BROKEN
from benchmarks.corpus import corpus_dir
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.backends.base import Options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import NetText, build, read_net, runnable
from netc.ir.types import Shape
from netc.ops.catalog import LAYERS
from netc.ops.define import LayerContext
from netc.ops.fork_inputs import PYTHON_INPUT, unlisted_data_layer
from netc.ops.python import PYTHON
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
    """Every net of the corpus, by its role; with ``run`` it runs, or its gradients are made.

    A net counts where no layer, field or shape of it is in error; one to train in the phase that
    has its data.
    """
    with (corpus / "index.tsv").open(encoding="utf-8", newline="") as file:
        nets = [r for r in csv.DictReader(file, delimiter="\t") if r["kind"] == "net"]
    for row in nets:
        if only in row["file"]:
            trained = row["role"] != "deploy"
            group = "training nets" if trained else "deploy nets"
            if row["file"] in BROKEN:
                yield Outcome(row["file"], f"(no Caffe runs: {group})", BROKEN[row["file"]])
            else:
                fault = net_fault(corpus / "files" / row["file"], trained, run)
                yield Outcome(row["file"], group, fault)


def net_fault(path: Path, trained: bool, run: bool) -> str:
    """Why a net is not complete, or does not run; "" where it is and does."""
    try:
        text = read_net(path)
    except NetcError as error:
        return _fault(error.diagnostics)
    faults = []
    for phase, stages in product(("TRAIN", "TEST") if trained else ("TEST",), stage_sets(text)):
        built = build(text.message, phase=phase, stages=stages)
        fault = _fault([d for d in built.diagnostics if d.severity == "error"])
        if run and not fault:
            fault = _run_fault(text, phase, stages)
        if not fault:
            return ""
        faults.append(fault)
    return faults[0]


MOST_STAGES = 6  # of a text, of which every set is tried


def stage_sets(text: NetText) -> Iterator[tuple[str, ...]]:
    """No stage, then every set of those that the net's rules name, small ones first."""
    rules = (r for layer in text.message.get("layer") for kind in ("include", "exclude")
             for r in layer.get(kind))  # fmt: skip
    named = dict.fromkeys(s for r in rules for kind in ("stage", "not_stage") for s in r.get(kind))
    for size in range(len(named) + 1 if len(named) <= MOST_STAGES else 1):
        yield from combinations(named, size)


def _run_fault(text: NetText, phase: str, stages: Sequence[str]) -> str:
    """Why a net does not run, or pass gradients back; sizes that no text tells are made up."""
    faults = [_run_sized(text, phase, stages, GUESSES[0])]
    for guess in GUESSES[1:]:
        if faults[-1].startswith("shape-mismatch"):
            faults.append(_run_sized(text, phase, stages, guess))
    return faults[0] if faults[-1] else ""


def _run_sized(text: NetText, phase: str, stages: Sequence[str], picture: Shape) -> str:
    try:
        inputs = made_up(text, phase, picture, stages)
        graph = runnable(build(text.message, phase=phase, stages=stages, inputs=inputs))
        loaded, _ = assign(graph, seeded_weights(graph))
        net = CompiledNet(loaded, "cpu", Options((), False, None, None, None))
        feeds = seeded_inputs(graph)
        if phase == "TRAIN":
            net.gradients(feeds, wrt=())
        else:
            net(feeds)
    except NetcError as error:
        return _fault(error.diagnostics)
    return ""


IMAGES, ROWS = 2, 4  # where a data layer's text leaves the sizes open
GUESSES: tuple[Shape, ...] = ((3, 224, 224), (3, 227, 227), (1, 28, 28), (3, 32, 32))


def made_up(
    text: NetText, phase: str, picture: Shape = GUESSES[0], stages: Sequence[str] = ()
) -> dict[str, Shape]:
    """Shapes of the inputs whose text does not tell them: pictures, and labels of each."""
    graph, given = build(text.message, phase=phase, stages=stages).graph, {}
    for layer in text.message.get("layer"):
        op = LAYERS.get(layer.get("type")) or unlisted_data_layer(layer)
        op = PYTHON_INPUT if op is PYTHON and not layer.get("bottom") else op
        tops = layer.get("top")
        open_tops = any(t in graph.inputs and graph.values[t].shape is None for t in tops)
        if op is not None and op.source and open_tops:
            params = op.params(layer, LayerContext(phase, 0, len(tops)))
            shapes = [_filled(shape, at, picture) for at, shape in enumerate(params.shapes)]
            shapes[1:] = params.completed([shapes[0], *params.shapes[1:]])[1:]
            made = [_filled(shape, at, picture, shapes[0][0]) for at, shape in enumerate(shapes)]
            given.update(zip(tops, made, strict=True))
    return {name: shape for name, shape in given.items() if name in graph.inputs}


def _filled(
    shape: tuple[int | None, ...] | None, at: int, picture: Shape, images: int = IMAGES
) -> Shape:
    """A shape with its open sizes filled in: a picture's, or rows."""
    if shape is None:
        return (images, *picture) if at == 0 else (images,)
    if at > 0:
        return tuple(ROWS if size is None else size for size in shape)
    sizes = (images, *picture)
    return tuple(s if s is not None else sizes[min(i, 3)] for i, s in enumerate(shape))


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
    broken = sum(number for group, number in all_of.items() if group.startswith("("))
    for group, number in sorted(all_of.items(), reverse=True):
        told = f"{number:4}" if group.startswith("(") else f"{good[group]:4} of {number:4}"
        print(f"{group:32} {told}")
    print(f"{'all that count':32} {sum(good.values()):4} of {len(outcomes) - broken:4}")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="the folder of cases")
    parser.add_argument("--backend", default="reference", help="what runs the cases")
    parser.add_argument("--corpus", action="store_true", help="the public nets, not the cases")
    parser.add_argument("--run", action="store_true", help="run the nets, which takes long")
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
