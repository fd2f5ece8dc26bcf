"""An iteration of training as ordinary graphs: forward, backward, sums over passes, update.

With one pass an iteration (``iter_size: 1``) everything is one graph, ``first``; it ends by writing
the new parameters, histories and running statistics to their variables::

    y = InnerProduct(x; W); l = SoftmaxWithLoss(y, label); dl = ...; dW = Gradient(x, dy)
    W', h' = Update(dW, W, h, rate, iteration)                    updates W := W', W/history0 := h'

With more, ``first`` stores the gradients in variables of their own, ``further`` adds to them, and
``last`` is the update alone. So nothing has to be cleared between iterations, and the sum over the
passes is taken in their order (solver.cpp:226-236). Where layers draw random numbers, the graphs
have the generator's key as an input: see netc.train.generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from netc.ir.edit import prune_parameters, with_variables
from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ir.types import Shape, count
from netc.ops.catalog import CATALOG
from netc.ops.elementwise import EltwiseParams
from netc.ops.inputs import ParameterParams
from netc.ops.recurrent import RecurrentParams
from netc.ops.update import CLIP, RUNNING, UPDATE, ClipScaleParams, RunningParams, UpdateParams
from netc.ops.update_rules import Rule
from netc.passes.state import carry_state
from netc.train.differentiate import differentiate
from netc.train.distribute import (
    Distribution,
    buckets,
    finished,
    mean_name,
    slots,
    started,
    under_way_name,
    with_starts,
)
from netc.train.generator import with_generator

RATE, ITERATION, NORM, SCALE = "~rate", "~iteration", "~norm", "~clip_scale"


@dataclass(frozen=True, slots=True)
class Updating:
    """How a solver updates: its rule, weight decay, clipping and passes an iteration.

    ``force_backward`` is the net's: gradients of frozen parameters count when clipping. With
    ``distribution`` an update goes by the means of the gradients over several ranks, which are
    clipped and regularised as the gradients of one would be (parallel.cpp, NCCL::run).
    """

    rule: Rule
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
    """

    first: Graph
    further: Graph | None
    last: Graph | None
    learnable: tuple[str, ...]
    histories: tuple[str, ...]
    learned: tuple[str, ...] = ()


def step_graphs(
    graph: Graph, how: Updating, frozen: Sequence[str] = (), *, split: bool = False
) -> StepGraphs:
    """The graphs that train a net.

    Args:
        graph: of the TRAIN phase, with inferred shapes and arrays, no passes run.
        how: what the solver does.
        frozen: parameters that stay as they are, besides those with lr_mult 0.
        split: whether the update is a graph of its own with one pass an iteration too, for rates
            that depend on the iteration's loss.

    Raises:
        NetcError: no-gradient, no-loss: see netc.train.differentiate.
    """
    learnable = learnable_parameters(graph)
    learned = tuple(n for n in parameters_with_gradients(graph, how) if n not in frozen)
    graph, states = carried_graph(with_variables(with_generator(graph)))
    # The loss of a layer with no top is no output, and is wanted all the same.
    shown = tuple(dict.fromkeys((*graph.outputs, *graph.losses)))
    joint = differentiate(graph.replace(outputs=shown), parameters=learned)
    forward = joint.graph.replace(outputs=shown)
    first, further = _Growth(forward), _Growth(forward)
    for growth in (first, further):
        growth.run_statistics(graph.nodes)
        growth.keep_states(states)
    made = _Update(graph, learnable, how, frozenset(frozen))
    if how.iter_size == 1 and not split:
        made.add(first, joint.parameters)
        return StepGraphs(first.result(), None, None, learnable, made.histories(), learned)
    last = _Growth(graph.replace(nodes=(), inputs=(), outputs=(), values={}, losses={}))
    first.store_sums(joint.parameters, add=False)
    further.store_sums(joint.parameters, add=True)
    made.add(last, {name: last.sum_of(name) for name in joint.parameters})
    graphs = (first.result(), further.result(), last.result())
    return StepGraphs(*graphs, learnable, made.histories(), learned)


def variable_bytes(graphs: StepGraphs) -> int:
    """Bytes of parameters, histories, running statistics, states and sums over passes."""
    found: dict[str, Parameter] = {}
    for graph in (graphs.first, graphs.further, graphs.last):
        if graph is not None:
            found.update(graph.parameters)
    return 4 * sum(count(p.shape or ()) for p in found.values() if p.owner is None)


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
    last = _Growth(graph.replace(nodes=(), inputs=(), outputs=(), values={}, losses={}))
    made = _Update(graph, learnable, how)
    made.add(last, {name: last.sum_of(name) for name in learnable})
    return UpdateGraph(last.result(), learnable, made.histories())


