"""An iteration of training as ordinary graphs: forward, backward, sums over passes, update.

With one pass an iteration (``iter_size: 1``) everything is one graph, ``first``; it ends by writing
the new parameters, histories and running statistics to their variables::

    y = InnerProduct(x; W); l = SoftmaxWithLoss(y, label); dl = ...; dW = Gradient(x, dy)
    W', h' = Update(dW, W, h, rate, iteration)                    updates W := W', W/history0 := h'

With more, ``first`` stores the gradients in variables of their own, ``further`` adds to them, and
``last`` is the update alone. So nothing has to be cleared between iterations, and the sum over the
passes is taken in their order (solver.cpp:226-236). Large gradients of inner products are kept as
their factors, see netc.train.factors. Where layers draw random numbers, the graphs have the
generator's key as an input: see netc.train.generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from netc.ir.edit import with_variables
from netc.ir.graph import Graph, Parameter
from netc.ir.types import count
from netc.ops.inputs import ParameterParams
from netc.ops.recurrent import RecurrentParams
from netc.ops.update import CLIP, UPDATE, ClipScaleParams, UpdateParams
from netc.ops.update_rules import UpdateRule
from netc.passes.state import carry_state
from netc.train.differentiate import differentiate
from netc.train.distribute import (
    Distribution,
)
from netc.train.factors import Factors, add_sum, factors_of, keep_factors
from netc.train.generator import with_generator
from netc.train.growth import GraphGrowth, history_name, sum_name
from netc.train.joint import Joint
from netc.train.wanted import Use, owner_of

_SCALED_BY_RATE = ("SGD", "Nesterov", "LARS")  # rules whose history takes gradients times the rate
RATE, ITERATION, NORM, SCALE = "~rate", "~iteration", "~norm", "~clip_scale"


@dataclass(frozen=True, slots=True)
class Updating:
    """How a solver updates: its rule, weight decay, clipping and passes an iteration.

    ``force_backward`` is the net's: gradients of frozen parameters count when clipping. With
    ``distribution`` an update goes by the means of the gradients over several ranks, which are
    clipped and regularised as the gradients of one would be (parallel.cpp, NCCL::run).
    """

    rule: UpdateRule
    weight_decay: float = 0.0
    regularization: str = "L2"
    clip_gradients: float = -1.0
    iter_size: int = 1
    force_backward: bool = False
    distribution: Distribution | None = None


class StepGraphs(NamedTuple):
    """The graphs of one iteration.

    Args:
        first: the first pass of an iteration; with one pass an iteration it updates too.
        further: every pass after the first; None where there is but one.
        last: the update; None where ``first`` does it. Its outputs are those of clipping.
        learnable: the parameters in Caffe's order: by layer, then index, sharers left out
            (net.cpp, AppendParam). Frozen ones and statistics are among them.
        histories: names of the variables of the solver's history, in the order of a solverstate.
            One that no update touches is in no graph.
        learned: the parameters whose gradients are computed.
        silent: uses of them, by layer and index, that add nothing.
        coasting: parameters with lr_mult 0 whose update is in no graph: it moves them by their
            history alone, and that is zero but where a run goes on from one in which they learned.
        factors: parameters whose gradients are not summed but kept as their factors.
    """

    first: Graph
    further: Graph | None
    last: Graph | None
    learnable: tuple[str, ...]
    histories: tuple[str, ...]
    learned: tuple[str, ...] = ()
    silent: frozenset[Use] = frozenset()
    coasting: tuple[str, ...] = ()
    factors: Mapping[str, Factors] = MappingProxyType({})


def step_graphs(
    graph: Graph,
    how: Updating,
    frozen: Sequence[str] = (),
    *,
    split: bool = False,
    summed: bool = False,
) -> StepGraphs:
    """The graphs that train a net.

    Args:
        graph: of the TRAIN phase, with inferred shapes and arrays, no passes run.
        how: what the solver does.
        frozen: parameters that stay as they are, besides those with lr_mult 0.
        split: whether the update is a graph of its own with one pass an iteration too, for rates
            that depend on the iteration's loss.
        summed: whether all gradients are summed whole, so that passes may differ in their shapes.

    Raises:
        NetcError: no-gradient, no-loss: see netc.train.differentiate.
    """
    learnable = learnable_parameters(graph)
    learned = tuple(n for n in parameters_with_gradients(graph, how) if n not in frozen)
    silent = silent_uses(graph, how)
    graph, states = carried_graph(with_variables(with_generator(graph)))
    # The loss of a layer with no top is no output, and is wanted all the same.
    shown = tuple(dict.fromkeys((*graph.outputs, *graph.losses)))
    joint = differentiate(graph.replace(outputs=shown), parameters=learned, silent=silent)
    forward = joint.graph.replace(outputs=shown)
    first, further = GraphGrowth(forward), GraphGrowth(forward)
    for growth in (first, further):
        growth.run_statistics(graph.nodes)
        growth.keep_states(states)
    single = how.iter_size == 1 and not split
    factors = {} if summed or single else _factors(joint, how)
    made = _Update(graph, learnable, how, frozenset(frozen), factors=factors)
    told = learnable, made.histories(), learned, silent, made.coasting()
    if single:
        made.add(first, joint.parameters)
        return StepGraphs(first.result(), None, None, *told)
    bare = graph.replace(nodes=(), inputs=(), outputs=(), values={}, losses={})
    sums = {name: value for name, value in joint.parameters.items() if name not in factors}
    first.store_sums(sums, add=False)
    keep_factors(first, factors, further=False)
    further.store_sums(sums, add=True)
    keep_factors(further, factors, further=True)
    last = GraphGrowth(bare.replace(parameters=further.parameters))
    made.add(last, {name: last.sum_of(name) for name in sums})
    return StepGraphs(first.result(), further.result(), last.result(), *told, factors)


def _factors(joint: Joint, how: Updating) -> dict[str, Factors]:
    """The gradients to keep as factors; norms and means over ranks need whole ones."""
    if how.clip_gradients >= 0 or how.rule.local is not None or how.distribution is not None:
        return {}
    return factors_of(joint.graph, joint.parameters, how.iter_size)


def variable_bytes(graphs: StepGraphs) -> int:
    """Bytes of parameters, histories, running statistics, states and sums over passes."""
    found: dict[str, Parameter] = {}
    for graph in (graphs.first, graphs.further, graphs.last):
        if graph is not None:
            found.update(graph.parameters)
    return 4 * sum(count(p.shape or ()) for p in found.values() if p.owner is None)


def between_passes(graphs: StepGraphs) -> frozenset[str]:
    """Names of the variables that hold gradients, or their factors, until the update."""
    sums = (sum_name(name) for name in graphs.learnable)
    return frozenset((*sums, *(v for kept in graphs.factors.values() for v in kept.variables())))


def summed_so_far(graphs: StepGraphs, passes: int) -> Graph:
    """What makes the sums over an iteration's first passes of the gradients kept as factors."""
    assert graphs.further is not None
    bare = graphs.further.replace(nodes=(), inputs=(), outputs=(), values={}, losses={})
    growth = GraphGrowth(bare)
    made = {n: add_sum(growth, n, factors, passes) for n, factors in graphs.factors.items()}
    growth.store_sums(made, add=False)
    return growth.result()


