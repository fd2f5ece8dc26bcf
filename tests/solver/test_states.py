"""The states of a solver's nets: defaults, then the net's own, then the solver's (solver.cpp)."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.lower.rules import NetState
from netc.solver import read
from netc.solver.read import SolverReadOptions, SolverText, train_choice
from netc.solver.solver import Solver
from tests.solver.small import BASE, NET, batches, solver
from tests.solver.texts import message

TESTED = "test_iter: 1 test_interval: 1"


def text(own: str, solver: str = "") -> SolverText:
    return SolverText(message(f'net_param {{ name: "n" {own} }} base_lr: 1 {solver}'))


@pytest.mark.parametrize(
    ("own", "written", "train", "test"),
    [
        ("", "", NetState("TRAIN"), NetState("TEST")),
        ("state { level: 3 }", "", NetState("TRAIN", 3), NetState("TEST", 3)),
        (
            "state { level: 3 stage: 'a' }",
            "train_state { level: 0 stage: 'b' } test_state { level: 0 }",
            NetState("TRAIN", 0, ("a", "b")),
            NetState("TEST", 0, ("a",)),
        ),
        (
            "state { level: 3 }",
            "train_state { stage: 'b' } test_state { level: 5 }",
            NetState("TRAIN", 3, ("b",)),
            NetState("TEST", 5),
        ),
        ("state { phase: TEST }", "", NetState("TEST"), NetState("TEST")),
        ("state { phase: TRAIN }", "", NetState("TRAIN"), NetState("TRAIN")),
        (
            "state { phase: TEST }",
            "train_state { phase: TRAIN } test_state { phase: TRAIN }",
            NetState("TRAIN"),
            NetState("TRAIN"),
        ),
    ],
)
def test_later_states_go_over_earlier_ones(
    own: str, written: str, train: NetState, test: NetState
) -> None:
    found = text(own, f"{TESTED} {written}")
    assert train_choice(found, SolverReadOptions()).state == train
    assert [choice.state for choice in read.test_choices(found, SolverReadOptions())] == [test]


def test_the_command_s_level_goes_over_all() -> None:
    found = text("state { level: 3 stage: 'a' }", "train_state { level: 2 stage: 'b' }")
    given = NetState("TRAIN", 0, ("c",))
    assert train_choice(found, SolverReadOptions(), given).state == NetState(
        "TRAIN", 0, ("a", "b", "c")
    )


def test_a_net_that_says_phase_test_is_trained_in_it() -> None:
    source = netc.Source("s.prototxt", f"net_param {{ {NET} state {{ phase: TEST }} }} {BASE}")
    run = Solver(source, feeds=batches())
    assert set(run.net.outputs) == {"accuracy", "loss"}
    np.testing.assert_array_equal(run.step(4), solver().step(4))