def learnable_parameters(graph: Graph) -> tuple[str, ...]:
    """Owners of parameters by layer, then index."""
    owners = (graph.parameters[n].owner or n for node in graph.nodes for n in node.parameters)
    return tuple(dict.fromkeys(owners))


def parameters_with_gradients(graph: Graph, how: Updating) -> tuple[str, ...]:
    """Parameters whose gradients Caffe computes: those that move, and some for the norm of all.

    With `force_backward` a frozen parameter has a gradient too (net.cpp:228), and those of
    recurrent layers always have, since the net inside does not know (recurrent_layer.cpp).
    """
    learnable = learnable_parameters(graph)
    moving = {name for name in learnable if graph.parameters[name].lr_mult != 0}
    if how.clip_gradients >= 0:
        moving.update(learnable if how.force_backward else ())
        for node in graph.nodes:
            if isinstance(node.params, RecurrentParams):
                moving.update(graph.parameters[n].owner or n for n in node.parameters)
    return tuple(name for name in learnable if name in moving)


def carried_graph(graph: Graph) -> tuple[Graph, Mapping[str, str]]:
    """The graph whose recurrent layers start from variables, and what these are to hold next.

    recurrent_layer.cpp, Forward_cpu: the last state of a pass is the first of the next one; no
    gradient crosses. A snapshot of Caffe does not have it.
    """
    carried = carry_state(graph)
    grown = _Growth(carried.graph.replace(nodes=(), inputs=graph.inputs, outputs=graph.outputs))
    for name in carried.states:
        shape = carried.graph.shape(name)
        params = ParameterParams(shape)
        grown.node(name, "Parameter", params, (), (name,), (grown.variable(name, shape),))
    grown.nodes += carried.graph.nodes
    return grown.result(), carried.states


def history_name(parameter: str, index: int) -> str:
    """The variable of a parameter's history."""
    return f"{parameter}~history{index}"


def sum_name(parameter: str) -> str:
    """The variable in which a parameter's gradients are summed over the passes."""
    return f"{parameter}~sum"


class _Growth:
    """A graph to which nodes are added at the end, and updates of variables."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = list(graph.nodes)
        self.inputs, self.outputs = list(graph.inputs), list(graph.outputs)
        self.values, self.parameters = dict(graph.values), dict(graph.parameters)
        self.updates: dict[str, str] = {}

    def result(self) -> Graph:
        """The grown graph, with what it uses alone."""
        grown = self.graph.replace(
            nodes=tuple(self.nodes),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
            values=self.values,
            parameters=self.parameters,
            updates=self.updates,
        )
        return prune_parameters(grown)

    def node(
        self,
        name: str,
        op: str,
        params: object,
        inputs: Sequence[str],
        outputs: Sequence[str],
        parameters: Sequence[str] = (),
    ) -> None:
        """A node whose outputs' shapes are those of its op."""
        shapes = CATALOG[op].shape(params, [self._shape(v) for v in inputs])
        for output, shape in zip(outputs, shapes, strict=True):
            self.values[output] = Value(output, output, shape)
        self.nodes.append(Node(name, op, params, tuple(inputs), tuple(outputs), tuple(parameters)))

    def _shape(self, value: str) -> Shape:
        shape = self.values[value].shape
        assert shape is not None
        return shape

    def read(self, variable: str) -> str:
        """A variable as an ordinary value."""
        name = f"{variable}~value"
        if name not in self.values:
            shape = self.parameters[variable].shape or ()
            self.node(name, "Parameter", ParameterParams(shape), (), (name,), (variable,))
        return name

    def variable(self, name: str, shape: Shape) -> str:
        """A variable of zeros."""
        if name not in self.parameters:
            zeros = np.zeros(shape, np.float32)
            self.parameters[name] = Parameter(name, shape, array=zeros, variable=True)
        return name

    def scalar(self, name: str) -> str:
        """An input of one number."""
        if name not in self.values:
            self.values[name] = Value(name, name, ())
            self.inputs.append(name)
        return name

    def run_statistics(self, layers: Sequence[Node]) -> None:
        """Averages that a layer keeps of its inputs move at each pass (batch_norm_layer.cpp).

        They stand right behind the layer: at the end they would keep its inputs alive until then.
        """
        nodes, self.nodes = self.nodes, []
        moving = {n.name: n for n in layers if CATALOG[n.op].moving(n.params)}
        for node in nodes:
            self.nodes.append(node)
            if node.name in moving:
                self._run_statistics(moving[node.name])

    def _run_statistics(self, layer: Node) -> None:
        moving = CATALOG[layer.op].moving(layer.params)
        outputs = [f"{name}~moved" for name in layer.parameters]
        params, name = RunningParams(layer.op, layer.params), f"{layer.name}~running"
        self.node(name, RUNNING, params, layer.inputs, outputs, layer.parameters)
        self.updates.update({layer.parameters[i]: outputs[i] for i in moving})

    def keep_states(self, states: Mapping[str, str]) -> None:
        """A recurrent layer's last state is its first one in the next pass."""
        self.updates.update(states)

    def sum_of(self, parameter: str) -> str:
        """The sum of a parameter's gradients over the passes so far, as a value."""
        return self.read(self._sum(parameter))

    def _sum(self, parameter: str) -> str:
        return self.variable(sum_name(parameter), self.parameters[parameter].shape or ())

    def means(self, gradients: Mapping[str, str], over: Distribution) -> dict[str, str]:
        """Parameter -> the mean of its gradient over the ranks, taken while other nodes run."""
        shapes = {value: self._shape(value) for value in gradients.values()}
        # In shared memory there are no messages whose latency a bucket of several would save.
        least = 0 if over.sliced else over.bucket_bytes
        groups = buckets(gradients, shapes, self.nodes, least)
        placed = list(slots([[gradients[name] for name in group] for group in groups]))
        starts = [started(gradient, slot, over) for gradient, slot in placed]
        self.nodes = list(with_starts(self.nodes, starts))
        self.nodes += [finished(gradient, slot, over) for gradient, slot in placed]
        for gradient, shape in shapes.items():
            for name in (under_way_name(gradient), mean_name(gradient)):
                self.values[name] = Value(name, name, shape)
        return {name: mean_name(value) for name, value in gradients.items()}

    def store_sums(self, gradients: Mapping[str, str], *, add: bool) -> None:
        """Keep the gradients, or add them to what is kept."""
        for parameter, gradient in gradients.items():
            total, variable = gradient, self._sum(parameter)
            if add:
                total = f"{parameter}~total"
                before = self.read(variable)
                self.node(total, "Eltwise", EltwiseParams(), (before, gradient), (total,))
            self.updates[variable] = total


