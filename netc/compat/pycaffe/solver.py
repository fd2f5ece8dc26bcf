"""The solvers of pycaffe: ``SGDSolver`` and its kind, over nets whose blobs scripts write to.

Step, Solve and TestAll are those of solver.cpp; what pycaffe shows of them is in _caffe.cpp.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

import netc.compat.pycaffe.mode as mode
from netc.compat.pycaffe.definition import defined
from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.nccl import NCCL
from netc.compat.pycaffe.net import Net
from netc.compat.pycaffe.update import Update
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.frontend import build
from netc.solver import events
from netc.solver.feeds import Feeds
from netc.solver.log import CaffeLog
from netc.solver.nets import net_feeds
from netc.solver.rates import RateState, advance
from netc.solver.read import NetChoice, SolverReadOptions, read_solver, test_choices, train_choice
from netc.solver.resume import Restored, restored_state, write_snapshot
from netc.solver.scoring import VERSION, Means, OutputSums
from netc.solver.settings import Settings, read_settings, updating
from netc.solver.smoothing import Smoothing
from netc.solver.snapshots import check_writable, prefix_of, snapshot_files
from netc.solver.tests import tested_event
from netc.solver.weights import solver_weights

Callback = Callable[[], Any]


class SolverParameters:
    """``solver.param``: what a script may see of the solver's text, and the rate it may set."""

    def __init__(self, settings: Settings, layer_wise_reduce: bool) -> None:
        self._settings = settings
        self._layer_wise_reduce = layer_wise_reduce

    @property
    def max_iter(self) -> int:
        """The iterations that ``solve`` makes."""
        return self._settings.max_iter

    @property
    def display(self) -> int:
        """Iterations between lines about the loss; 0 for none."""
        return self._settings.display

    @property
    def layer_wise_reduce(self) -> bool:
        """Taken as it is written; it means something with several GPUs alone."""
        return self._layer_wise_reduce

    @property
    def base_lr(self) -> float:
        """The rate that the policy scales; may be set between steps."""
        return self._settings.policy.base_lr

    @base_lr.setter
    def base_lr(self, rate: float) -> None:
        policy = replace(self._settings.policy, base_lr=float(np.float32(rate)))
        self._settings = replace(self._settings, policy=policy)


