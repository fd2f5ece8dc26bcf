"""What a pass is, what it reports, and how passes are run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netc.diagnostics import InternalError, NetcError
from netc.ir.graph import Graph
from netc.ir.text import print_graph
from netc.ir.verify import verify
from netc.memory import on_behalf


class Remark(NamedTuple):
    """One thing a pass did, or a place where it could have and did not.

    ``saved`` are multiply-adds; ``layers`` names the nodes it is about.
    """

    message: str
    layers: tuple[str, ...]
    missed: bool = False
    saved: int = 0


@dataclass(slots=True)
class Log:
    """Collects a pass's remarks."""

    remarks: list[Remark] = field(default_factory=list)

    def applied(self, message: str, *layers: str, saved: int = 0) -> None:
        """Remember a rewrite."""
        self.remarks.append(Remark(message, layers, saved=saved))

    def missed(self, reason: str, *layers: str) -> None:
        """Remember a rewrite that could have been and was not, and why."""
        self.remarks.append(Remark(reason, layers, missed=True))


Rewrite = Callable[[Graph, Log], Graph]


@dataclass(frozen=True, slots=True)
class Pass:
    """A rewrite Graph -> Graph.

    ``exact`` passes change no sum's order or value: results stay bit for bit what the unoptimised
    graph gives (on the same kernels). ``for_caches`` passes fit work to a processor's caches; a
    device without such caches leaves them out. ``in_place`` passes pay where updates are written to
    their variables as they are made; a backend that holds them until the end leaves them out.
    """

    name: str
    rewrite: Rewrite
    exact: bool = False
    for_caches: bool = False
    in_place: bool = False


class Applied(NamedTuple):
    """What one pass did to a graph."""

    name: str
    nodes_before: int
    nodes_after: int
    seconds: float
    remarks: tuple[Remark, ...]

    @property
    def rewrites(self) -> int:
        """How often it fired."""
        return sum(not r.missed for r in self.remarks)


def run_passes(
    graph: Graph,
    passes: Sequence[Pass],
    after: Callable[[str, Graph], None] | None = None,
) -> tuple[Graph, tuple[Applied, ...]]:
    """The graph after each pass in turn, and what each did; verified after every one.

    Args:
        graph: with inferred shapes and arrays of its parameters.
        passes: in order.
        after: called with each pass's name and the graph it gave.

    Raises:
        InternalError: a pass failed or broke the graph; names the pass and shows its input.
        NetcError: too-little-memory, for arrays that a pass makes.
    """
    applied = []
    for item in passes:
        log = Log()
        start = time.perf_counter()
        result = _run_one(graph, item, log)
        seconds = time.perf_counter() - start
        applied.append(
            Applied(item.name, len(graph.nodes), len(result.nodes), seconds, tuple(log.remarks))
        )
        graph = result
        if after is not None:
            after(item.name, graph)
    return graph, tuple(applied)


def _run_one(graph: Graph, item: Pass, log: Log) -> Graph:
    try:
        with on_behalf(f"pass `{item.name}`"):
            result = item.rewrite(graph, log)
        verify(result, "loaded")
    except NetcError:
        raise
    except Exception as error:
        raise InternalError(
            f"pass `{item.name}` failed: {type(error).__name__}: {error}\n{print_graph(graph)}"
        ) from error
    return result