@dataclass(frozen=True)
class _Update:
    """The update of all parameters, as nodes."""

    graph: Graph
    learnable: tuple[str, ...]
    how: Updating
    frozen: frozenset[str] = field(default_factory=frozenset)

    def histories(self) -> tuple[str, ...]:
        """The history's variables: all first halves, then all second ones."""
        halves = range(self.how.rule.histories)
        return tuple(history_name(name, half) for half in halves for name in self.learnable)

    def add(self, growth: _Growth, gradients: Mapping[str, str]) -> None:
        """Let the graph update parameters by these gradients."""
        if self.how.distribution is not None:
            gradients = growth.means(gradients, self.how.distribution)
        clipped = self.how.clip_gradients >= 0 and bool(gradients)
        if clipped:
            params = ClipScaleParams(self.how.clip_gradients)
            growth.node(NORM, CLIP, params, tuple(gradients.values()), (SCALE, NORM))
            growth.outputs += [SCALE, NORM]
        for name in self._moving():
            self._update(growth, name, gradients.get(name), clipped)

    def _moving(self) -> Iterator[str]:
        """Parameters whose elements or history an update may change.

        Without a gradient and at rate 0, SGD and Nesterov change nothing; the histories of the
        other rules fill with weight decay even so.
        """
        simple = self.how.rule.name in ("SGD", "Nesterov")
        for name in self.learnable:
            stays = self.graph.parameters[name].lr_mult == 0 and simple
            if not stays and name not in self.frozen:
                yield name

    def _update(self, growth: _Growth, parameter: str, gradient: str | None, clipped: bool) -> None:
        how, entry = self.how, self.graph.parameters[parameter]
        params = UpdateParams(
            how.rule,
            entry.lr_mult,
            float(np.float32(how.weight_decay) * np.float32(entry.decay_mult)),
            how.regularization,
            how.iter_size,
            gradient is not None,
            clipped and gradient is not None,
            self._part(entry, gradient),
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

    def _part(self, entry: Parameter, gradient: str | None) -> tuple[int, ...]:
        """The elements that are this rank's to update.

        What no gradient reaches fades by weight decay alone, in each rank's own memory.
        """
        over = self.how.distribution
        return () if over is None or gradient is None else over.part(entry.shape or ())


def forward_graph(graph: Graph) -> Graph:
    """The forward pass of the TRAIN phase alone, with what layers keep of it."""
    shown = tuple(dict.fromkeys((*graph.outputs, *graph.losses)))
    carried, states = carried_graph(with_variables(with_generator(graph)).replace(outputs=shown))
    growth = _Growth(carried)
    growth.run_statistics(carried.nodes)
    growth.keep_states(states)
    return growth.result()
