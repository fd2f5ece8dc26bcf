"""OpenCV's dnn module and netc on one net: ``python -m benchmarks.opencv_agreement [NET ...]``.

Each deploy net, those of the corpus (``NETC_CORPUS``) where none is named, is written with seeded
weights, read by ``cv2.dnn`` (OpenCV 4; 5 has no importer) and by ``netc.compat.opencv``, and run on
one seeded input. A line tells the greatest difference of the outputs, by the greatest value, or why
there is none: what OpenCV does not read is told as OpenCV tells it. Rows of detections are compared
in one order, without those that say that there is none.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
import netc.compat.opencv as dnn
from benchmarks.broken import BROKEN
from benchmarks.corpus import corpus_dir
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.analysis.cost import graph_cost
from netc.frontend import build, read_net, runnable
from netc.weights.model import LayerWeights, Weights
from netc.weights.write import save_caffemodel

CLOSE = 1e-3  # of the greatest value
BIGGEST = 60e9  # multiply-adds of a net that is run
SEED = 1


@dataclass(frozen=True)
class Outcome:
    """A net's kind of answer, and what is told of it."""

    kind: str
    told: str


def deploy_nets(corpus: Path) -> Iterator[Path]:
    """The corpus's nets to deploy that a Caffe runs."""
    with (corpus / "index.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["kind"] == "net" and row["role"] == "deploy" and row["file"] not in BROKEN:
                yield corpus / "files" / row["file"]


def compare(cv2: Any, path: Path, folder: Path, most: float = BIGGEST) -> Outcome:
    """Run a net in both, from the same two files in ``folder``."""
    prototxt, model = folder / "net.prototxt", folder / "net.caffemodel"
    try:
        graph = runnable(build(read_net(path).message))
        macs = graph_cost(graph).total.macs
        if macs > most:
            return Outcome("too big", f"{macs / 1e9:.0f} G multiply-adds")
        # A blob that a layer rewrites in place has another name in the graph than in the text.
        feeds = {graph.values[k].blob: v for k, v in seeded_inputs(graph, SEED).items()}
        prototxt.write_bytes(path.read_bytes())
        layers = {name: LayerWeights(name, tuple(arrays))
                  for name, arrays in seeded_weights(graph).items()}  # fmt: skip
        save_caffemodel(model, Weights(layers))
        files = [str(prototxt), str(model)][: 2 if layers else 1]  # OpenCV takes no empty file
        ours = _answers(dnn, files, feeds)
    except netc.NetcError as error:
        return Outcome("netc does not run it", error.diagnostics[0].message)
    try:
        theirs = _answers(cv2.dnn, files, feeds)
    except cv2.error as error:
        return Outcome("OpenCV does not run it", " ".join(str(error).split()))
    return _difference(ours, theirs)


def _answers(module: Any, files: list[str], feeds: dict[str, Any]) -> dict[str, Any]:
    """Every unconnected output, by its layer's name."""
    net = module.readNetFromCaffe(*files)
    for name, array in feeds.items():
        net.setInput(array, name)
    names = list(net.getUnconnectedOutLayersNames())
    return dict(zip(names, net.forward(names), strict=True))


def _difference(ours: dict[str, Any], theirs: dict[str, Any]) -> Outcome:
    if set(ours) != set(theirs):
        return Outcome("other outputs", f"{sorted(ours)} and {sorted(theirs)}")
    worst, where = 0.0, ""
    for name, one in ours.items():
        one, other = _ordered(np.asarray(one)), _ordered(np.asarray(theirs[name]))
        if one.shape != other.shape:
            return Outcome("other shapes", f"`{name}`: {one.shape} and {other.shape}")
        apart = np.abs(one.astype(np.float64) - other)
        off = float(apart.max(initial=0) / max(float(np.abs(other).max(initial=0)), 1e-12))
        if not off <= worst:
            worst, where = off, name
    told = f"{worst:.1e}" + (f" at `{where}`" if where else "")
    return Outcome("the same" if worst <= CLOSE else "other numbers", told)


def _ordered(array: Any) -> Any:
    """Rows of detections by image, class, score and box; other arrays as they are.

    OpenCV has them by score, Caffe by class. Where nothing is found Caffe has a row of class -1,
    and OpenCV rows of 0.
    """
    if array.ndim != 4 or array.shape[:2] != (1, 1) or array.shape[3] != 7:
        return array
    rows = array.reshape(-1, 7)
    rows = rows[(rows[:, 1] >= 0) & rows.any(axis=1)]
    rounded = rows.round(4)
    return rows[np.lexsort([rounded[:, i] for i in (6, 5, 4, 3, 2, 1, 0)])]


def main() -> int:
    """Print a line for each net, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("nets", nargs="*", type=Path)
    parser.add_argument("--only", default="", metavar="TEXT", help="names that hold it")
    parser.add_argument("--most", type=float, default=BIGGEST, help="multiply-adds (%(default)g)")
    args = parser.parse_args()
    try:
        import cv2
    except ImportError:
        print("pip install 'opencv-python-headless<5'", file=sys.stderr)
        return 1
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        print(f"OpenCV {cv2.__version__} reads no Caffe nets; 4 does", file=sys.stderr)
        return 1
    corpus = corpus_dir()
    if not args.nets and not corpus.is_dir():
        print(f"no corpus at {corpus}; name nets, or set NETC_CORPUS", file=sys.stderr)
        return 1
    warnings.filterwarnings("ignore")
    kinds: Counter[str] = Counter()
    for path in args.nets or deploy_nets(corpus):
        if args.only in str(path):
            with tempfile.TemporaryDirectory() as folder:
                outcome = compare(cv2, path, Path(folder), args.most)
            kinds[outcome.kind] += 1
            name = path.relative_to(corpus / "files") if not args.nets else path.name
            print(f"{outcome.kind:24} {name}  {outcome.told[:160]}", flush=True)
    print(f"OpenCV {cv2.__version__}")
    for kind, number in kinds.most_common():
        print(f"{number:4} {kind}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
