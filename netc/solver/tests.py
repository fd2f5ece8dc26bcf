"""The tests of a run: its TEST nets are scored with the variables in training.

BVLC/caffe src/caffe/solver.cpp, Test, lines 347 to 414.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from netc.ir.graph import Array
from netc.solver import events
from netc.solver.average_precision import Classes, by_class
from netc.solver.debug import layers_of, tested_lines
from netc.solver.opening import SolverRun
from netc.solver.scoring import VERSION, Means, scored
from netc.solver.settings import Settings


class Test(NamedTuple):
    """The result of a test: the iteration it came before, the TEST net's number, and the means.

    ``classes`` are what a detector made of each class, by output; ``rows`` how many rows there were
    of outputs that have no mean.
    """

    iteration: int
    net: int
    scores: Mapping[str, Array]
    classes: Mapping[str, Classes] = MappingProxyType({})
    rows: Mapping[str, int] = MappingProxyType({})


def tested_event(
    iteration: int, number: int, means: Means, weights: Mapping[str, float], settings: Settings
) -> events.Tested:
    """The event after a test of TEST net ``number``; ``weights`` are its outputs' in the loss."""
    loss = means.loss if settings.test_compute_loss else None
    version = settings.ap_version or VERSION
    classes = {name: by_class(of, version) for name, of in means.classes.items()}
    shown = settings.show_per_class_result
    return events.Tested(iteration, number, means.scores, weights, loss, classes, shown)


class Tests:
    """The TEST nets of a run, and when they are due.

    Args:
        run: the run.
        settings: the solver's settings: test_interval, test_iter and so on.
        emit: called with each event.
    """

    def __init__(
        self, run: SolverRun, settings: Settings, emit: Callable[[events.Event], None]
    ) -> None:
        self._run, self._settings, self._emit = run, settings, emit
        self.made: list[Test] = []

    def due(self, iteration: int) -> bool:
        """Whether the nets are tested before this iteration."""
        due = self.falls_on(iteration)
        return due and (iteration > 0 or self._settings.test_initialization)

    def falls_on(self, iteration: int) -> bool:
        """Whether `test_interval` divides an iteration."""
        interval = self._settings.test_interval
        return bool(interval) and iteration % interval == 0

    def score_all(self, iteration: int, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Test every net, with an event before and after each.

        Args:
            iteration: before which they are tested.
            interrupted: asked before each pass; where it says yes the test has no result, and the
                nets that are left are not tested (solver.cpp, TestAll and Test).
        """
        for number, test in enumerate(self._run.tests):
            self._emit(events.Testing(iteration, number, test.ignored))
            means = self._scored(number, iteration, interrupted)
            if means is None:
                self._emit(events.Interrupted(iteration, number))
                return
            self.made.append(Test(iteration, number, means.scores, means.classes, means.rows))
            weights = test.shown.weights
            self._emit(tested_event(iteration, number, means, weights, self._settings))

    def score(self, number: int, iteration: int) -> Means:
        """The means of one net's outputs over its `test_iter` passes."""
        means = self._scored(number, iteration, lambda: False)
        assert means is not None
        return means

    def _scored(self, number: int, iteration: int, interrupted: Callable[[], bool]) -> Means | None:
        test, passes = self._run.tests[number], self._settings.test_iter[number]

        def look(batch: Mapping[str, Any], made: Mapping[str, Array]) -> None:
            lines = tested_lines(layers, test.net, batch, made)
            self._emit(events.Debug(iteration, lines))

        version = self._settings.ap_version
        if not self._settings.debug_info:
            return scored(test, passes, None, interrupted, version)
        layers = layers_of(test.choice, test.net.graph)
        return scored(test, passes, look, interrupted, version)