class UpdateGraph(NamedTuple):
    """An update by gradients that are given from outside: they are variables, see ``sum_name``.

    ``graph`` is as StepGraphs' ``last``, and so are ``learnable`` and ``histories``.
    """

    graph: Graph
    learnable: tuple[str, ...]
    histories: tuple[str, ...]


def update_graph(graph: Graph, how: Updating) -> UpdateGraph:
    """The update alone, of all parameters of a net, for passes that are run elsewhere."""
    learnable = learnable_parameters(graph)
    last = GraphGrowth(graph.replace(nodes=(), inputs=(), outputs=(), values={}, losses={}))
    made = _Update(graph, learnable, how, whole=True)
    made.add(last, {name: last.sum_of(name) for name in learnable})
    return UpdateGraph(last.result(), learnable, made.histories())


def learnable_parameters(graph: Graph) -> tuple[str, ...]:
    """Owners of parameters by layer, then index."""
    owners = (graph.parameters[n].owner or n for node in graph.nodes for n in node.parameters)
    return tuple(dict.fromkeys(owners))


def parameters_with_gradients(graph: Graph, how: Updating) -> tuple[str, ...]:
    """Parameters whose gradients count: those that move, and some frozen ones.

    A frozen parameter's gradient counts in the norm of all and in histories that are not scaled by
    the rate. Caffe computes it with `force_backward` (net.cpp:228), in recurrent layers, since the
    net inside does not know (recurrent_layer.cpp), and where a layer that shares the parameter does
    not write the lr_mult 0 itself (net.cpp:146-152).
    """
    learnable = learnable_parameters(graph)
    moving = {name for name in learnable if graph.parameters[name].lr_mult != 0}
    if how.clip_gradients >= 0 or how.rule.name not in _SCALED_BY_RATE:
        moving.update(learnable if how.force_backward else ())
        silent, uses = silent_uses(graph, how), list(_uses(graph))
        moving |= {owner for use, owner in uses if use in silent} & {
            owner for use, owner in uses if use not in silent
        }
        for node in graph.nodes:
            if isinstance(node.params, RecurrentParams):
                moving.update(graph.parameters[n].owner or n for n in node.parameters)
    return tuple(name for name in learnable if name in moving)


def silent_uses(graph: Graph, how: Updating) -> frozenset[Use]:
    """Uses of parameters whose layers write lr_mult 0, and so compute no gradient."""
    if how.force_backward:
        return frozenset()
    return frozenset(
        (node.name, index)
        for node in graph.nodes
        if not isinstance(node.params, RecurrentParams)
        for index, written in enumerate(node.param_specs)
        if written.lr_mult == 0
    )


