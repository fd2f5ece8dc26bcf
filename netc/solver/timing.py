"""The times of forward and backward pass, layer by layer, as `caffe time` tells them.

BVLC/caffe tools/caffe.cpp, lines 329 to 416. Layers that run fused with the one before them take no
time of their own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from netc.analysis.feeds import drawn_inputs
from netc.backends.base import Options, Progress, StepTime
from netc.backends.registry import backend_options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic
from netc.driver import Weights
from netc.ir.graph import Array, Graph
from netc.lower.rules import NetState
from netc.lower.set_up import set_up
from netc.ops.random import generator_key
from netc.passes.pipeline import chosen
from netc.solver.log import CaffeLog
from netc.solver.nets import net_feeds, open_net
from netc.solver.noise import Noise
from netc.solver.programs import total_loss
from netc.solver.read import SolverReadOptions, Text
from netc.solver.testing import net_choice
from netc.train.differentiate import differentiate
from netc.train.generator import KEY, with_generator

OnPass = Callable[[int], None]


class LayerTime(NamedTuple):
    """A layer's mean times of a pass, in seconds."""

    name: str
    forward: float
    backward: float


class Timing(NamedTuple):
    """What passes took.

    Args:
        loss: the sum of the weighted losses of the first pass, which is not timed.
        layers: all layers in Caffe's order, data and Split layers too.
        passes: seconds of each pass, forward and backward.
    """

    loss: float
    layers: tuple[LayerTime, ...]
    passes: tuple[float, ...]

    @property
    def forward(self) -> float:
        """Seconds of all layers' forward passes."""
        return sum(layer.forward for layer in self.layers)

    @property
    def backward(self) -> float:
        """Seconds of all layers' backward passes."""
        return sum(layer.backward for layer in self.layers)


class PassTimer:
    """A net whose forward and backward passes are timed.

    Batches are read from its data layers; inputs that nothing fills get random numbers.

    Raises:
        NetcError: all that is wrong with the text, its data or the weights.
    """

    def __init__(
        self,
        net: Text,
        weights: Sequence[Weights] = (),
        *,
        state: NetState | None = None,
        backend: str = "cpu",
        threads: int | None = None,
        seed: int = 0,
        reading: SolverReadOptions | None = None,
        progress: Progress | None = None,
    ) -> None:
        choice = net_choice(net, state or NetState("TRAIN"), reading or SolverReadOptions())
        self._feeds = net_feeds(choice, None, seed, "the net", needs_arrays=False)
        opened = open_net(choice, self._feeds.peek(), weights, seed)
        self.diagnostics: tuple[Diagnostic, ...] = opened.diagnostics
        self._layers = [layer.get("name") for layer in set_up(choice.message, choice.state)]
        self._totals, self._seed = opened.shown.totals, seed
        graph = with_generator(opened.graph)
        self._makers = {v: node.name for node in graph.nodes for v in node.outputs}
        self._noise = Noise(graph, seed)
        joint = _joint(graph)
        self._inputs = joint.inputs
        own = backend_options(backend, "float32")
        options = Options(chosen(True), False, threads, own, progress)
        compiled = CompiledNet(joint, backend, options)
        self._executable = compiled.executable(tuple(joint.shape(name) for name in joint.inputs))
        self._drawn = drawn_inputs(graph, {})

    def run(self, iterations: int, on_pass: OnPass | None = None) -> Timing:
        """Time some passes; one more goes before.

        Args:
            iterations: the number of passes.
            on_pass: called after each pass with how many have been made.
        """
        values, _ = self._executable.timed(self._batch(0))
        loss = total_loss(values, self._totals)
        spent: dict[tuple[str, bool], float] = defaultdict(float)
        passes: list[float] = []
        for number in range(iterations):
            batch = self._batch(number + 1)
            begin = time.perf_counter()
            _, steps = self._executable.timed(batch)
            passes.append(time.perf_counter() - begin)
            for place, seconds in self._shares(steps):
                spent[place] += seconds / iterations
            if on_pass is not None:
                on_pass(number + 1)
        layers = (LayerTime(n, spent[n, False], spent[n, True]) for n in self._layers)
        return Timing(float(loss), tuple(layers), tuple(passes))

    def _batch(self, number: int) -> Mapping[str, Array]:
        fed = self._noise.filled(self._feeds.take(), number)
        given = {**self._drawn, **{n: np.asarray(a, np.float32) for n, a in fed.items()}}
        if KEY in self._inputs:
            given[KEY] = generator_key(self._seed, number)
        return {name: np.ascontiguousarray(given[name]) for name in self._inputs}

    def _shares(self, steps: Sequence[StepTime]) -> Iterable[tuple[tuple[str, bool], float]]:
        """For each step its layer, and whether it is of the backward pass."""
        for step in steps:
            name, mark, more = step.name.partition("~grad")
            if not mark:
                yield (name, False), step.seconds
            elif more.startswith("@"):
                yield (more[1:].partition("~")[0], True), step.seconds
            else:  # a sum of gradients of a value counts for the layer that made it
                yield (self._makers.get(name, name), True), step.seconds


def _joint(graph: Graph) -> Graph:
    """Forward and backward pass; forward alone where there is no loss."""
    wanted = {p.owner or n for n, p in graph.parameters.items() if p.lr_mult != 0}
    shown = tuple(dict.fromkeys((*graph.outputs, *graph.losses)))
    graph = graph.replace(outputs=shown)
    return differentiate(graph, parameters=wanted).graph if graph.losses else graph


def log_times(log: CaffeLog, timing: Timing) -> None:
    """The lines of `caffe time`; those of passes in whole milliseconds."""
    count = len(timing.passes)
    log.line("caffe.cpp:351", "Performing Forward")
    log.line("caffe.cpp:356", f"Initial loss: {timing.loss:g}")
    log.line("caffe.cpp:357", "Performing Backward")
    log.line("caffe.cpp:365", "*** Benchmark begins ***")
    log.line("caffe.cpp:366", f"Testing for {count} iterations.")
    for number, seconds in enumerate(timing.passes, 1):
        text = f"Iteration: {number} forward-backward time: {int(1e3 * seconds)} ms."
        log.line("caffe.cpp:394", text)
    log.line("caffe.cpp:397", "Average time per layer: ")
    for layer in timing.layers:
        log.line("caffe.cpp:400", f"{layer.name:>10}\tforward: {1e3 * layer.forward:g} ms.")
        log.line("caffe.cpp:403", f"{layer.name:>10}\tbackward: {1e3 * layer.backward:g} ms.")
    whole = int(1e3 * sum(timing.passes))
    log.line("caffe.cpp:408", f"Average Forward pass: {1e3 * timing.forward:g} ms.")
    log.line("caffe.cpp:410", f"Average Backward pass: {1e3 * timing.backward:g} ms.")
    log.line("caffe.cpp:412", f"Average Forward-Backward: {whole / count:g} ms.")
    log.line("caffe.cpp:414", f"Total Time: {whole} ms.")
    log.line("caffe.cpp:415", "*** Benchmark ends ***")
