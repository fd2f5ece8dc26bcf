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
from netc.ops.inputs import ParameterParams
from netc.ops.ranks import START, SumParams, enter
from netc.ranks.shared import SharedSums
from netc.solver.distributed import Distributed
from netc.train.distribute import Distribution, owners
from netc.train.step import StepGraphs, Updating, parameters_with_gradients, step_graphs


class Sharing(NamedTuple):
    """The graphs of an iteration, variables in shared memory, and how gradients are averaged."""

    graphs: StepGraphs
    variables: Variables
    sums: SharedSums
    distribution: Distribution


def shared_update(
    graph: Graph,
    how: Updating,
    frozen: Sequence[str],
    run_of: Distributed,
    backend: str,
    *,
    split: bool = False,
) -> Sharing | None:
    """The graphs for ranks that share memory; None where gradients must be sent as messages.

    Where rates follow from norms of a parameter (LARS) a rank updates whole parameters, else a
    slice of each. Clipping needs the norm of all gradients, so that every rank gets whole means.

    Args:
        graph: the TRAIN net; see netc.train.step.step_graphs, also for the next two.
        how: the solver's update.
        frozen: names of parameters that are not trained.
        run_of: this process's part in the run.
        backend: the backend's name.
        split: whether the update is a graph of its own; see netc.train.step.step_graphs.
    """
    if not on_host(backend):
        return None
    learned = [n for n in parameters_with_gradients(graph, how) if n not in frozen]
    sizes = {name: count(graph.parameters[name].shape or ()) for name in learned}
    whole = how.clip_gradients >= 0
    sums = run_of.in_shared_memory(tuple(sizes.values()), how.rule.histories, whole)
    if sums is None:
        return None
    name = f"shared/{id(sums)}"
    enter(name, sums)
    kept = owners(sizes, run_of.size) if how.rule.local is not None else ()
    over = Distribution(name, rank=run_of.rank, ranks=run_of.size, owners=kept)
    graphs = step_graphs(graph, replace(how, distribution=over), frozen, split=split)
    updating = graphs.last or graphs.first
    return Sharing(graphs, _placed(updating, sums, run_of), sums, over)


def _placed(graph: Graph, sums: SharedSums, run_of: Distributed) -> Variables:
    """The variables that ranks update slices of, with rank 0's elements, and sums over passes."""
    found = _placed_sums(graph, sums)
    for name, value in graph.updates.items():
        if part_of(graph, value):
            initial = graph.parameters[name].array
            assert initial is not None
            memory = sums.take(initial.size)
            if run_of.leads:
                memory[...] = initial.reshape(-1)
            found.add(Variable(name, initial, memory))
    return found


def _placed_sums(graph: Graph, sums: SharedSums) -> Variables:
    """The variables of sums over passes, in this rank's area, where their means are to begin."""
    found = Variables()
    for node in graph.nodes:
        maker = graph.producers.get(node.inputs[0]) if node.op == START else None
        if maker is not None and isinstance(maker.params, ParameterParams):
            variable = graph.parameters[maker.parameters[0]]
            assert variable.array is not None
            begin = node.params_as(SumParams).offset
            memory = sums.gradients[begin : begin + variable.array.size]
            found.add(Variable(variable.name, variable.array, memory))
    return found
