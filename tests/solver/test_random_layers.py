"""Layers that draw random numbers in a solver's iterations."""

from __future__ import annotations

import numpy as np

import netc
from netc.solver.solver import Solver
from tests.solver.small import NET, batches

BASE = 'lr_policy: "fixed" max_iter: 12 snapshot_after_train: false '

DROPPED = NET.replace(
    'layer { name: "ip" type: "InnerProduct" bottom: "data"',
    'layer { name: "drop" type: "Dropout" bottom: "data" top: "dropped" }\n'
    'layer { name: "ip" type: "InnerProduct" bottom: "dropped"',
)


def losses(text: str, **more: object) -> np.ndarray:
    source = netc.Source("solver.prototxt", f"net_param {{ {DROPPED} }}\n{BASE}{text}")
    same = batches(1)[0]
    return Solver(source, feeds=lambda: same, **more).step(6)


def test_each_iteration_draws_a_mask_of_its_own() -> None:
    """With a rate of 0 and one batch nothing but the masks can change a loss."""
    drawn = losses("base_lr: 0")
    assert len(set(drawn.tolist())) == 6


def test_a_run_repeats_and_another_seed_draws_others() -> None:
    np.testing.assert_array_equal(
        losses("base_lr: 0.1 random_seed: 3"), losses("base_lr: 0.1 random_seed: 3")
    )
    assert (losses("base_lr: 0.1 random_seed: 3") != losses("base_lr: 0.1 random_seed: 4")).any()


def test_each_pass_of_an_iteration_draws_a_mask_of_its_own() -> None:
    source = netc.Source(
        "solver.prototxt", f"net_param {{ {DROPPED} }}\n{BASE}base_lr: 0 iter_size: 2"
    )
    same = batches(1)[0]
    mean = Solver(source, feeds=lambda: same).step(3)
    single = losses("base_lr: 0").reshape(3, 2).mean(axis=1)
    np.testing.assert_allclose(mean, single, rtol=1e-6)
