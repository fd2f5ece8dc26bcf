"""Which layers keep public nets from being built as libraries: ``python -m benchmarks.buildable``.

Deploy nets of the corpus (``NETC_CORPUS``), or texts below a folder given with ``--folder``, are
planned for a CPU as ``netc build`` plans them, with weights that have shapes alone, and nothing is
compiled. A row for each layer that would be refused: how many nets have it, and why. Nets with an
error or without a known size do not count.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.corpus import corpus_dir
from benchmarks.fork_nets import sized, stage_sets, tasks, tasks_below
from netc.backends.cpu.allocate import plan_graph
from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.emit.table import can_be_bounded, has_kernels
from netc.backends.cpu.machine import machine
from netc.diagnostics import NetcError
from netc.frontend import read_net
from netc.ir.graph import Graph
from netc.passes.base import run_passes
from netc.passes.epilogue import first_op
from netc.passes.pipeline import chosen
from netc.plan.rows import bounded_rows
from netc.plan.split import split

NO_KERNEL, NO_SIZE = "no kernel", "size that a run tells"


@dataclass
class Table:
    """What became of the nets.

    Args:
        built: names of those that nothing is in the way of.
        refused: (layer type, why) -> names of the nets with it.
        unknown: names of those that do not count, and why.
    """

    built: list[str] = field(default_factory=list)
    refused: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, faults: Sequence[tuple[str, str]]) -> None:
        """Count a net."""
        if not faults:
            self.built.append(name)
        for fault in dict.fromkeys(faults):
            self.refused.setdefault(fault, []).append(name)


def refusals(graph: Graph) -> Iterator[tuple[str, str]]:
    """(layer type, why) for whatever `netc build` would refuse in a graph with shapes."""
    planned, rest = split(graph, bounded_rows(graph, can_be_bounded))
    if rest is not None:
        yield rest.nodes[0].op, NO_SIZE
    zeros = {
        name: replace(p, array=None if p.owner else np.broadcast_to(np.float32(0), p.shape or ()))
        for name, p in planned.parameters.items()
    }
    planned = planned.replace(parameters={**planned.parameters, **zeros})
    optimized, _ = run_passes(planned, chosen(True))
    context = plan_graph(EmitContext(optimized, machine=machine())).context
    for node in optimized.nodes:
        if not has_kernels(context, node):
            yield first_op(node), NO_KERNEL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="texts below it in the place of the corpus")
    parser.add_argument("--only", default="", metavar="TEXT", help="nets whose names hold it")
    parser.add_argument("--nets", action="store_true", help="names of the nets of each row")
    options = parser.parse_args()
    given, only = options.folder, options.only
    table = Table()
    for task in tasks_below(given, only) if given else tasks(corpus_dir(), only):
        if not task.trained:
            _try(task.path, task.name, table)
    _show(table, options.nets)


def _try(path: Path, name: str, table: Table) -> None:
    try:
        text = read_net(path)
        graph = sized(text, "TEST", next(stage_sets(text)))
    except NetcError as error:
        table.unknown[name] = str(error).splitlines()[0]
        return
    table.add(name, list(refusals(graph)))


def _show(table: Table, nets: bool) -> None:
    names = {name for found in table.refused.values() for name in found}
    tried = len(table.built) + len(names)
    print(f"{len(table.built)} of {tried} nets can be built, {len(table.unknown)} do not count")
    counts = Counter({fault: len(found) for fault, found in table.refused.items()})
    for (layer, why), count in counts.most_common():
        print(f"{count:4} {layer:32} {why}")
        if nets:
            print("".join(f"       {name}\n" for name in table.refused[layer, why]), end="")


if __name__ == "__main__":
    main()
