"""Training on ranks that share memory: one copy of parameters and history, sliced updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.backends.registry import on_host
from netc.backends.variables import Variable, Variables
from netc.ir.graph import Graph
from netc.ir.types import count
from netc.ops.gradient_update import part_of
from netc.ops.ranks import enter
from netc.ranks.shared import SharedSums
from netc.solver.distributed import Distributed
from netc.train.distribute import Distribution
from netc.train.step import StepGraphs, Updating, parameters_with_gradients, step_graphs


class Sharing(NamedTuple):
    """The graphs of an iteration, variables in shared memory, and how gradients are averaged."""

    graphs: StepGraphs
    variables: Variables
    sums: SharedSums
    distribution: Distribution


def shared_update(
    graph: Graph, how: Updating, frozen: Sequence[str], run_of: Distributed, backend: str
) -> Sharing | None:
    """The graphs for ranks that share memory; None where gradients must be sent as messages.

    A rank can update a slice only if the rule is elementwise. Clipping and layer-wise rates need
    the norm of whole gradients, and sums over several passes are in each rank's own memory.

    Args:
        graph: the TRAIN net; see netc.train.step.step_graphs, also for the next two.
        how: the solver's update.
        frozen: names of parameters that are not trained.
        run_of: this process's part in the run.
        backend: the backend's name.
    """
    whole = how.clip_gradients >= 0 or how.rule.local is not None or how.iter_size > 1
    if whole or not on_host(backend):
        return None
    learned = [n for n in parameters_with_gradients(graph, how) if n not in frozen]
    sizes = [count(graph.parameters[name].shape or ()) for name in learned]
    sums = run_of.in_shared_memory(sizes, how.rule.histories)
    if sums is None:
        return None
    name = f"shared/{id(sums)}"
    enter(name, sums)
    over = Distribution(name, rank=run_of.rank, ranks=run_of.size)
    graphs = step_graphs(graph, replace(how, distribution=over), frozen)
    return Sharing(graphs, _placed(graphs.first, sums, run_of), sums, over)


def _placed(graph: Graph, sums: SharedSums, run_of: Distributed) -> Variables:
    """The variables that ranks update slices of, with rank 0's elements."""
    found = Variables()
    for name, value in graph.updates.items():
        if part_of(graph, value):
            initial = graph.parameters[name].array
            assert initial is not None
            memory = sums.take(initial.size)
            if run_of.leads:
                memory[...] = initial.reshape(-1)
            found.add(Variable(name, initial, memory))
    return found
