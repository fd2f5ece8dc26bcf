"""DummyData with random fillers in training: dummy_data_layer.cpp fills it at each forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.ir.graph import Array
from netc.solver import events, testing
from netc.solver.solver import Solver

NET = """
layer { name: "noise" type: "DummyData" top: "noise" top: "one"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 }
                           data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "scale" type: "Scale" bottom: "noise" top: "scaled" }
layer { name: "loss" type: "EuclideanLoss" bottom: "scaled" bottom: "one" top: "loss"
        loss_weight: 1e-6 }
layer { name: "show" type: "Power" bottom: "noise" top: "shown" }
"""


def ran(steps: int, more: str = "", **given: Any) -> tuple[Solver, list[events.Event]]:
    text = f"""net_param {{ {NET} }} base_lr: 0.01 lr_policy: "fixed" max_iter: 9 display: 1
    snapshot_after_train: false {more}"""
    made = Solver(text, **given)
    found: list[events.Event] = []
    made.listeners.append(found.append)
    made.step(steps)
    return made, found


def shown(found: list[events.Event]) -> list[Array]:
    return [e.outputs["shown"] for e in found if isinstance(e, events.Displayed)]


def test_each_iteration_draws_anew() -> None:
    drawn = np.array(shown(ran(3)[1]))
    assert len(np.unique(drawn)) == drawn.size


def test_each_pass_of_an_iteration_draws_anew() -> None:
    once, twice = shown(ran(4)[1]), shown(ran(2, "iter_size: 2")[1])
    np.testing.assert_array_equal(twice, once[1::2])  # the last pass of each is displayed


def test_the_seed_counts() -> None:
    first, again, other = (shown(ran(2, seed=seed)[1]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != np.array(other)).all()


def test_a_run_that_goes_on_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    more = f'snapshot_prefix: "{tmp_path}/x"'
    whole = shown(ran(4, more)[1])
    files = ran(2, more)[0].snapshot()
    np.testing.assert_array_equal(shown(ran(2, more, snapshot=str(files.state))[1]), whole[2:])


def test_what_is_fed_is_not_drawn() -> None:
    own = np.full((2, 3), 5, np.float32)
    assert (np.array(shown(ran(2, feeds={"noise": own})[1])) == 5).all()


def test_tests_draw_anew_and_other_numbers() -> None:
    _, found = ran(2, "test_iter: 1 test_interval: 1")
    scores = [e.scores["shown"] for e in found if isinstance(e, events.Tested)]
    drawn = np.array([*scores, *shown(found)])
    assert len(np.unique(drawn)) == drawn.size


def test_netc_test_draws_anew() -> None:
    made: list[Array] = []
    tester = testing.Tester(netc.Source("net", NET), [{"scale": (np.ones(3, np.float32),)}])
    tester.score(2, lambda number, outputs: made.append(outputs["shown"]))
    assert (made[0] != made[1]).all()


def test_what_is_looked_into_is_what_was_run() -> None:
    _, found = ran(1, "debug_info: true")
    (line,) = [
        line.text
        for event in found
        if isinstance(event, events.Debug)
        for line in event.lines
        if "top blob shown data" in line.text
    ]
    mean = float(np.abs(shown(found)[0]).mean())
    assert float(line.rpartition(": ")[2]) == pytest.approx(mean, rel=1e-4)