class Solver:
    """A net in training.

    Args:
        solver_file: path of a solver's prototxt, or a :class:`netc.Source` with its text.

    Raises:
        NetcError: with every mistake found in the texts and the weights.
    """

    _type: str | None = None  # None takes the text's

    def __init__(self, solver_file: str | PathLike[str] | Source) -> None:
        fields = {} if self._type is None else {"type": self._type}
        reading = SolverReadOptions(fields=fields)
        text = read_solver(solver_file, reading)
        settings = read_settings(text.message)
        self._param = SolverParameters(settings, text.message.get("layer_wise_reduce"))
        self._prefix = prefix_of(settings.snapshot_prefix, text.path)
        if settings.snapshot:
            check_writable(self._prefix, text.message)
        seed = mode.current.seed if settings.random_seed is None else settings.random_seed
        choice = train_choice(text, reading)
        choices = (choice, *test_choices(text, reading))
        names = ("the train net", *(f"test net {n}" for n in range(len(choices) - 1)))
        self._feeds = [
            net_feeds(c, None, seed, n, needs_arrays=False)  # set_input_arrays follows
            for c, n in zip(choices, names, strict=True)
        ]
        nets = [_net(c, f, seed) for c, f in zip(choices, self._feeds, strict=True)]
        for weights in solver_weights(text, None):
            for net in nets:
                net.copy_from(weights)
        self._net, self._test_nets = nets[0], nets[1:]
        self._choice = choice
        how = updating(settings, force_backward=choice.message.get("force_backward"))
        self._update = Update(self._net, how)
        self._iter, self._rates = 0, RateState()
        self._smoothing = Smoothing(settings.average_loss)
        self._log = _logger(settings.display)
        self._callbacks: list[tuple[Callback, Callback]] = []

    # What there is to see

    @property
    def _settings(self) -> Settings:
        return self._param._settings

    @property
    def net(self) -> Net:
        """The TRAIN net."""
        return self._net

    @property
    def test_nets(self) -> list[Net]:
        """The TEST nets; they take over the TRAIN net's parameters at each test."""
        return self._test_nets

    @property
    def iter(self) -> int:
        """The iterations made."""
        return self._iter

    @property
    def lr(self) -> float:
        """The rate of the next update.

        Asking advances multistep's counter where its iteration has come, by one at most, as an
        update does (GetLearningRate, sgd_solver.cpp:44).
        """
        return float(self._asked_rate())

    @property
    def param(self) -> SolverParameters:
        """What the solver's text says."""
        return self._param

    # Training

    def step(self, iterations: int) -> None:
        """Train.

        Raises:
            NetcError: bad-argument (TypeError), for what is no whole number; no-gradient; what a
                batch cannot be taken for.
        """
        if not isinstance(iterations, int):
            message = f"the number of iterations must be an int, it is {iterations!r:.60}"
            raise also(NetcError(Diagnostic("bad-argument", message)), TypeError)
        self._smoothing = Smoothing(self._settings.average_loss)
        end, snapshot = self._iter + iterations, self._settings.snapshot
        while self._iter < end:
            self._net.clear_param_diffs()
            if self._test_is_due():
                self._test_all()
            for on_start, _ in self._callbacks:
                on_start()
            loss = self._forward_backward()
            self._smoothing = self._smoothing.after(loss)
            if self._is_displayed():
                shown = {name: self._net.blobs[name].data for name in self._net.outputs}
                mean, weights = float(self._smoothing.mean), self._net.blob_loss_weights
                self._log(events.Displayed(self._iter, mean, shown, weights))
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update()
            if snapshot and self._iter % snapshot == 0:
                self.snapshot()

    def _forward_backward(self) -> np.float32:
        """The passes of an iteration; gives the mean of their losses."""
        last, total = len(self._net.layers) - 1, np.float32(0)
        for _ in range(self._settings.iter_size):
            total += np.float32(self._net._forward(0, last))
            self._net._backward(last, 0)
        return np.float32(total / np.float32(self._settings.iter_size))

    def solve(self, resume_file: str | PathLike[str] | None = None) -> None:
        """Train to ``max_iter``, with the last snapshot and test, from a state where one is given.

        Raises:
            NetcError: as ``step``, ``restore`` and ``snapshot``.
        """
        if resume_file is not None:
            self.restore(resume_file)
        settings, net = self._settings, self._net.learned.name
        self._log(events.Started(net, settings.policy.name, self._iter))
        self.step(max(0, settings.max_iter - self._iter))
        written = settings.snapshot and self._iter % settings.snapshot == 0
        if settings.snapshot_after_train and not written:
            self.snapshot()
        if self._is_displayed():
            loss = np.float32(self._net._forward(0, len(self._net.layers) - 1))
            self._smoothing = self._smoothing.after(loss)
            self._log(events.LastLoss(self._iter, float(self._smoothing.mean)))
        interval = settings.test_interval
        if interval and self._iter % interval == 0:
            self._test_all()
        self._log(events.Finished(self._iter, False))

    def apply_update(self) -> None:
        """Update the parameters by the gradients in their ``diff``, which then holds the step."""
        rate = self._asked_rate()
        if self._is_displayed():
            self._log(events.RateUsed(self._iter, rate))
        clipped = self._update.run(rate, self._iter)
        if clipped is not None:
            self._log(events.Clipped(clipped.norm, self._settings.clip_gradients, clipped.scale))
        self._iter += 1

    def add_callback(
        self, on_start: Callback | NCCL, on_gradients_ready: Callback | None = None
    ) -> None:
        """Have functions called in each iteration: before its first pass, and before its update.

        A ``caffe.NCCL``, which is given alone, has nothing to do for one solver.
        """
        if isinstance(on_start, NCCL):
            return
        if on_gradients_ready is None:
            raise TypeError("add_callback takes two functions, or a caffe.NCCL")
        self._callbacks.append((on_start, on_gradients_ready))

    def share_weights(self, net: Net) -> None:
        """Have a net use this one's parameters from now on."""
        net.share_with(self._net)

    def _asked_rate(self) -> np.float32:
        policy, before = self._settings.policy, self._rates
        rate, self._rates = advance(policy, before, self._iter, float(self._smoothing.mean))
        if self._settings.counts_steps and self._rates.current_step != before.current_step:
            self._log(events.StepReached(self._iter, self._rates.current_step))
        return rate

    def _is_displayed(self) -> bool:
        display = self._settings.display
        return bool(display) and self._iter % display == 0

    # Tests

    def _test_is_due(self) -> bool:
        interval = self._settings.test_interval
        due = bool(interval) and self._iter % interval == 0
        return due and (self._iter > 0 or self._settings.test_initialization)

    def _test_all(self) -> None:
        for number, net in enumerate(self._test_nets):
            net.share_with(self._net)
            self._log(events.Testing(self._iter, number))
            means = self._tested(net, self._settings.test_iter[number])
            weights = net.blob_loss_weights
            self._log(tested_event(self._iter, number, means, weights, self._settings))

    def _tested(self, net: Net, passes: int) -> Means:
        """Means of a TEST net's outputs and of its loss."""
        version, total = self._settings.ap_version, np.float32(0)
        values = {name: name for name in net.outputs}
        sums = OutputSums(net._graph, values, only_detections=version is not None)
        for _ in range(passes):
            total += np.float32(net._forward(0, len(net.layers) - 1))
            sums.add({name: net.blobs[name].data.copy() for name in net.outputs})
        return sums.means(passes, float(total / np.float32(passes)), version or VERSION)

    # Snapshots

    def snapshot(self) -> None:
        """Write the weights and the state.

        Raises:
            NetcError: cannot-write; missing-package, without h5py for the HDF5 format.
        """
        files = snapshot_files(self._prefix, self._iter, self._settings.snapshot_format)
        made = Restored(
            self._iter,
            self._update.history,
            self._rates,
            self._feeds[0].position,
            tuple(feeds.position for feeds in self._feeds[1:]),
        )
        arrays = {name: [p.array for p in blobs] for name, blobs in self._net.params.items()}
        more = any(feeds.source is not None for feeds in self._feeds)
        more = more or self._settings.policy.name == "plateau"
        write_snapshot(files, self._choice.message, self._choice.state, made, arrays, beside=more)
        self._log(events.Snapshotted(self._iter, *files.names))

    def restore(self, path: str | PathLike[str]) -> None:
        """Go on from a .solverstate, of netc or of Caffe, and the weights it names.

        Raises:
            NetcError: not-a-solver-state; weights that are not there, or a history that does not
                fit.
        """
        found, weights = restored_state(str(path), self._update.history)
        self._net.copy_from(weights)
        for place, array in zip(self._update.history, found.history, strict=True):
            place[...] = array.reshape(place.shape)
        self._iter, self._rates = found.iteration, found.rates
        for feeds, position in zip(self._feeds, (found.passes, *found.test_passes), strict=False):
            feeds.seek(max(0, position))


