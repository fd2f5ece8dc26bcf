"""The rates in a log, of every policy, as log parsers read them; and what pycaffe's solvers log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import netc.compat.pycaffe as caffe
from netc.solver.log import CaffeLog
from netc.solver.rates import POLICIES, RateState, advance
from netc.solver.read_log import read_rows
from netc.solver.solver import Solver
from tests.solver.texts import settings

NUMBERS = {
    "fixed": "",
    "step": "gamma: 0.5 stepsize: 2",
    "exp": "gamma: 0.9",
    "inv": "gamma: 0.1 power: 0.75",
    "multistep": "gamma: 0.1 stepvalue: 2 stepvalue: 2 stepvalue: 5",
    "poly": "power: 2",
    "sigmoid": "gamma: 0.5 stepsize: 3",
    "plateau": "gamma: 0.5 plateau_winsize: 1 plateau_winsize: 2",
    "multifixed": "stagelr: 0.3 stagelr: 0.0123456 stageiter: 2 stageiter: 9",
    "sgdr": "period: 3 min_lr: 0.001",
    "triangular": "stepsize: 2 max_lr: 0.9",
    "triangular2": "stepsize: 2 max_lr: 0.9",
}
# What parse_log.py of Caffe's tools looks for.
RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)")
STEP = re.compile(r"MultiStep Status: Iteration (\d+), step = (\d+)")
PLAIN = """
layer { name: "x" type: "DummyData" top: "x" top: "one"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 }
                           data_filler { type: "constant" value: 0.5 } data_filler { value: 1 } } }
layer { name: "scale" type: "Scale" bottom: "x" top: "scaled" }
layer { name: "loss" type: "EuclideanLoss" bottom: "scaled" bottom: "one" top: "loss" }
"""


def text(policy: str, more: str = "") -> str:
    return f"""net_param {{ {PLAIN} }} base_lr: 0.0876543 lr_policy: "{policy}" max_iter: 8
    display: 1 random_seed: 1 snapshot_after_train: false {NUMBERS[policy]} {more}"""


@pytest.mark.parametrize("policy", POLICIES)
def test_rates_are_read_back_from_the_log(policy: str, tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    with path.open("w") as stream:
        solver = Solver(text(policy))
        solver.listeners.append(CaffeLog(stream, 1))
        solver.solve()
    rows = [row for row in read_rows(path) if "rate" in row]
    state, wanted = RateState(), []
    for row in rows:
        loss = float(row["smoothed_loss"])
        rate, state = advance(settings(text(policy)).policy, state, int(row["iteration"]), loss)
        wanted.append(float(f"{rate:g}"))
    assert [row["iteration"] for row in rows] == list(range(8))
    assert [row["rate"] for row in rows] == wanted
    lines = path.read_text().splitlines()
    assert [float(m[1]) for line in lines if (m := RATE.search(line))] == wanted
    assert any("Solving" in line for line in lines[:1])  # parse_log.py takes its time from there


def test_steps_are_told_before_the_rate_they_make(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    with path.open("w") as stream:
        solver = Solver(text("multistep").replace("display: 1", "display: 3"))
        solver.listeners.append(CaffeLog(stream, 3))
        solver.solve()
    lines = path.read_text().splitlines()
    steps = [(int(m[1]), int(m[2])) for line in lines if (m := STEP.search(line))]
    assert steps == [(2, 1), (3, 2), (5, 3)]  # displayed or not
    at = next(i for i, line in enumerate(lines) if "Iteration 3, step = 2" in line)
    assert "Iteration 3, lr = " in lines[at + 1]


def script(folder: Path, policy: str, more: str = "") -> Any:
    path = folder / "solver.prototxt"
    path.write_text(text(policy, more))
    return caffe.SGDSolver(str(path))


def test_asking_pycaffe_for_the_rate_moves_multistep_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """GetLearningRate is what `solver.lr` calls, and its counter goes up by one at most."""
    solver = script(tmp_path, "multistep")
    base = pytest.approx(0.0876543, rel=1e-6)
    assert solver.lr == base
    solver.step(2)
    assert [solver.lr, solver.lr, solver.lr] == pytest.approx(
        [0.00876543, 0.000876543, 0.000876543], rel=1e-6
    )
    solver.step(1)
    said = capfd.readouterr().err.splitlines()
    assert [(int(m[1]), int(m[2])) for line in said if (m := STEP.search(line))] == [(2, 1), (2, 2)]
    assert [float(m[1]) for line in said if (m := RATE.search(line))][-1] == 0.000876543


def test_the_counter_is_in_the_state(tmp_path: Path) -> None:
    more = f'snapshot_prefix: "{tmp_path}/x"'
    solver = script(tmp_path, "multistep", more)
    solver.step(2)
    assert solver.lr == pytest.approx(0.00876543, rel=1e-6)
    solver.snapshot()
    again = script(tmp_path, "multistep", more)
    again.restore(str(tmp_path / "x_iter_2.solverstate"))
    assert again.lr == pytest.approx(0.000876543, rel=1e-6)  # asked once more


def test_pycaffe_logs_what_is_clipped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    solver = script(tmp_path, "fixed", "clip_gradients: 0.01")
    solver.step(1)
    lines = [line for line in capfd.readouterr().err.splitlines() if "sgd_solver.cpp" in line]
    assert "Iteration 0, lr = 0.0876543" in lines[0]
    match = re.search(r"L2 norm (\S+) > 0.01\) by scale factor (\S+)$", lines[1])
    assert match is not None
    assert float(match[1]) * float(match[2]) == pytest.approx(0.01, rel=1e-4)
    assert float(match[2]) < 1


def test_pycaffe_logs_weights_of_blobs_that_moved_to_a_split(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    net = PLAIN.replace('top: "scaled" }', 'top: "scaled" loss_weight: 0.25 }')
    path = tmp_path / "solver.prototxt"
    path.write_text(text("fixed").replace(PLAIN, net))
    caffe.SGDSolver(str(path)).step(1)
    said = capfd.readouterr().err
    assert "Train net output #0: loss = " in said
    assert "output #1: scaled_scale_0_split_0 = 0.5 (* 0.25 = 0.125 loss)" in said
