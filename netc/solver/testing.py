"""Scores a net with trained weights over many batches, as ``caffe test``.

BVLC/caffe tools/caffe.cpp, lines 255 to 325: the outputs of each pass, and their means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from netc import diagnostics
from netc.backends.base import Options, Progress
from netc.backends.registry import backend_options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.driver import Weights
from netc.frontend import read_net
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.passes.pipeline import chosen
from netc.passes.state import carry_state
from netc.solver.average_precision import Classes
from netc.solver.feeds import Source
from netc.solver.log import CaffeLog
from netc.solver.log import outputs as output_lines
from netc.solver.nets import net_feeds, open_net
from netc.solver.noise import Noise
from netc.solver.programs import total_loss
from netc.solver.read import NetChoice, SolverReadOptions, Text
from netc.solver.scoring import VERSION, OutputSums
from netc.sources.catalog import NetSources

OnBatch = Callable[[int, Mapping[str, Array]], None]


class Scores(NamedTuple):
    """The mean of each output over all passes, element by element, and of the weighted loss.

    ``weights`` are the outputs' weights in the loss; 0 where one has none. Of DetectionEvaluate's
    rows the mean average precision is given, and ``classes`` by output and class; ``rows`` are how
    many rows there were of outputs that have no mean, since a detector chooses how many.
    """

    means: Mapping[str, Array]
    loss: float
    weights: Mapping[str, float]
    classes: Mapping[str, Classes] = MappingProxyType({})
    rows: Mapping[str, int] = MappingProxyType({})


class Tester:
    """A net that is scored; see :func:`score`.

    Raises:
        NetcError: all that is wrong with the text, its data or the weights; no-data, where the
            net has neither data layers nor feeds.
    """

    def __init__(
        self,
        net: Text,
        weights: Sequence[Weights],
        *,
        state: NetState | None = None,
        feeds: Source = None,
        backend: str = "cpu",
        threads: int | None = None,
        seed: int = 0,
        reading: SolverReadOptions | None = None,
        progress: Progress | None = None,
        skip_broken: bool = False,
    ) -> None:
        choice = net_choice(net, state or NetState("TEST"), reading or SolverReadOptions())
        self._feeds = net_feeds(choice, feeds, seed, "the net", skip_broken=skip_broken)
        first = self._feeds.peek()
        if self._feeds.source is None:
            self._check_fed(choice)
        opened = open_net(choice, first, weights, seed)
        extra = backend_options(backend, "float32")
        options = Options(chosen(True), False, threads, extra, progress)
        graph = opened.graph
        kept = bool(carry_state(graph).states)
        self._shown, self._noise = opened.shown, Noise(graph, seed, 1)
        # A loss counts where its blob is read or has no name too, and so is no output.
        given_back = graph.replace(outputs=tuple(dict.fromkeys((*graph.outputs, *graph.losses))))
        self.net = CompiledNet(given_back, backend, options, opened.diagnostics, seed, (), kept)

    @property
    def broken(self) -> tuple[str, ...]:
        """The error message of each record that was skipped, with `skip_broken`."""
        source = self._feeds.source
        return tuple(sorted(source.broken or ())) if isinstance(source, NetSources) else ()

    @staticmethod
    def _check_fed(choice: NetChoice) -> None:
        """A net with inputs and nothing that fills them; DummyData fills its own."""
        listed = [
            layer for layer in choice.message.get("layer") if has_role(layer.get("type"), Role.FED)
        ]
        if listed or choice.message.get("input"):
            message = "the net has `Input` layers, and nothing says what they are fed"
            help = ("give it a data layer in phase TEST, or use `netc run`",)
            raise NetcError(Diagnostic("no-data", message, help=help))

    def score(self, passes: int, on_batch: OnBatch | None = None, version: str = VERSION) -> Scores:
        """The means over passes, summed in float32 as in Caffe.

        Args:
            passes: the number of batches; the data start again at their end.
            on_batch: called with each pass's number and outputs, by name in alphabetical order.
            version: of mean average precisions, as `ap_version`.
        """
        sums = OutputSums(self.net.graph, self._shown.values)
        total = np.float32(0)
        for number in range(passes):
            place = self._feeds.position
            values = self.net(self._noise.filled(self._feeds.take(), place))
            total += total_loss(values, self._shown.totals)
            outputs = self._shown.of(values)
            sums.add(outputs)
            if on_batch is not None:
                on_batch(number, outputs)
        made = sums.means(passes, float(total / np.float32(passes)), version)
        return Scores(made.scores, made.loss, self._shown.weights, made.classes, made.rows)


def net_choice(net: Text, state: NetState, reading: SolverReadOptions) -> NetChoice:
    """A net that no solver names, in a state.

    Raises:
        NetcError: what reading the text raises.
    """
    read = read_net(net, define=reading.define, schema=reading.schema)
    path = None if isinstance(net, diagnostics.Source) else Path(net)
    return NetChoice(read.message, state, path, path.parent if path else None)


def log_batch(log: CaffeLog, number: int, made: Mapping[str, Array]) -> None:
    """The lines of a pass (caffe.cpp:304)."""
    for name, array in made.items():
        for value in array.reshape(-1):
            log.line("caffe.cpp:304", f"Batch {number}, {name} = {value:g}")


def log_scores(log: CaffeLog, scores: Scores) -> None:
    """The lines at the end (caffe.cpp:309 to 321)."""
    log.line("caffe.cpp:309", f"Loss: {scores.loss:g}")
    for place, text, *_ in output_lines("caffe.cpp:321", "", scores.means, scores.weights):
        log.line(place, text.partition(": ")[2])
