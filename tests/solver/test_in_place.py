"""Updates that work in the variables themselves, against the definitions, which do not."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.solver.solver import Solver

FILLER = 'weight_filler { type: "msra" }'
NET = f"""
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 3 dim: 4 dim: 13 dim: 12 }} shape {{ dim: 3 }} }} }}
layer {{ name: "c1" type: "Convolution" bottom: "data" top: "c1"
        convolution_param {{ num_output: 40 kernel_size: 3 pad: 1 {FILLER} }} }}
layer {{ name: "r1" type: "ReLU" bottom: "c1" top: "c1" }}
layer {{ name: "c2" type: "Convolution" bottom: "c1" top: "c2" param {{ name: "shared" }}
        convolution_param {{ num_output: 40 kernel_size: 3 pad: 1 bias_term: false {FILLER} }} }}
layer {{ name: "c3" type: "Convolution" bottom: "c2" top: "c3" param {{ name: "shared" }}
        convolution_param {{ num_output: 40 kernel_size: 3 pad: 1 bias_term: false {FILLER} }} }}
layer {{ name: "c4" type: "Convolution" bottom: "c3" top: "c4" param {{ lr_mult: 0 }}
        convolution_param {{ num_output: 24 kernel_size: 3 group: 2 stride: 2 {FILLER} }} }}
layer {{ name: "n4" type: "LRN" bottom: "c4" top: "n4" }}
layer {{ name: "w4" type: "Convolution" bottom: "n4" top: "w4"
        convolution_param {{ num_output: 24 kernel_size: 3 group: 24 stride: 2 pad: 1 {FILLER} }} }}
layer {{ name: "c5" type: "Convolution" bottom: "w4" top: "c5"
        convolution_param {{ num_output: 36 kernel_size: 3 group: 2 pad: 1 {FILLER} }} }}
layer {{ name: "d5" type: "Deconvolution" bottom: "c5" top: "d5"
        convolution_param {{ num_output: 8 kernel_size: 2 stride: 2 {FILLER} }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "d5" top: "ip1"
        inner_product_param {{ num_output: 33 {FILLER} }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param {{ num_output: 7 {FILLER} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""
SOLVER = 'base_lr: 0.01 lr_policy: "fixed" max_iter: 4 random_seed: 3 snapshot_after_train: false '
RULES = (
    'type: "SGD" momentum: 0.9 weight_decay: 0.01',
    'type: "Adam" momentum: 0.9 base_lr: 0.001',
    'type: "Nesterov" momentum: 0.9 clip_gradients: 1',
    'type: "SGD" momentum: 0.5 iter_size: 2',
    'type: "LARS" momentum: 0.9',
)


def solver(rule: str, backend: str, threads: int = 2) -> Solver:
    random = np.random.default_rng(4)
    batches = [
        {
            "data": random.standard_normal((3, 4, 13, 12), np.float32),
            "label": random.integers(0, 7, 3).astype(np.float32),
        }
        for _ in range(8)
    ]
    text = f"net_param {{ {NET} }} {SOLVER} {rule}"
    if "base_lr" in rule:
        text = text.replace("base_lr: 0.01", "", 1)
    source = netc.Source("solver.prototxt", text)
    return Solver(source, feeds=batches, threads=threads, backend=backend)


@pytest.mark.parametrize("rule", RULES)
def test_parameters_and_histories_are_those_of_the_definitions(rule: str) -> None:
    fast, slow = solver(rule, "cpu"), solver(rule, "reference")
    np.testing.assert_allclose(fast.step(4), slow.step(4), rtol=2e-4)
    for name, arrays in slow.params.items():
        for mine, theirs in zip(fast.params[name], arrays, strict=True):
            scale = np.abs(theirs).max() + 1e-3
            np.testing.assert_allclose(mine / scale, theirs / scale, atol=5e-4)
    for mine, theirs in zip(fast.history, slow.history, strict=True):
        scale = np.abs(theirs).max() + 1e-6
        np.testing.assert_allclose(mine / scale, theirs / scale, atol=5e-3)


def test_nothing_is_copied_to_the_arena_and_back() -> None:
    made = solver(RULES[0], "cpu")
    net = made._train._first
    steps = net.executable(tuple(net.inputs.values())).program.steps
    copied = [s.name for s in steps if s.name.startswith("update ") or s.name.endswith("~value")]
    # Gradients of what two layers share are sums, which have no order but the arena's.
    assert [name for name in copied if not name.startswith(("c2/0", "update c2/0"))] == []


def test_what_a_caller_writes_between_steps_is_what_the_next_one_reads() -> None:
    one, two = solver(RULES[0], "cpu", 1), solver(RULES[0], "cpu", 2)
    for each in (one, two):
        each.step(1)
        each.params["c1"][0][...] *= 0.5
        each.history[0][...] = 0
        each.step(1)
    pairs = zip(one.params["c1"], two.params["c1"], strict=True)
    assert all((a == b).all() for a, b in pairs)
