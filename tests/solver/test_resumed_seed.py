"""A run that was given a seed goes on with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.solver.solver import Solver

TEXT = """
net_param {
  layer { name: "data" type: "Input" top: "x" top: "y"
          input_param { shape { dim: 4 dim: 8 } shape { dim: 4 dim: 2 } } }
  layer { name: "drop" type: "Dropout" bottom: "x" top: "d" }
  layer { name: "ip" type: "InnerProduct" bottom: "d" top: "z"
          inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }
}
base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 100 random_seed: 2
snapshot_after_train: false
"""
RANDOM = np.random.default_rng(0)
FEEDS = [
    {"x": RANDOM.standard_normal((4, 8), np.float32), "y": np.ones((4, 2), np.float32)}
    for _ in range(3)
]


def solver(folder: Path, seed: int | None = None, snapshot: str | None = None) -> Solver:
    source = netc.Source("solver", f'{TEXT} snapshot_prefix: "{folder}/run"')
    return Solver(source, feeds=FEEDS, backend="reference", seed=seed, snapshot=snapshot)


@pytest.mark.parametrize("seed", [None, 7])
def test_a_seed_is_gone_on_with(seed: int | None, tmp_path: Path) -> None:
    one = solver(tmp_path, seed)
    one.step(3)
    state = str(one.snapshot().state)
    resumed = solver(tmp_path, snapshot=state)
    assert resumed.seed == one.seed == (2 if seed is None else 7)
    np.testing.assert_array_equal(resumed.step(3), one.step(3))
    again = solver(tmp_path, snapshot=str(resumed.snapshot().state))
    assert again.seed == one.seed
    assert solver(tmp_path, seed=5, snapshot=state).seed == 5


def test_a_state_of_before_has_the_texts(tmp_path: Path) -> None:
    one = solver(tmp_path, 7)
    one.step(1)
    files = one.snapshot()
    content = json.loads(files.beside.read_text())
    del content["seed"]
    files.beside.write_text(json.dumps(content))
    assert solver(tmp_path, snapshot=str(files.state)).seed == 2


@pytest.mark.parametrize("wrong", [-1, "7", True, 1.5])
def test_a_seed_that_is_none(wrong: object, tmp_path: Path) -> None:
    one = solver(tmp_path, 7)
    files = one.snapshot()
    content = json.loads(files.beside.read_text())
    files.beside.write_text(json.dumps({**content, "seed": wrong}))
    with pytest.raises(NetcError, match="what lies beside it"):
        solver(tmp_path, snapshot=str(files.state))
