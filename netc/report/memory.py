"""A net's memory: Caffe's figure, netc's plan, and the weights; sizes are bytes of float32.

The memory for another batch is computed from the graph inferred for that batch, so that layers
whose sizes do not grow with the batch are counted correctly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from netc.analysis.batch import with_batch
from netc.analysis.cost import FLOAT_BYTES, caffe_data_bytes, graph_cost
from netc.backends.base import MemoryPlan
from netc.backends.registry import memory_planner
from netc.diagnostics import Diagnostic, NetcError
from netc.infer import infer
from netc.ir.graph import Graph
from netc.ir.types import show
from netc.ops.catalog import CATALOG
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL

MAX_BATCH = 2**20


@dataclass(frozen=True, slots=True)
class NetMemory:
    """Bytes a net takes.

    Args:
        weights: parameters and statistics, shared arrays once.
        caffe: the figure that Caffe prints as "Memory required for data".
        planned: the arena of netc's CPU backend; None where it cannot plan, since shapes depend on
            the input's values.
        floor: a lower bound for any plan of the same steps.
    """

    weights: int
    caffe: int
    planned: int | None
    floor: int | None


def memory(graph: Graph) -> NetMemory:
    """A net's memory for the batch it was inferred for.

    Args:
        graph: with all shapes, before passes.
    """
    plan = Planner.of(graph)
    planned, floor = plan.bytes(graph) if plan else (None, None)
    return NetMemory(graph_cost(graph).total.weight_bytes, caffe_data_bytes(graph), planned, floor)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the CPU backend's memory of one net for any batch; the passes are run once."""

    optimized: Graph

    @staticmethod
    def of(graph: Graph) -> Planner | None:
        """The planner of a net; None where memory cannot be planned."""
        if any(CATALOG[node.op].dynamic for node in graph.nodes):
            return None
        # Which passes fire follows from shapes and kinds, not from the numbers, save that they
        # are finite; zeros that are broadcast take no memory.
        arrays = {
            name: replace(p, array=np.broadcast_to(np.float32(0), p.shape or ()))
            for name, p in graph.parameters.items()
            if p.owner is None
        }
        whole = graph.replace(parameters={**graph.parameters, **arrays})
        return Planner(run_passes(whole, ALL)[0])

    def bytes(self, graph: Graph) -> MemoryPlan:
        """The planned bytes and their lower bound, for the input shapes of ``graph``."""
        shapes = {name: graph.shape(name) for name in self.optimized.inputs}
        plan = memory_planner().memory_plan(infer(self.optimized, shapes).graph)
        assert plan is not None
        return plan


# Batches


def rebatched(graph: Graph, batch: int) -> Graph:
    """The net inferred for another batch.

    Raises:
        NetcError: batch-misfit, where a layer fixes the batch or a blob grows too large.
    """
    result = infer(graph, with_batch(graph, batch))
    errors = [d for d in result.diagnostics if d.severity == "error"]
    if errors or _changed(graph, result.graph):
        raise NetcError(errors or _fixed(graph, result.graph, batch))
    return result.graph


def _changed(graph: Graph, other: Graph) -> bool:
    """Whether parameters would need other shapes."""
    return any(p.shape != graph.parameters[n].shape for n, p in other.parameters.items())


def _fixed(graph: Graph, other: Graph, batch: int) -> Diagnostic:
    name = next(n for n, p in other.parameters.items() if p.shape != graph.parameters[n].shape)
    parameter, old = other.parameters[name], graph.parameters[name]
    return Diagnostic(
        "batch-misfit",
        f"with a batch of {batch} parameter `{name}` would be {show(parameter.shape)} instead of "
        f"{show(old.shape)}: the net mixes the images of a batch",
        parameter.span,
    )


@dataclass(frozen=True, slots=True)
class Use:
    """A way to use a net, and the largest batch that fits into a budget.

    Args:
        name: the use's name.
        counted: what is counted, in words.
        fixed: bytes that do not depend on the batch.
        each: bytes per further image.
        batch: the largest batch that fits, 0 where none does; None where it is unknown.
    """

    name: str
    counted: str
    fixed: int
    each: int
    batch: int | None


def budget(graph: Graph, limit: int) -> tuple[Use, ...]:
    """For each use, the largest batch that fits.

    Args:
        graph: with all shapes, before passes.
        limit: the memory in bytes.
    """
    weights = graph_cost(graph).total.weight_bytes
    trained = FLOAT_BYTES * graph_cost(graph).total.parameters
    uses = []
    planner = Planner.of(graph)
    if planner is not None:
        uses.append(
            _use("netc, running", "weights, planned blobs", weights, limit,
                 lambda batch: planner.bytes(rebatched(graph, batch))[0])
        )  # fmt: skip
    data = partial(_caffe_bytes, graph)
    uses.append(_use("Caffe, testing", "weights, all blobs", weights, limit, data))
    uses.append(
        _use("Caffe, training", "weights, gradients and history, all blobs and gradients",
             weights + 2 * trained, limit, lambda batch: 2 * data(batch))
    )  # fmt: skip
    return tuple(uses)


def _caffe_bytes(graph: Graph, batch: int) -> int:
    return caffe_data_bytes(rebatched(graph, batch))


def _use(name: str, counted: str, fixed: int, limit: int, blobs: Callable[[int], int]) -> Use:
    try:
        one, two = blobs(1), blobs(2)
    except NetcError:
        return Use(name, counted, fixed, 0, None)
    each = two - one
    if fixed + one > limit:
        return Use(name, counted, fixed, each, 0)
    guess = MAX_BATCH if each <= 0 else min(MAX_BATCH, 1 + (limit - fixed - one) // each)
    return Use(name, counted, fixed, each, _fitting(guess, limit - fixed, blobs))


def _fitting(guess: int, limit: int, blobs: Callable[[int], int]) -> int:
    """The largest batch near a guess whose blobs fit; memory grows with the batch."""

    def fits(batch: int) -> bool:
        try:
            return blobs(batch) <= limit
        except NetcError:  # a blob of more elements than Caffe can count
            return False

    low, high = 1, guess
    step = 1
    while fits(high):
        if high == MAX_BATCH:
            return high
        low, high, step = high, min(MAX_BATCH, high + step), 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{p}B": 1000**i for i, p in enumerate("KMGT", 1)}
_UNITS |= {f"{p}IB": 1024**i for i, p in enumerate("KMGT", 1)}


def parse_size(text: str) -> int:
    """``12GB`` is 12,000,000,000 bytes and ``12GiB`` 12,884,901,888.

    Raises:
        ValueError: the text is no size.
    """
    number = text.strip().rstrip("BKMGTIbkmgti ")
    unit = text.strip()[len(number) :].strip().upper()
    value = float(number)
    if unit not in _UNITS or not 0 < value < 1e15:
        raise ValueError(f"no size: {text!r}")
    return int(value * _UNITS[unit])
