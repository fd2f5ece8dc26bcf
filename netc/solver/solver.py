"""The solver: iterations, tests and snapshots in the order in which Caffe makes them.

BVLC/caffe src/caffe/solver.cpp: Step is lines 201 to 288, Solve 289 to 333, Test 347 to 414.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.backends.base import Options, Progress
from netc.backends.registry import backend_options
from netc.compiled import CompiledNet
from netc.driver import Weights
from netc.frontend import Schemas
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.memory import size_of
from netc.ops.ranks import Ranks
from netc.passes.pipeline import chosen
from netc.solver import events
from netc.solver.account import run_report
from netc.solver.culprits import naming_records
from netc.solver.debug import Debugging
from netc.solver.distributed import BatchRule, distributed
from netc.solver.feeds import Source
from netc.solver.finite import not_finite
from netc.solver.going_on import gathered, put_back, window_of
from netc.solver.opening import Given, open_run
from netc.solver.programs import PassResult
from netc.solver.rates import RateState, advance
from netc.solver.read import NetChoice, SolverReadOptions, Text, read_solver
from netc.solver.replay import Replay
from netc.solver.resume import restored_state, seed_of_state, write_snapshot
from netc.solver.settings import read_settings
from netc.solver.smoothing import Smoothing
from netc.solver.snapshots import SnapshotFiles, check_writable, prefix_of, snapshot_files
from netc.solver.steps import UpdateSizes
from netc.solver.tests import Test, Tests

RatePolicy = Callable[[int], float]


class Solver:
    """A net in training, with the semantics of Caffe's solvers.

    Args:
        solver: path of a solver's prototxt, its text, or a :class:`netc.Source` that holds it.
        weights: initial weights: one or several files or mappings of layer -> arrays, later ones
            override earlier ones; None for those that the solver's text names.
        snapshot: path of a .solverstate to resume from.
        backend: "cpu", "cuda" or "reference".
        threads: number of threads; None for ``NETC_NUM_THREADS`` or the machine's cores.
        seed: of fillers and of layers that draw random numbers; None for the one that the run of
            the snapshot was given, else the text's `random_seed`, else 0.
        feeds: batches of the TRAIN net: see :class:`netc.solver.feeds.Feeds`. None reads the
            sources that its data layers name.
        test_feeds: a list with the batches of each TEST net, likewise.
        define: placeholder -> value in the texts.
        schema: paths of further caffe.proto files.
        state: level and stages of the TRAIN net beyond the text's `train_state`.
        freeze: patterns of layers that are not trained: see netc.solver.freezing.
        fields: solver fields to override, as texts: {"base_lr": "0.01"}.
        rate: iteration -> learning rate, in place of the text's policy.
        optimize: which passes run; as for :func:`netc.compile`.
        memory: limit for an iteration, in bytes or as "2GB": parameters, history, and the planned
            blobs and gradients. If more is needed, blobs are recomputed in the backward pass;
            results are bit-identical. None for no limit.
        stop_when_not_finite: whether the first loss that is NaN or infinite stops the run.
        skip_broken: skip records of data layers that cannot be read; ``broken`` lists them.
        ranks: the group of ranks for data-parallel training, such as netc.ranks.mpi.MpiRanks; None
            for this process alone. Rank 0 tests and writes snapshots; all start with its weights.
        batch: "per-rank": each rank takes batches of the text's batch_size; "total": that size is
            divided among the ranks.
        progress: called as (done, total, name) while kernels are compiled.
        on_step: called with :class:`netc.solver.events.Stepped` after each iteration.
        on_test: called with :class:`netc.solver.events.Tested` after each test.
        on_snapshot: called with :class:`netc.solver.events.Snapshotted` after each snapshot.
            ``listeners`` are called with every event: see netc.solver.events.

    Raises:
        NetcError: with every mistake found in the texts, the weights or the arguments.
    """

    _asked_to_stop = _asked_for_snapshot = False  # of this rank
    _stopping = _snapshot_is_wanted = False  # as all ranks have agreed

    def __init__(
        self,
        solver: Text,
        weights: Weights | Sequence[Weights] = None,
        snapshot: str | None = None,
        *,
        backend: str = "cpu",
        threads: int | None = None,
        seed: int | None = None,
        feeds: Source = None,
        test_feeds: Sequence[Source] = (),
        define: Mapping[str, str] | None = None,
        schema: Schemas = None,
        state: NetState | None = None,
        freeze: Sequence[str] = (),
        fields: Mapping[str, str] | None = None,
        rate: RatePolicy | None = None,
        optimize: bool | str | Sequence[str] = True,
        memory: int | str | None = None,
        stop_when_not_finite: bool = True,
        skip_broken: bool = False,
        ranks: Ranks | None = None,
        batch: BatchRule = "per-rank",
        progress: Progress | None = None,
        on_step: Callable[[events.Stepped], None] | None = None,
        on_test: Callable[[events.Tested], None] | None = None,
        on_snapshot: Callable[[events.Snapshotted], None] | None = None,
    ) -> None:
        reading = SolverReadOptions(define, schema, fields)
        self.text = read_solver(solver, reading)
        self.settings = read_settings(self.text.message)
        self.iteration = 0
        self.kept: dict[str, object] = {}  # what listeners keep in snapshots, as JSON
        self.listeners: list[events.Listener] = events.callbacks(on_step, on_test, on_snapshot)
        self._given_seed = seed_of_state(snapshot) if seed is None and snapshot else seed
        given_seed, own_seed = self._given_seed, self.settings.random_seed or 0
        self.seed = own_seed if given_seed is None else given_seed
        self._rate_state, self._rate_policy = RateState(), rate
        self._stops = stop_when_not_finite
        self._smoothing, self._goes_on = Smoothing(self.settings.average_loss), False
        self._prefix = prefix_of(self.settings.snapshot_prefix, self.text.path)
        self._distributed = distributed(ranks, batch)
        own = backend_options(backend, "float32")
        start = () if weights is None and snapshot else weights  # a state has weights of its own
        options = Options(chosen(optimize), optimize in (False, "exact"), threads, own, progress)
        given = Given(reading, state, start, feeds, test_feeds, freeze, self.seed, backend, options)
        limit = None if memory is None else size_of(memory, "memory")
        given = given._replace(skip_broken=skip_broken, distributed=self._distributed, memory=limit)
        self._run = open_run(self.text, self.settings, given)
        self.diagnostics = self._run.diagnostics
        self._tests = Tests(self._run, self.settings, self._emit)
        self._train, self._feeds = self._run.train, self._run.feeds
        debug = self.settings.debug_info
        self._debugging = Debugging(self._run.choice, self._train) if debug else None
        self._steps = (
            UpdateSizes(self._train, self.settings.rule) if self.settings.snapshot_diff else None
        )
        self._replay = Replay(self._train, self._feeds, self.settings.iter_size)
        if self.settings.snapshot:
            check_writable(self._prefix, self.text.message)
        if snapshot is not None:
            self.restore(snapshot)

    # What there is to see

    @property
    def net(self) -> CompiledNet:
        """The TRAIN net's forward pass with the variables in training.

        Calling it takes none of the run's batches and updates no running statistics.
        """
        return self._train.net

    @property
    def test_nets(self) -> tuple[CompiledNet, ...]:
        """The TEST nets, over the same variables."""
        return tuple(test.net for test in self._run.tests)

    @property
    def tests(self) -> list[Test]:
        """The results of the tests so far, in order."""
        return self._tests.made

    @property
    def rate(self) -> float:
        """The learning rate of the next update; reading it does not advance the policy."""
        return float(self._next_rate()[0])

    @property
    def params(self) -> Mapping[str, tuple[Array, ...]]:
        """Layer -> its trained arrays, float32 and writable."""
        return self._train.params

    @property
    def history(self) -> tuple[Array, ...]:
        """The solver's history in the order of a solverstate, as writable float32 arrays."""
        return self._train.history

    @property
    def choice(self) -> NetChoice:
        """The TRAIN net as it is written, and its NetState."""
        return self._run.choice

    @property
    def prefix(self) -> str:
        """The prefix of snapshot paths: `snapshot_prefix`, or the solver's path."""
        return self._prefix

    @property
    def broken(self) -> tuple[str, ...]:
        """The error message of each record that was skipped, with `skip_broken`."""
        return self._run.broken

    @property
    def batch(self) -> int:
        """Items per iteration: the first input's batch size, times `iter_size`, times ranks."""
        shapes = [shape for shape in self._train.inputs.values() if shape]
        own = (shapes[0][0] if shapes else 1) * self.settings.iter_size
        return own * self._distributed.size

    @property
    def smoothed_loss(self) -> float:
        """The displayed loss: the mean over the last `average_loss` iterations."""
        return float(self._smoothing.mean)

    def report(self) -> dict[str, Any]:
        """An iteration's programs and their memory in bytes: see netc.solver.account."""
        return run_report(self._run)

    # Training

    def step(self, iterations: int) -> NDArray[np.float32]:
        """Train for some iterations, with the tests and snapshots that are due.

        Returns:
            float32 (iterations,): each iteration's loss, the weighted sum over all losses averaged
            over the iteration's passes, not smoothed. It is shorter if ``stop`` was called.

        Raises:
            NetcError: not-finite; bad-feeds, input-shape, bad-record and others for a batch;
                cannot-write.
        """
        if not self._goes_on:  # Caffe forgets them at each call, and after a resume
            self._smoothing = Smoothing(self.settings.average_loss)
        self._goes_on = False
        losses: list[np.float32] = []
        end = self.iteration + iterations
        self._asked_to_stop = self._stopping = False
        while self.iteration < end and not self._stopping:
            if self._tests.due(self.iteration):
                self._test_all()
                if self._stopping:
                    break
            with naming_records(self._feeds):
                losses.append(self._iterate())
            self.iteration += 1
            self._emit(events.Stepped(self.iteration, losses[-1]))
            self._agree()
            due = self.settings.snapshot and self.iteration % self.settings.snapshot == 0
            if due or self._snapshot_is_wanted:
                self._snapshot_is_wanted = False
                self.snapshot()
        return np.array(losses, np.float32)

    def solve(self) -> None:
        """Train to `max_iter`, then the final snapshot, forward pass and test (Solver::Solve)."""
        settings = self.settings
        self._emit(events.Started(self._train.graph.name, settings.policy.name, self.iteration))
        self.step(max(0, settings.max_iter - self.iteration))
        written = settings.snapshot and self.iteration % settings.snapshot == 0
        if settings.snapshot_after_train and not written:
            self.snapshot()
        if not (early := self._stopping):
            self._end()
        self._emit(events.Finished(self.iteration, early))

    def stop(self) -> None:
        """End the run after the current iteration, or during a test; for callbacks and signals."""
        self._asked_to_stop = True

    def ask_for_snapshot(self) -> None:
        """Write a snapshot after the current iteration; for callbacks and signal handlers."""
        self._asked_for_snapshot = True

    def _agree(self) -> None:
        """Stop, or write a snapshot, where some rank was asked to: on all of them or on none."""
        asked = self._asked_to_stop, self._asked_for_snapshot
        self._stopping, snapshot = self._distributed.any(*asked)
        if snapshot:
            self._snapshot_is_wanted, self._asked_for_snapshot = True, False

    def _end(self) -> None:
        if self.settings.displays(self.iteration):
            drawn = self._distributed.share.batch(self.iteration * self.settings.iter_size)
            batch = self._feeds.take()
            if self._debugging is not None and self.iteration and self.settings.display == 1:
                lines = self._debugging.forward(batch, drawn)
                self._emit(events.Debug(self.iteration, lines))
            loss = self._train.forward(batch, drawn).loss
            self._smoothing = self._smoothing.after(self._distributed.mean(loss))
            self._emit(events.LastLoss(self.iteration, self.smoothed_loss))
        if self._tests.falls_on(self.iteration):
            self._test_all()

    def _test_all(self) -> None:
        """Test every net, until it is asked to stop; of several ranks, 0 does."""
        self._tests.score_all(self.iteration, self._interrupted)
        self._agree()

    def _interrupted(self) -> bool:
        """Whether this rank was asked to stop; a snapshot that was asked for is written first."""
        if self._asked_for_snapshot and self._distributed.size == 1:
            self._asked_for_snapshot = False
            self.snapshot()
        return self._asked_to_stop

    def _iterate(self) -> np.float32:
        """One iteration: its passes, and the update."""
        self._replay.begin(self.iteration)
        if self._steps is not None:
            self._steps.before()
        if self._train.fused:
            rate, after = self._next_rate()
            drawn = self._distributed.share.batch(self.iteration)
            batch = self._taken(drawn, 0)
            made = self._train.iterate(batch, rate, self.iteration, drawn)
            loss = self._distributed.mean(made.loss)
            self._smoothed(made, loss, rate)
            self._updated(made, rate, after)
            return loss
        size, total = self.settings.iter_size, np.float32(0)
        for number in range(size):
            drawn = self._distributed.share.batch(self.iteration * size + number)
            made = self._train.accumulate(self._taken(drawn, number), number, drawn)
            total += made.loss
        loss = self._distributed.mean(np.float32(total / np.float32(size)))
        self._smoothed(made, loss, None)
        rate, after = self._next_rate()
        self._updated(self._train.update(rate, self.iteration), rate, after)
        return loss

    def _taken(self, drawn: int, number: int) -> Mapping[str, object]:
        """The batch of pass ``number`` of an iteration."""
        batch = self._feeds.take()
        if self._debugging is not None and self.settings.displays(self.iteration):
            lines = self._debugging.passed(batch, drawn, number)
            self._emit(events.Debug(self.iteration, lines))
        return batch

    def _smoothed(self, made: PassResult, loss: np.float32, rate: np.float32 | None) -> None:
        if self._stops and not np.isfinite(loss):
            if rate is None:
                rate = self._next_rate(float(self._smoothing.after(loss).mean))[0]
            alone = self._distributed.size == 1
            notes = self._replay.notes(self.iteration) if alone else ()
            raise not_finite(made.outputs, loss, self.iteration, rate, notes)
        self._smoothing = self._smoothing.after(loss)
        if self.settings.displays(self.iteration):
            weights = self._train.shown.weights
            shown = events.Displayed(self.iteration, self.smoothed_loss, made.outputs, weights)
            self._emit(shown)

    def _updated(self, made: PassResult, rate: np.float32, after: RateState) -> None:
        if after.current_step != self._rate_state.current_step and self.settings.counts_steps:
            self._emit(events.StepReached(self.iteration, after.current_step))
        self._rate_state = after
        self._replay.used(rate)
        if self.settings.displays(self.iteration):
            self._emit(events.RateUsed(self.iteration, rate))
        limit = self.settings.clip_gradients
        if made.norm is not None and made.scale is not None and made.norm > limit:
            self._emit(events.Clipped(made.norm, limit, made.scale))

    def _next_rate(self, smoothed: float | None = None) -> tuple[np.float32, RateState]:
        if self._rate_policy is not None:
            return np.float32(self._rate_policy(self.iteration)), self._rate_state
        policy, state = self.settings.policy, self._rate_state
        mean = self.smoothed_loss if smoothed is None else smoothed
        return advance(policy, state, self.iteration, mean)

    # Tests

    def test(self, net: int = 0) -> dict[str, Array]:
        """The mean of each output of TEST net ``net`` over its `test_iter` passes, in float32.

        Its batches continue where the last test stopped.
        """
        return self._tests.score(net, self.iteration).scores

    # Snapshots

    def snapshot(self) -> SnapshotFiles:
        """Write the weights and the state; see netc.solver.snapshots. Only rank 0 writes.

        Raises:
            NetcError: cannot-write; missing-package, without h5py for the HDF5 format.
        """
        files = snapshot_files(self._prefix, self.iteration, self.settings.snapshot_format)
        if not self._distributed.leads:
            return files
        choice = self._run.choice
        diffs = None if self._steps is None else self._steps.by_layer()
        size = self._distributed.size
        made = gathered(self._run, self.iteration, self._rate_state, self._smoothing, size)
        made = made._replace(kept=self.kept, seed=self._given_seed)
        write_snapshot(files, choice.message, choice.state, made, self.params, diffs=diffs)
        self._emit(events.Snapshotted(self.iteration, *files.names))
        return files

    def restore(self, path: str) -> None:
        """Resume from a .solverstate, of netc or Caffe, and the weights it names.

        Raises:
            NetcError: not-a-solver-state, also where the history does not fit; file-not-found, for
                the weights; weight-shape and what else loading them raises.
        """
        found, weights = restored_state(path, self.history)
        self._train.copy_weights(weights)
        put_back(self._run, found, self.settings.iter_size, self._distributed.size)
        self.iteration, self._rate_state = found.iteration, found.rates
        self.kept = dict(found.kept)
        self._distributed.same_everywhere(self._train.variables)
        window = window_of(found, self.settings.average_loss)
        self._smoothing, self._goes_on = window or self._smoothing, window is not None
        self._replay.forget()

    def _emit(self, event: events.Event) -> None:
        for listener in self.listeners:
            listener(event)