def _logger(display: int) -> Callable[[events.Event], None]:
    """Caffe's log on standard error; none from ``GLOG_minloglevel=1`` on, as with Caffe's own."""
    level = os.environ.get("GLOG_minloglevel", "0")
    if level.isdecimal() and int(level) > 0:
        return lambda event: None
    return CaffeLog(sys.stderr, display)


def _net(choice: NetChoice, feeds: Feeds, seed: int) -> Net:
    """A net of a solver; its data layers' blobs take the shapes of the first batch."""
    state: Mapping[str, Any] = choice.state._asdict()
    first = feeds.peek()
    known = build(choice.message, **state).graph.input_blobs if first else {}
    shapes = {name: tuple(a.shape) for name, a in first.items() if name in known}
    where: Mapping[str, Any] = {"folder": choice.folder, "outside": True}  # as data layers read
    made = defined(choice.message, **state, inputs=shapes or None, **where)
    return Net.of(made, seed, feeds.take if first else None)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum, whatever type the text names."""

    _type = "SGD"


class NesterovSolver(SGDSolver):
    """Nesterov's accelerated gradient."""

    _type = "Nesterov"


class AdaGradSolver(SGDSolver):
    """AdaGrad."""

    _type = "AdaGrad"


class RMSPropSolver(SGDSolver):
    """RMSProp."""

    _type = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    """AdaDelta."""

    _type = "AdaDelta"


class AdamSolver(SGDSolver):
    """Adam."""

    _type = "Adam"


_CLASSES = {
    str(kind._type): kind
    for kind in (
        SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver
    )
}  # fmt: skip


def get_solver(solver_file: str | PathLike[str] | Source) -> Solver:
    """The solver of the type that its text names.

    Raises:
        NetcError: unknown-solver-type, and as the classes.
    """
    message = read_solver(solver_file, SolverReadOptions()).message
    return _CLASSES.get(read_settings(message).rule.name, Solver)(solver_file)