def _uses(graph: Graph) -> Iterator[tuple[Use, str]]:
    """Each layer's parameters, with their owners."""
    for node in graph.nodes:
        for index, name in enumerate(node.parameters):
            yield (node.name, index), owner_of(graph, name)


def carried_graph(graph: Graph) -> tuple[Graph, Mapping[str, str]]:
    """The graph whose recurrent layers start from variables, and what these are to hold next.

    recurrent_layer.cpp, Forward_cpu: the last state of a pass is the first of the next one; no
    gradient crosses. A snapshot of Caffe does not have it.
    """
    carried = carry_state(graph)
    grown = GraphGrowth(carried.graph.replace(nodes=(), inputs=graph.inputs, outputs=graph.outputs))
    for name in carried.states:
        shape = carried.graph.shape(name)
        params = ParameterParams(shape)
        grown.node(name, "Parameter", params, (), (name,), (grown.variable(name, shape),))
    grown.nodes += carried.graph.nodes
    return grown.result(), carried.states


@dataclass(frozen=True)
class _Update:
    """The update of all parameters, as nodes; with ``whole`` of those that only coast too."""

    graph: Graph
    learnable: tuple[str, ...]
    how: Updating
    frozen: frozenset[str] = field(default_factory=frozenset)
    whole: bool = False
    factors: Mapping[str, Factors] = field(default_factory=dict)

    def histories(self) -> tuple[str, ...]:
        """The history's variables: all first halves, then all second ones."""
        halves = range(self.how.rule.histories)
        return tuple(history_name(name, half) for half in halves for name in self.learnable)

    def add(self, growth: GraphGrowth, gradients: Mapping[str, str]) -> None:
        """Let the graph update parameters by these gradients."""
        if self.how.distribution is not None:
            gradients = growth.means(gradients, self.how.distribution)
        clipped = self.how.clip_gradients >= 0 and bool(gradients)
        if clipped:
            params = ClipScaleParams(self.how.clip_gradients)
            growth.node(NORM, CLIP, params, tuple(gradients.values()), (SCALE, NORM))
            growth.outputs += [SCALE, NORM]
        coasting = self.coasting()
        for name in self.learnable:
            if name in self.frozen or name in coasting:
                continue
            gradient = gradients.get(name)
            if name in self.factors:  # right before the update, so that no two are held at once
                gradient = add_sum(growth, name, self.factors[name], self.how.iter_size)
            self._update(growth, name, gradient, clipped)

    def coasting(self) -> tuple[str, ...]:
        """Parameters that an update moves by their history alone: with lr_mult 0, under SGD and
        Nesterov.

        The histories of the other rules fill with weight decay and gradients even so.
        """
        if self.whole or self.how.rule.name not in ("SGD", "Nesterov"):
            return ()
        still = (name for name in self.learnable if self.graph.parameters[name].lr_mult == 0)
        return tuple(name for name in still if name not in self.frozen)

    def _update(
        self, growth: GraphGrowth, parameter: str, gradient: str | None, clipped: bool
    ) -> None:
        how, entry = self.how, self.graph.parameters[parameter]
        params = UpdateParams(
            how.rule,
            entry.lr_mult,
            float(np.float32(how.weight_decay) * np.float32(entry.decay_mult)),
            how.regularization,
            how.iter_size,
            gradient is not None,
            clipped and gradient is not None,
            self._part(parameter, gradient),
        )
        names = [history_name(parameter, i) for i in range(how.rule.histories)]
        histories = [growth.read(growth.variable(n, entry.shape or ())) for n in names]
        inputs = [
            *([gradient] if gradient else []),
            growth.updates.get(parameter) or growth.read(parameter),
            *histories,
            growth.scalar(RATE),
            growth.scalar(ITERATION),
            *([SCALE] if params.clipped else []),
        ]
        outputs = [f"{parameter}~next", *(f"{n}~next" for n in names)]
        growth.node(f"{parameter}~update", UPDATE, params, inputs, outputs)
        growth.updates.update(zip((parameter, *names), outputs, strict=True))

    def _part(self, parameter: str, gradient: str | None) -> tuple[int, ...]:
        """The elements that are this rank's to update.

        What no gradient reaches fades by weight decay alone, in each rank's own memory.
        """
        over = self.how.distribution
        if over is None or gradient is None:
            return ()
        return over.part(parameter, self.graph.parameters[parameter].shape or ())


def forward_graph(graph: Graph) -> Graph:
    """The forward pass of the TRAIN phase alone, with what layers keep of it."""
    shown = tuple(dict.fromkeys((*graph.outputs, *graph.losses)))
    carried, states = carried_graph(with_variables(with_generator(graph)).replace(outputs=shown))
    growth = GraphGrowth(carried)
    growth.run_statistics(carried.nodes)
    growth.keep_states(states)
    return growth.result()
