"""Training on ranks that share memory: one copy of parameters and history, sliced updates.

Weights as kernels read them are one copy too, made by all ranks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.backends.registry import on_host
from netc.backends.shared.joint import JointMemory
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

# Elements that are reserved for what is packed, for each of a parameter's: a filter of 3 x 3 has 64
# of Winograd's, for two directions. What is not used is never allocated.
_RESERVED = 16
_RESERVED_MORE = 1 << 20


class Sharing(NamedTuple):
    """The graphs of an iteration, variables in shared memory, and how gradients are averaged.

    ``packed`` is the memory of what is packed of the variables, None where each rank has its own.
    """

    graphs: StepGraphs
    variables: Variables
    sums: SharedSums
    distribution: Distribution
    packed: JointMemory | None

    def settled(self, run_of: Distributed) -> bool:
        """Whether all ranks have made the same programs, so that they can pack weights together.

        Call it when the programs are made, on all ranks. Where they have not (a rank has other
        threads), all ranks give up sharing what is packed, and have to make their programs again.
        """
        if self.packed is None or run_of.ranks is None:
            return True
        made = run_of.ranks.gather([float(self.packed.close())])
        if all(other == made[0] for other in made):
            self.sums.behind_update = self.packed.fill
            return True
        return False


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
    packed = _reserved(run_of, sum(sizes.values()))
    return Sharing(graphs, _placed(updating, sums, run_of, packed), sums, over, packed)


def _reserved(run_of: Distributed, elements: int) -> JointMemory | None:
    assert run_of.ranks is not None
    memory = run_of.ranks.shared_memory(_RESERVED * elements + _RESERVED_MORE, reserved=True)
    return None if memory is None else JointMemory(memory, run_of.rank, run_of.size)


def _placed(
    graph: Graph, sums: SharedSums, run_of: Distributed, packed: JointMemory | None
) -> Variables:
    """The variables that ranks update slices of, with rank 0's elements, and sums over passes."""
    found = _placed_sums(graph, sums)
    for name, value in graph.updates.items():
        if part_of(graph, value):
            initial = graph.parameters[name].array
            assert initial is not None
            memory = sums.take(initial.size)
            if run_of.leads:
                memory[...] = initial.reshape(-1)
            found.add(Variable(name, initial, memory, packed))
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
