"""A run is the same at any number of threads, to the bit, and near the definitions'."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import netc
from netc.solver.solver import Solver

CONV = 'weight_filler { type: "msra" } bias_term: false'
NET = f"""
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 5 dim: 3 dim: 19 dim: 17 }} shape {{ dim: 5 }} }} }}
layer {{ name: "c1" type: "Convolution" bottom: "data" top: "c1"
        convolution_param {{ num_output: 24 kernel_size: 3 pad: 1 {CONV} }} }}
layer {{ name: "b1" type: "BatchNorm" bottom: "c1" top: "c1" }}
layer {{ name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param {{ bias_term: true }} }}
layer {{ name: "r1" type: "ReLU" bottom: "c1" top: "c1" }}
layer {{ name: "p1" type: "Pooling" bottom: "c1" top: "p1"
        pooling_param {{ kernel_size: 3 stride: 2 }} }}
layer {{ name: "d2" type: "Convolution" bottom: "p1" top: "d2"
        convolution_param {{ num_output: 24 kernel_size: 3 pad: 1 group: 24 {CONV} }} }}
layer {{ name: "b2" type: "BatchNorm" bottom: "d2" top: "b2"
        batch_norm_param {{ moving_average_fraction: 0.9 }} }}
layer {{ name: "s2" type: "Scale" bottom: "b2" top: "s2" scale_param {{ bias_term: true }} }}
layer {{ name: "c3" type: "Convolution" bottom: "s2" top: "c3"
        convolution_param {{ num_output: 24 kernel_size: 1 {CONV} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "c3" bottom: "p1" top: "sum" }}
layer {{ name: "r3" type: "ReLU" bottom: "sum" top: "sum" }}
layer {{ name: "p3" type: "Pooling" bottom: "sum" top: "p3"
        pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "p3" top: "ip"
        inner_product_param {{ num_output: 7 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
TEXT = f"""net_param {{ {NET} }}
base_lr: 0.05 lr_policy: "fixed" max_iter: 5 momentum: 0.9 weight_decay: 0.001 random_seed: 3
snapshot_after_train: false"""


@cache
def trained(threads: int, backend: str = "cpu") -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """Losses of five iterations, and the parameters after them."""
    random = np.random.default_rng(4)
    batches = [
        {
            "data": random.standard_normal((5, 3, 19, 17), np.float32),
            "label": random.integers(0, 7, 5).astype(np.float32),
        }
        for _ in range(5)
    ]
    source = netc.Source("solver.prototxt", TEXT)
    solver = Solver(source, feeds=batches, threads=threads, backend=backend)
    losses = solver.step(5)
    return losses, {name: [a.copy() for a in arrays] for name, arrays in solver.params.items()}


@pytest.mark.parametrize("threads", [2, 4])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    losses, params = trained(1)
    others, other_params = trained(threads)
    np.testing.assert_array_equal(others, losses)
    for name, arrays in params.items():
        for mine, theirs in zip(arrays, other_params[name], strict=True):
            np.testing.assert_array_equal(theirs, mine, err_msg=name)


def test_kernels_train_as_the_definitions_do() -> None:
    losses, params = trained(1)
    others, other_params = trained(1, "reference")
    np.testing.assert_allclose(losses, others, rtol=2e-5)
    for name, arrays in params.items():
        for mine, theirs in zip(arrays, other_params[name], strict=True):
            scale = np.abs(theirs).max() + 1e-3
            np.testing.assert_allclose(mine / scale, theirs / scale, atol=2e-4, err_msg=name)


def test_no_layer_runs_by_definition() -> None:
    feeds = {"data": np.ones((5, 3, 19, 17), np.float32), "label": np.zeros(5, np.float32)}
    solver = Solver(netc.Source("solver.prototxt", TEXT), feeds=lambda: feeds, threads=1)
    step = solver._train._first
    program = step.executable(tuple(step.inputs.values())).program
    assert program.by_definition == ()
