"""The memory of a training iteration, computed before anything runs. Sizes are bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from netc.analysis.cost import FLOAT_BYTES, caffe_data_bytes
from netc.backends.base import MemoryPlan
from netc.backends.registry import memory_planner
from netc.ir.graph import Graph, Parameter
from netc.ir.types import count
from netc.ops.catalog import CATALOG
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL
from netc.train.step import StepGraphs, Updating, between_passes, step_graphs


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes that an iteration takes.

    Args:
        parameters: trained arrays and statistics, shared ones once.
        history: the solver's history arrays, also those of frozen parameters, as in a snapshot.
        sums: gradients summed over passes, or their factors; 0 with one pass per iteration.
        planned: the CPU backend's arena for blobs, gradients and scratch memory; None where shapes
            depend on the input's values.
        floor: a lower bound for any plan of the same steps.
        caffe: what Caffe would allocate: data and diff of every top and every parameter, and the
            history.
        caffe_data: the figure that Caffe prints as "Memory required for data".
    """

    parameters: int
    history: int
    sums: int
    planned: int | None
    floor: int | None
    caffe: int
    caffe_data: int

    @property
    def total(self) -> int | None:
        """All memory that netc needs for an iteration; None where ``planned`` is."""
        held = self.parameters + self.history + self.sums
        return None if self.planned is None else held + self.planned


def training_memory(graph: Graph, how: Updating, *, split: bool = False) -> TrainingMemory:
    """The memory for training a net.

    Args:
        graph: in the TRAIN phase, with all shapes, before passes; arrays are not needed.
        how: what the solver does.
        split: as of netc.train.step.step_graphs.

    Raises:
        NetcError: no-gradient, no-loss, where the net cannot be trained.
    """
    zeros = {
        name: replace(p, array=np.broadcast_to(np.float32(0), p.shape or ()))
        for name, p in graph.parameters.items()
        if p.owner is None
    }
    graph = graph.replace(parameters={**graph.parameters, **zeros})
    graphs = step_graphs(graph, how, split=split)
    plan = _largest(graphs)
    parameters = FLOAT_BYTES * sum(count(p.shape or ()) for p in zeros.values())
    learnable = [count(graph.parameters[name].shape or ()) for name in graphs.learnable]
    history = FLOAT_BYTES * how.rule.histories * sum(learnable)
    data = caffe_data_bytes(graph)
    return TrainingMemory(
        parameters,
        history,
        _sums(graphs),
        None if plan is None else plan.planned,
        None if plan is None else plan.floor,
        2 * data + 2 * parameters + history,
        data,
    )


def _sums(graphs: StepGraphs) -> int:
    names = between_passes(graphs)
    found: dict[str, Parameter] = {}
    for graph in (graphs.first, graphs.further):
        found.update({} if graph is None else graph.parameters)
    return FLOAT_BYTES * sum(count(p.shape or ()) for name, p in found.items() if name in names)


def _largest(graphs: StepGraphs) -> MemoryPlan | None:
    """The plan of the largest of an iteration's programs."""
    plans = list(_plans(graphs))
    return None if None in plans else max(plan for plan in plans if plan is not None)


def _plans(graphs: StepGraphs) -> Iterator[MemoryPlan | None]:
    for graph in (graphs.first, graphs.further, graphs.last):
        if graph is not None:
            known = not any(CATALOG[node.op].dynamic for node in graph.nodes)
            yield memory_planner().memory_plan(run_passes(graph, ALL)[0]) if known else None
