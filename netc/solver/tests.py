"""The tests of a run: its TEST nets scored over the variables that are trained.

BVLC/caffe src/caffe/solver.cpp, Test, lines 347 to 414.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from netc.ir.graph import Array
from netc.solver import events
from netc.solver.debug import layers_of, tested_lines
from netc.solver.opening import Run
from netc.solver.scoring import Means, scored
from netc.solver.settings import Settings


class Test(NamedTuple):
    """A test that was made: before which iteration, of which TEST net, and its means."""

    iteration: int
    net: int
    scores: Mapping[str, Array]


class Tests:
    """The TEST nets of a run, and when they are due.

    Args:
        run: whose nets they are.
        settings: how often, how many batches, what is told.
        emit: is called with each event.
    """

    def __init__(self, run: Run, settings: Settings, emit: Callable[[events.Event], None]) -> None:
        self._run, self._settings, self._emit = run, settings, emit
        self.made: list[Test] = []

    def due(self, iteration: int) -> bool:
        """Whether the nets are tested before this iteration."""
        interval = self._settings.test_interval
        due = bool(interval) and iteration % interval == 0
        return due and (iteration > 0 or self._settings.test_initialization)

    def score_all(self, iteration: int) -> None:
        """Test every net, with an event before and after each."""
        for number, test in enumerate(self._run.tests):
            self._emit(events.Testing(iteration, number, test.ignored))
            scores, loss = self.score(number, iteration)
            self.made.append(Test(iteration, number, scores))
            told = loss if self._settings.test_compute_loss else None
            losses = test.net.graph.losses
            self._emit(events.Tested(iteration, number, scores, losses, told))

    def score(self, number: int, iteration: int) -> Means:
        """The means of one net's outputs over its `test_iter` passes."""
        test, passes = self._run.tests[number], self._settings.test_iter[number]

        def look(batch: Mapping[str, Any], made: Mapping[str, Array]) -> None:
            lines = tested_lines(layers, test.net, batch, made)
            self._emit(events.Debug(iteration, lines))

        if not self._settings.debug_info:
            return scored(test, passes)
        layers = layers_of(test.choice, test.net.graph)
        return scored(test, passes, look)
