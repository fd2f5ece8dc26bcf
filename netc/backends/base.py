"""What a backend is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from netc.ir.graph import Array, Graph
from netc.passes.base import Pass

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose about how a net runs.

    Args:
        passes: what rewrites the graph, in order.
        exact: whether kernels must keep the order of sums too (no Winograd).
        threads: how many; None for ``NETC_NUM_THREADS`` or the machine's cores.
        extra: options of one backend, by name.
        progress: called as (done, total, name) while kernels are compiled for the first time.
    """

    passes: tuple[Pass, ...] = ()
    exact: bool = False
    threads: int | None = None
    extra: Mapping[str, Any] | None = None
    progress: Progress | None = None


class Executable(Protocol):
    """A graph made ready for fixed input shapes. May be called from several threads at once."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each of the graph's outputs for these inputs, as new float32 arrays."""

    def report(self) -> Mapping[str, Any]:
        """What it is made of: backend, steps, memory in bytes."""


class Backend(Protocol):
    """A way of running graphs."""

    def prepare(self, graph: Graph, options: Options) -> Executable:
        """An executable for a graph with inferred shapes and parameters that have arrays."""
