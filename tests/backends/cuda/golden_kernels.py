"""All golden cases as graphs, and every kernel that they need, compiled together."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import netc
from netc.backends.base import Options, Progress
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.device import DeviceBuffer, Facts
from netc.backends.cuda.options import CudaOptions
from netc.backends.cuda.source import Kernel
from netc.ir.graph import Graph
from netc.passes.pipeline import ALL
from tests.backends.cuda.emulator.device import EmulatedDevice, Memory, build
from tests.test_golden import CASES, GOLDEN, arrays, params


class Collector(EmulatedDevice):
    """A device that only remembers what it is asked to build."""

    def __init__(self, facts: Facts | None = None) -> None:
        super().__init__()
        self.facts = facts or self.facts
        self.kernels: set[Kernel] = set()

    def build(self, kernels: Iterable[Kernel], progress: Progress | None = None) -> None:
        self.kernels |= set(kernels)

    def upload(self, array: Any) -> DeviceBuffer:
        return Memory(0)


def options(passes: Any = ALL, **extra: Any) -> Options:
    return Options(passes, own=CudaOptions(**{"tune": False, **extra}))


def graph_of(case: dict[str, Any]) -> Graph:
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    weights = params(text.with_suffix(".npz"))
    return netc.compile(text, weights, backend="reference", phase=case["phase"]).graph


def numbers(case: dict[str, Any], prefix: str) -> dict[str, Any]:
    return arrays(GOLDEN / "layers" / f"{case['case']}.npz", prefix)


def kernels_of(graphs: Iterable[Graph], chosen: Options, facts: Facts | None = None) -> set[Kernel]:
    """Every kernel that these graphs need, on a device."""
    collector = Collector(facts)
    for graph in graphs:
        CudaBackend(collector).prepare(graph, chosen)
    return collector.kernels


@cache
def golden_kernels(precision: str = "float32", optimized: bool = True) -> frozenset[Kernel]:
    chosen = options(ALL if optimized else (), precision=precision)
    return frozenset(kernels_of(map(graph_of, CASES), chosen))


@cache
def build_golden(precision: str = "float32", optimized: bool = True) -> None:
    build(golden_kernels(precision, optimized))
