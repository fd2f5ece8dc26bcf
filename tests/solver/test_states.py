"""The states of a solver's nets: defaults, then the net's own, then the solver's (solver.cpp)."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.lower.rules import State
from netc.solver import read
from netc.solver.read import Reading, SolverText, train_choice
from netc.solver.solver import Solver
from tests.solver.small import BASE, NET, batches, solver
from tests.solver.texts import message

TESTED = "test_iter: 1 test_interval: 1"


def text(own: str, solver: str = "") -> SolverText:
    return SolverText(message(f'net_param {{ name: "n" {own} }} base_lr: 1 {solver}'))


@pytest.mark.parametrize(
    ("own", "written", "train", "test"),
    [
        ("", "", State("TRAIN"), State("TEST")),
        ("state { level: 3 }", "", State("TRAIN", 3), State("TEST", 3)),
        (
            "state { level: 3 stage: 'a' }",
            "train_state { level: 0 stage: 'b' } test_state { level: 0 }",
            State("TRAIN", 0, ("a", "b")),
            State("TEST", 0, ("a",)),
        ),
        (
            "state { level: 3 }",
            "train_state { stage: 'b' } test_state { level: 5 }",
            State("TRAIN", 3, ("b",)),
            State("TEST", 5),
        ),
        ("state { phase: TEST }", "", State("TEST"), State("TEST")),
        ("state { phase: TRAIN }", "", State("TRAIN"), State("TRAIN")),
        (
            "state { phase: TEST }",
            "train_state { phase: TRAIN } test_state { phase: TRAIN }",
            State("TRAIN"),
            State("TRAIN"),
        ),
    ],
)
def test_later_states_go_over_earlier_ones(
    own: str, written: str, train: State, test: State
) -> None:
    found = text(own, f"{TESTED} {written}")
    assert train_choice(found, Reading()).state == train
    assert [choice.state for choice in read.test_choices(found, Reading())] == [test]


def test_the_command_s_level_goes_over_all() -> None:
    found = text("state { level: 3 stage: 'a' }", "train_state { level: 2 stage: 'b' }")
    given = State("TRAIN", 0, ("c",))
    assert train_choice(found, Reading(), given).state == State("TRAIN", 0, ("a", "b", "c"))


def test_a_net_that_says_phase_test_is_trained_in_it() -> None:
    source = netc.Source("s.prototxt", f"net_param {{ {NET} state {{ phase: TEST }} }} {BASE}")
    run = Solver(source, feeds=batches())
    assert set(run.net.outputs) == {"accuracy", "loss"}
    np.testing.assert_array_equal(run.step(4), solver().step(4))
