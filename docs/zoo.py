"""Makes prototxt/README.md, the table of the nets: ``python docs/zoo.py [--time]``.

``--time`` runs each net and adds what an image takes on this machine's CPU, with the machine and
the day below the table. Without it, times that the table has stay.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from netc.analysis.cost import graph_cost
from netc.analysis.receptive import receptive_fields
from netc.frontend import build, read_net
from netc.ir.graph import Graph
from netc.report.figures import size
from netc.report.memory import memory

PROTOTXT = Path(__file__).resolve().parent.parent / "prototxt"
RUNS = 5
WINDOWS = ("Convolution", "LocallyConnected")
HEAD = """# Networks of the literature

Each is a page in [the language](../docs/language.md); `netc summary prototxt/googlenet.netc` shows
it layer by layer, `netc expand` gives the plain prototxt. Parameters beside a file's name are set
by `-D`. Figures are of one image, in TEST:

* lines: of the file, comments and all, and of what it includes;
* parameters: trained ones, without the statistics of batch normalisation;
* MACs: multiply-adds of convolutions and inner products;
* memory: what netc plans for the blobs, all at once, without weights; 1 MB is 1,000,000 bytes;
* field: the largest receptive field of a convolution whose output is more than one place, in
  pixels; squeeze-and-excitation sees the whole image, which is left out.

`zoo.tsv` has the published figures, and where they stand; tests hold the nets to them.
`python docs/zoo.py` makes this table. [digits/](digits/README.md) has nets that train on the
bundled digits, with their solvers.

"""


def rows() -> list[dict[str, str]]:
    """The lines of zoo.tsv."""
    with (PROTOTXT / "zoo.tsv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def graph_of(row: Mapping[str, str]) -> Graph:
    """A net's graph for a batch of one."""
    text = read_net(PROTOTXT / f"{row['file']}.netc", define=defined(row))
    graph = build(text.message).graph
    first = graph.inputs[0]
    shape = (1, *graph.shape(first)[1:])
    return build(text.message, inputs={graph.values[first].blob: shape}).graph


def defined(row: Mapping[str, str]) -> dict[str, str]:
    """A net's parameters."""
    return dict(item.split("=") for item in row["define"].split())


def lines(file: str) -> int:
    """Of a file and of what it includes."""
    text = (PROTOTXT / f"{file}.netc").read_text(encoding="utf-8").splitlines()
    included = [line.split('"')[1] for line in text if line.startswith('include "')]
    return len(text) + sum(lines(name.removesuffix(".netc")) for name in included)


def field(graph: Graph) -> str:
    """The largest receptive field of a convolution whose output has more than one place."""
    fields = receptive_fields(graph)
    sizes = [
        fields[name].size
        for node in graph.nodes
        if node.op in WINDOWS
        for name in node.outputs
        if name in fields and max(graph.shape(name)[2:]) > 1
    ]
    if not sizes:
        return "-"
    height, width = (max(axis) for axis in zip(*sizes, strict=True))
    return f"{height:,}" if height == width else f"{height:,}×{width:,}"


def cells(row: Mapping[str, str]) -> list[str]:
    """A line of the table."""
    graph = graph_of(row)
    cost = graph_cost(graph).total
    name = f"[{row['file']}]({row['file']}.netc)"
    set_here = f" `{row['define']}`" if row["define"] else ""
    figures = [f"{lines(row['file'])}", f"{cost.parameters:,}", f"{cost.macs:,}"]
    planned = memory(graph).planned
    return [row["net"], name + set_here, row["paper"], *figures, size(planned), field(graph)]


def milliseconds(row: Mapping[str, str]) -> str:
    """The median time of an image on the CPU."""
    graph = graph_of(row)
    shapes = {graph.values[name].blob: graph.shape(name) for name in graph.inputs}
    net = netc.compile(PROTOTXT / f"{row['file']}.netc", define=defined(row), inputs=shapes, seed=0)
    random = np.random.default_rng(0)
    feed = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    net(**feed)
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        net(**feed)
        taken.append(time.perf_counter() - start)
    median = 1e3 * sorted(taken)[RUNS // 2]
    print(f"{row['net']}: {median:.2f} ms", file=sys.stderr)
    return f"{median:.2f} ms" if median < 10 else f"{median:,.0f} ms"


class Times(NamedTuple):
    """What an image takes in each net, in the table's order, and a line on where and when."""

    cells: list[str]
    note: str


def measured() -> Times:
    """Run each net."""
    facts = describe("numba")
    machine = f"{facts['processor']}, {facts['cores']} cores, {facts['system'].partition('-')[0]}"
    versions = f"Python {facts['python']}, NumPy {facts['numpy']}, Numba {facts.get('numba', '-')}"
    note = f"CPU: the median of {RUNS} runs on {facts['date']}; {machine}; {versions}."
    return Times([milliseconds(row) for row in rows()], note)


def kept(text: str) -> Times | None:
    """The times that a table has; None if it has none, or is of other nets."""
    lines = text.splitlines()
    notes = [line for line in lines if line.startswith("CPU: ")]
    body = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]
    names = [row["net"] for row in rows()]
    if not notes or [cells[0] for cells in body] != names:
        return None
    return Times([cells[-1] for cells in body], notes[0])


def table(times: Times | None) -> str:
    """The README's text."""
    head = ["net", "file", "paper", "lines", "parameters", "MACs", "memory", "field"]
    body = [cells(row) for row in rows()]
    if times:
        head.append("CPU")
        body = [[*line, cell] for line, cell in zip(body, times.cells, strict=True)]
    rule = ["---"] * 3 + ["---:"] * (len(head) - 3)
    end = f"\n{times.note}\n" if times else ""
    return HEAD + "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *body]) + end


if __name__ == "__main__":
    readme = PROTOTXT / "README.md"
    before = readme.read_text(encoding="utf-8")
    readme.write_text(
        table(measured() if "--time" in sys.argv[1:] else kept(before)), encoding="utf-8"
    )
