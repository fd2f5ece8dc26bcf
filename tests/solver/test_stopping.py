"""Stops, and what a snapshot is called and begun with, as Caffe has them (solver.cpp)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from netc.solver import events
from netc.solver.log import CaffeLog
from netc.solver.solver import Solver
from netc.weights.solver_state import load_solver_state
from tests.solver.small import batches, solver

TESTED = "test_iter: 3 test_interval: 2"


def stopped_at(run: Solver, kind: type, number: int) -> list[events.Event]:
    """What a run tells that is asked to stop at the ``number``-th event of a kind."""
    found: list[events.Event] = []

    def listen(event: events.Event) -> None:
        found.append(event)
        if sum(isinstance(one, kind) for one in found) == number and isinstance(event, kind):
            run.stop()

    run.listeners.append(listen)
    run.solve()
    return found


def test_a_stop_comes_before_a_test_that_is_due(tmp_path: Path) -> None:
    text = f'{TESTED} snapshot: 1 snapshot_prefix: "{tmp_path}/s"'
    run = solver(text, test_feeds=[batches(7)])
    found = stopped_at(run, events.Stepped, 2)
    tests = [event.iteration for event in found if isinstance(event, events.Testing)]
    assert (run.iteration, tests) == (2, [0])
    assert isinstance(found[-1], events.Finished) and found[-1].early
    again = solver(text, test_feeds=[batches(7)], snapshot=f"{tmp_path}/s_iter_2.solverstate")
    whole = solver(TESTED, test_feeds=[batches(7)])
    again.step(3), whole.step(5)
    for one, other in zip(again.tests, whole.tests[1:], strict=True):
        np.testing.assert_array_equal(one.scores["accuracy"], other.scores["accuracy"])


def test_a_stop_within_a_test_ends_it() -> None:
    fed = batches(7)
    run: Solver

    def feeds(number: int) -> dict[str, np.ndarray]:
        if number == 4:  # the second pass of the second test
            run.stop()
        return fed[number % 7]

    run = solver(TESTED, test_feeds=[feeds])
    stream = io.StringIO()
    run.listeners.append(CaffeLog(stream))
    run.solve()
    assert (run.iteration, len(run.tests)) == (2, 1)
    said = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert said[-3:] == [
        "Iteration 2, Testing net (#0)",
        "Test interrupted.",
        "Optimization stopped early.",
    ]


def test_a_snapshot_asked_for_within_a_test_is_written_there(tmp_path: Path) -> None:
    fed, run = batches(7), None

    def feeds(number: int) -> dict[str, np.ndarray]:
        if number == 4:
            run.ask_for_snapshot()
        return fed[number % 7]

    run = solver(f'{TESTED} snapshot_prefix: "{tmp_path}/s"', test_feeds=[feeds])
    run.step(4)
    assert [path.name for path in tmp_path.glob("*.solverstate")] == ["s_iter_2.solverstate"]
    assert len(run.tests) == 2


def test_a_stop_in_the_last_test_is_not_early() -> None:
    run = solver("test_iter: 1 test_interval: 12", test_feeds=[batches()])
    found = stopped_at(run, events.Testing, 2)
    assert isinstance(found[-2], events.Interrupted)
    assert found[-1] == events.Finished(12, False)


def test_a_snapshot_is_called_as_its_prefix_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = solver('snapshot: 5 snapshot_prefix: "./s"')
    told: list[events.Event] = []
    run.listeners.append(told.append)
    run.step(5)
    names = ("./s_iter_5.caffemodel", "./s_iter_5.solverstate")
    assert events.Snapshotted(5, *names) in told
    assert load_solver_state("s_iter_5.solverstate").learned_net == names[0]
    assert solver(snapshot="s_iter_5.solverstate").iteration == 5


def test_a_state_is_gone_on_from_without_the_texts_weights(tmp_path: Path) -> None:
    run = solver(f'snapshot: 5 snapshot_prefix: "{tmp_path}/s"')
    run.step(5)
    state = f"{tmp_path}/s_iter_5.solverstate"
    again = solver('weights: "no_longer_there.caffemodel"', snapshot=state)
    np.testing.assert_array_equal(again.step(3), run.step(3))
