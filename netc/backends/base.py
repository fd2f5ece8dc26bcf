"""What a backend is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from netc.ir.graph import Array, Graph

Passes = bool | str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose about how a net runs.

    Args:
        optimize: True for all passes, False for none, "exact" for those that re-associate no sum,
            or names of passes.
        threads: how many; None for ``NETC_NUM_THREADS`` or the machine's cores.
        extra: options of one backend, by name.
    """

    optimize: Passes = True
    threads: int | None = None
    extra: Mapping[str, Any] | None = None


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
