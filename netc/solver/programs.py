"""The compiled programs of a solver: passes and updates of the TRAIN net."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from netc.backends.base import Options
from netc.backends.reference import parameter_array
from netc.backends.variables import Variable, Variables
from netc.compiled import CompiledNet
from netc.driver import Weights
from netc.feeding import graph_for, input_shapes
from netc.ir.edit import with_variables
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape
from netc.layer_arrays import LayerArrays
from netc.ops.random import generator_key
from netc.ops.update_rules import UpdateRule, step
from netc.ranks.shared import SharedSums
from netc.recent import LeastRecentlyUsed
from netc.solver.nets import Shown
from netc.solver.noise import Noise
from netc.train.generator import KEY
from netc.train.growth import history_name
from netc.train.observe import Observation, Observed, observation, observed_graph
from netc.train.step import (
    ITERATION,
    NORM,
    RATE,
    SCALE,
    StepGraphs,
    between_passes,
    forward_graph,
    summed_so_far,
    variable_bytes,
)
from netc.weights.match import assign

_SHAPES = 4  # further batch shapes whose programs are kept, least recently used first out

SGD = UpdateRule()


class PassResult(NamedTuple):
    """The result of a pass: the net's outputs and the weighted sum of its losses.

    ``norm`` and ``scale`` are the gradients' L2 norm and the factor of clipping; None where nothing
    was updated or clipping is off.
    """

    outputs: dict[str, Array]
    loss: np.float32
    norm: np.float32 | None = None
    scale: np.float32 | None = None


class TrainNet:
    """The programs of a training iteration, which share one set of variables.

    A batch may have other shapes than the graph's, as Caffe reshapes its blobs before each pass
    (net.cpp, ForwardFromTo): the iteration's graphs are then built again for those shapes, with the
    same parameters, histories and statistics. The programs of the last few shapes are cached.

    Args:
        graph: the TRAIN net, with inferred shapes and arrays, before any pass.
        graphs: the graphs of an iteration.
        shown: the net's outputs.
        backend: "cpu", "cuda" or "reference".
        options: as for a compiled net.
        seed: of layers that draw random numbers.
        group: the averaging of gradients in shared memory, where ranks share it.
        remake: graph of other shapes, and whether its gradients are summed whole -> its
            iteration's graphs; None if only one shape is allowed.
        rule: the solver's.
    """

    def __init__(
        self,
        graph: Graph,
        graphs: StepGraphs,
        shown: Shown,
        backend: str,
        options: Options,
        seed: int = 0,
        group: SharedSums | None = None,
        remake: Callable[[Graph, bool], StepGraphs] | None = None,
        rule: UpdateRule = SGD,
    ) -> None:
        self._group, self._remake, self._own_graph = group, remake, graph
        self._whole = False  # gradients are summed whole: passes had different shapes
        self.shown = shown
        self._of_shapes: LeastRecentlyUsed[tuple[Shape, ...], TrainNet]
        self._of_shapes = LeastRecentlyUsed(_SHAPES)
        self._current = self._summing = self
        self.graph = with_variables(graph)
        self._seed, self._noise = seed, Noise(graph, seed)
        self._backend, self._options = backend, options
        self._compile(graphs)
        self._untouched = self._zeros()
        self._rule = rule
        self._coasting: list[str] | None = []  # parameters that their histories move; None: unknown

    def _compile(self, graphs: StepGraphs) -> None:
        self.graphs = graphs
        self._first = CompiledNet(graphs.first, self._backend, self._options)
        self.variables = self._first.variables
        self._options = replace(self._options, variables=self.variables)
        self._further = self._compiled(graphs.further, self._options)
        self._last = self._compiled(graphs.last, self._options)

    def _compiled(self, graph: Graph | None, options: Options) -> CompiledNet | None:
        return None if graph is None else CompiledNet(graph, self._backend, options)

    def _zeros(self) -> dict[str, Array]:
        """Histories that no update touches; a snapshot has them all the same."""
        shapes = [self.graph.parameters[name].shape or () for name in self.graphs.learnable]
        halves = len(self.graphs.histories) // max(1, len(shapes))
        return {
            name: np.zeros(shape, np.float32)
            for name, shape in zip(self.graphs.histories, shapes * halves, strict=True)
            if name not in self.variables
        }

    def _for(self, feeds: Mapping[str, object]) -> TrainNet:
        """The programs for a batch's shapes.

        Raises:
            NetcError: input-shape, where a layer or a trained array does not fit them.
        """
        own = input_shapes(self.graph)
        shapes = tuple(
            _shape(feeds[blob] if blob in feeds else feeds.get(value), shape)
            for (blob, value), shape in zip(self.graph.input_blobs.items(), own, strict=True)
        )
        found = self
        if shapes != own and self._remake is not None:
            found = self._of_shapes.get(shapes, lambda: self._reshaped(shapes))
        if found is not self._current:
            before, self._current = self._current, found
            found._forget_states(before)
        return found

    def _reshaped(self, shapes: tuple[Shape, ...]) -> TrainNet:
        assert self._remake is not None
        graph = graph_for(self._own_graph, shapes)
        graphs = self._remake(graph, self._whole)
        variables = Variables()
        shapes_of = {
            name: parameter.shape
            for made in (graphs.first, graphs.further, graphs.last)
            for name, parameter in (made.parameters.items() if made is not None else ())
        }
        for name in self.variables:
            place = self.variables.variable(name)
            if shapes_of.get(name, place.shape) == place.shape:
                variables.add(place)
        options = replace(self._options, variables=variables)
        own = (self.shown, self._backend, options, self._seed, self._group)
        return TrainNet(graph, graphs, *own)

    def _forget_states(self, before: TrainNet) -> None:
        """Recurrent layers of another batch size have nothing to go on from."""
        for name, place in self.states.items():
            if place is not before.variables.variable(name):
                place.write(np.zeros(place.shape, np.float32))

    @cached_property
    def net(self) -> CompiledNet:
        """The forward pass only, over the same variables."""
        options = replace(self._options, variables=self.variables)
        return CompiledNet(self.graph, self._backend, options, seed=self._seed)

    @property
    def places(self) -> dict[str, Variable]:
        """Name -> variable, for everything that an iteration writes."""
        if self._current is not self:
            return self._current.places
        graphs = (self.graphs.first, self.graphs.further, self.graphs.last)
        names = {n: p for g in graphs if g is not None for n, p in g.parameters.items()}
        owners = [n for n, p in names.items() if p.variable and p.owner is None]
        return {name: self.variables.variable(name) for name in owners}

    @property
    def states(self) -> dict[str, Variable]:
        """Name -> variable of the recurrent layers' last states."""
        kept = {*self.graph.parameters, *self.graphs.histories}
        kept |= between_passes(self.graphs)
        return {name: place for name, place in self.places.items() if name not in kept}

    @property
    def programs(self) -> dict[str, CompiledNet]:
        """The programs of an iteration, by their purpose."""
        known = {"first": self._first, "further": self._further, "update": self._last}
        return {name: net for name, net in known.items() if net is not None}

    @property
    def variable_bytes(self) -> int:
        """Bytes of parameters, history, statistics, recurrent states and gradient sums."""
        return variable_bytes(self.graphs)

    @property
    def inputs(self) -> dict[str, Shape]:
        """Input blob of the net -> shape."""
        return {blob: self.graph.shape(name) for blob, name in self.graph.input_blobs.items()}

    @property
    def params(self) -> LayerArrays:
        """Layer -> its trained arrays, float32 and writable."""
        return LayerArrays(self.graph, self.variables)

    @property
    def history(self) -> tuple[Array, ...]:
        """The solver's history in the order of a solverstate, as writable float32 arrays."""
        self._coasting = None  # they may be
        return tuple(
            self._untouched[name] if name in self._untouched else self.variables[name]
            for name in self.graphs.histories
        )

    def copy_weights(self, weights: Weights) -> None:
        """Copy a file's arrays to the layers with the same names.

        Raises:
            NetcError: missing-weights, where the file lacks a layer; weight-count, weight-shape.
        """
        known = self.graph.parameters.items()
        bare = {n: replace(p, array=None) if n in self.graphs.learnable else p for n, p in known}
        loaded, _ = assign(self.graph.replace(parameters=bare), weights)
        for name in self.graphs.learnable:
            self.variables[name][...] = parameter_array(loaded, name)

    @property
    def fused(self) -> bool:
        """Whether an iteration is one program: a pass and its update (iter_size 1)."""
        return self._last is None

    def iterate(
        self, feeds: Mapping[str, object], rate: np.float32, iteration: int, drawn: int
    ) -> PassResult:
        """Run a whole iteration of one pass: forward, backward and update.

        ``rate`` is the learning rate, ``drawn`` the pass's number among those of all ranks, which
        layers that draw random numbers depend on.
        """
        first = self._for(feeds)._first
        made = self._pass(first, {**feeds, **self._scalars(first, rate, iteration)}, drawn)
        self._updated(iteration)
        return made

    def accumulate(self, feeds: Mapping[str, object], number: int, drawn: int) -> PassResult:
        """Run pass ``number`` of an iteration; its gradients are stored, or added to earlier ones.

        ``drawn`` is the number of passes before it, for layers that draw random numbers.
        """
        own = self._for(feeds)
        if number == 0:
            self._summing = own
        elif own.kept_shapes != self._summing.kept_shapes:
            self._sum_whole(number)
            own = self._for(feeds)
        program = own._first if number == 0 or own._further is None else own._further
        return self._pass(program, feeds, drawn)

    def update(self, rate: np.float32, iteration: int) -> PassResult:
        """Update the parameters by the gradients that :meth:`accumulate` summed."""
        last = self._summing._last
        assert last is not None
        made = self._pass(last, self._scalars(last, rate, iteration))
        self._updated(iteration)
        return made

    def _updated(self, iteration: int) -> None:
        if self._group is not None:  # others read what this rank has updated, and write gradients
            self._group.updated()
        self._coast(iteration)

    @property
    def kept_shapes(self) -> dict[str, Shape]:
        """The shapes of factors of gradients that are kept between passes, by variable."""
        names = [name for kept in self.graphs.factors.values() for name in kept.variables()]
        return {name: self.variables.variable(name).shape for name in names}

    def _sum_whole(self, passes: int) -> None:
        """Sum whole gradients from now on, in this iteration after so many passes.

        Factors can only be kept of passes that have one shape. What they make so far is summed.
        """
        assert self._remake is not None
        before, kept = self._summing, self._summing.graphs
        self._whole = True
        self._compile(self._remake(self._own_graph, self._whole))
        self._of_shapes.clear()
        both = Variables()
        for variables in (before.variables, self.variables):
            for name in variables:
                both.add(variables.variable(name))
        program = self._compiled(
            summed_so_far(kept, passes), replace(self._options, variables=both)
        )
        assert program is not None
        program({})
        self._current = self._summing = self

    def _coast(self, iteration: int) -> None:
        """Let parameters with lr_mult 0 move by the histories that a state has brought them."""
        if self._coasting is None:
            self._coasting = list(self.graphs.coasting)
        for name in self._coasting:
            history, place = self._untouched[history_name(name, 0)], self.variables.variable(name)
            if history.any():
                moved = step(self._rule, np.zeros_like(history), (history,), 0, iteration)
                place.write(place.array - moved.value)
                history[...] = moved.history[0]
        moving = (n for n in self._coasting if self._untouched[history_name(n, 0)].any())
        self._coasting = list(moving)

    def forward(self, feeds: Mapping[str, object], drawn: int = 0) -> PassResult:
        """Run a forward pass only; running statistics of BatchNorm are updated all the same."""
        return self._pass(self._for(feeds)._forward, feeds, drawn)

    @cached_property
    def _forward(self) -> CompiledNet:
        options = replace(self._options, variables=self.variables)
        return CompiledNet(forward_graph(self.graph), self._backend, options)

    def observe(self, feeds: Mapping[str, Any], drawn: int = 0) -> Observation:
        """All values and gradients of a pass, which changes no variable."""
        observed, net = self._for(feeds)._observed
        feeds = self._noise.filled(feeds, drawn)
        keyed = {KEY: generator_key(self._seed, drawn)} if KEY in net.inputs else {}
        made: dict[str, Array] = dict(net({**feeds, **keyed}))
        for blob, value in net.graph.input_blobs.items():
            if blob in feeds:
                made[value] = np.asarray(feeds[blob], np.float32)
        return observation(observed, made)

    @cached_property
    def _observed(self) -> tuple[Observed, CompiledNet]:
        options = replace(self._options, variables=self.variables, blobs=None)
        observed = observed_graph(self.graph, self.graphs.learned, self.graphs.silent)
        return observed, CompiledNet(observed.graph, self._backend, options)

    def _scalars(self, program: CompiledNet, rate: np.float32, iteration: int) -> dict[str, object]:
        given = {RATE: np.float32(rate), ITERATION: np.float32(iteration)}
        return {name: number for name, number in given.items() if name in program.inputs}

    def _pass(
        self, program: CompiledNet, feeds: Mapping[str, object], drawn: int = 0
    ) -> PassResult:
        keyed = {KEY: generator_key(self._seed, drawn)} if KEY in program.inputs else {}
        updates = program is self._summing._last
        noisy = feeds if updates else self._noise.filled(feeds, drawn)
        made = program({**noisy, **keyed})
        norm, scale = (made.pop(name, None) for name in (NORM, SCALE))
        loss = total_loss(made, self.shown.totals)
        shown = {} if updates else self.shown.of(made)
        return PassResult(shown, loss, _number(norm), _number(scale))


def _shape(given: Any, own: Shape) -> Shape:
    """The shape of what an input is fed; its own where it is not, or where it is no array."""
    try:
        return own if given is None else tuple(int(size) for size in np.shape(given))
    except (ValueError, TypeError):
        return own  # what takes the batch says what is wrong with it


def _number(array: Array | None) -> np.float32 | None:
    return None if array is None else np.float32(array.reshape(-1)[0])


def total_loss(values: Mapping[str, Array], losses: Mapping[str, float]) -> np.float32:
    """The weighted sum of the losses among some values, in float32, in the order of the layers.

    ``losses`` is value -> loss weight.
    """
    total = np.float32(0)
    for name, weight in losses.items():
        if name in values:
            array = values[name].reshape(-1)
            total += np.float32(np.dot(array, np.full(array.shape, weight, np.float32)))
    return total
