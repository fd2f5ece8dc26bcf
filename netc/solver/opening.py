"""Opens a solver's nets: compiles them and connects each with its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from netc.backends.base import Options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic
from netc.driver import Weights
from netc.ir.graph import Graph
from netc.lower.rules import NetState
from netc.passes.recompute import blobs_within
from netc.passes.state import carry_state
from netc.solver.distributed import ALONE, Distributed
from netc.solver.feeds import Feeds, Source
from netc.solver.freezing import frozen_parameters, nothing_learns
from netc.solver.nets import (
    OpenedNet,
    Shown,
    ignored_layers,
    net_feeds,
    open_net,
    share_parameters,
)
from netc.solver.noise import Noise
from netc.solver.programs import TrainNet
from netc.solver.ranges import doubtful
from netc.solver.read import NetChoice, SolverReadOptions, SolverText, test_choices, train_choice
from netc.solver.settings import Settings, updating
from netc.solver.sharing import shared_update
from netc.solver.weights import solver_weights
from netc.sources.catalog import NetSources
from netc.train.step import StepGraphs, step_graphs, variable_bytes


class Given(NamedTuple):
    """The arguments of :class:`netc.solver.solver.Solver` besides the solver's text."""

    reading: SolverReadOptions
    state: NetState | None
    weights: Weights | Sequence[Weights]
    feeds: Source
    test_feeds: Sequence[Source]
    freeze: Sequence[str]
    seed: int
    backend: str
    options: Options
    skip_broken: bool = False
    distributed: Distributed = ALONE
    memory: int | None = None


class TestNet(NamedTuple):
    """A TEST net over the TRAIN net's variables.

    ``ignored`` are layers of the TRAIN net whose names it lacks. ``shown`` are its outputs; the
    program also returns blobs with a loss weight, and with `debug_info` all blobs.
    """

    net: CompiledNet
    feeds: Feeds
    ignored: tuple[str, ...]
    shown: Shown
    choice: NetChoice
    noise: Noise


@dataclass(frozen=True)
class SolverRun:
    """The nets of a run, and the warnings and notes about them."""

    choice: NetChoice
    train: TrainNet
    feeds: Feeds
    tests: list[TestNet] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def broken(self) -> tuple[str, ...]:
        """What is wrong with each record that was left out, with `skip_broken`."""
        sources = [self.feeds.source, *(test.feeds.source for test in self.tests)]
        found = (s.broken or () for s in sources if isinstance(s, NetSources))
        return tuple(sorted({message for messages in found for message in messages}))


def open_run(text: SolverText, settings: Settings, given: Given) -> SolverRun:
    """Open the nets that a solver's text names.

    Raises:
        NetcError: with every mistake found in the nets' texts, the weights or the arguments.
    """
    files = solver_weights(text, given.weights)
    run_of = given.distributed
    written = train_choice(text, given.reading, given.state)
    choice = run_of.net(written)
    feeds = net_feeds(
        choice,
        given.feeds,
        given.seed,
        "the train net",
        skip_broken=given.skip_broken,
        share=run_of.share,
        divide=run_of.divides,
    )
    opened = open_net(choice, feeds.peek(), files, given.seed)
    frozen = frozen_parameters(opened.graph, given.freeze)
    train = _train_net(choice, opened, settings, given, frozen)
    run = SolverRun(written, train, feeds, [], [*opened.diagnostics])
    run.diagnostics.extend(doubtful(text.message))
    run.diagnostics.extend(nothing_learns(opened.graph, frozen))
    run_of.same_everywhere(train.variables)
    for number, test in enumerate(test_choices(text, given.reading) if run_of.leads else ()):
        source = given.test_feeds[number] if number < len(given.test_feeds) else None
        made = _test_net(run, test, source, number, files, given, settings.debug_info)
        run.tests.append(made)
    return run


def _train_net(
    choice: NetChoice, opened: OpenedNet, settings: Settings, given: Given, frozen: Sequence[str]
) -> TrainNet:
    graph = opened.graph
    force = choice.message.get("force_backward")
    own = updating(settings, force_backward=force)
    options = given.options
    # Where the rate depends on the iteration's loss, the update must wait for it.
    split = settings.needs_loss
    sharing = shared_update(graph, own, frozen, given.distributed, given.backend, split=split)
    if sharing is not None:
        options = replace(options, variables=sharing.variables)
    how = replace(
        own, distribution=sharing.distribution if sharing else given.distributed.distribution()
    )

    def remade(graph: Graph, summed: bool) -> StepGraphs:
        return step_graphs(graph, how, frozen, split=split, summed=summed)

    graphs = sharing.graphs if sharing is not None else remade(graph, summed=False)
    if given.memory is not None:
        options = replace(options, blobs=blobs_within(given.memory, variable_bytes(graphs)))
    group = None if sharing is None else sharing.sums
    how_it_runs = given.backend, options, given.seed, group

    def made() -> TrainNet:
        return TrainNet(graph, graphs, opened.shown, *how_it_runs, remade, own.rule)

    train = made()
    return train if sharing is None or sharing.settled(given.distributed) else made()


def _test_net(
    run: SolverRun,
    choice: NetChoice,
    source: Source,
    number: int,
    files: Sequence[Weights],
    given: Given,
    debug: bool,
) -> TestNet:
    feeds = net_feeds(
        choice, source, given.seed, f"test net {number}", skip_broken=given.skip_broken
    )
    own = open_net(choice, feeds.peek(), files, given.seed)
    graph = share_parameters(own.graph, run.train.graph)
    options = replace(given.options, variables=run.train.variables)
    carried = carry_state(graph)
    # A TEST net that normalises by its batches moves the averages it shares with the TRAIN net, as
    # batch_norm_layer.cpp does in either phase.
    stateful = bool(carried.states or carried.moving)
    blobs = [value for node in graph.nodes for value in node.outputs] if debug else []
    given_back = graph.replace(
        outputs=tuple(dict.fromkeys((*graph.outputs, *graph.losses, *blobs)))
    )
    diagnostics = own.diagnostics
    net = CompiledNet(
        given_back, given.backend, options, diagnostics, given.seed, stateful=stateful
    )
    noise = Noise(given_back, given.seed, 1 + number)
    return TestNet(net, feeds, ignored_layers(run.choice, choice), own.shown, choice, noise)
