"""Rules, passes, clipping, sharing, frozen layers and weighted losses together: definitions against
kernels, and against an update by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netc.ir.graph import Array
from netc.solver.solver import Solver

FILL = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "constant" value: 0.1 }'
NET = f"""
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 4 dim: 2 dim: 9 dim: 9 }} shape {{ dim: 4 }} }} }}
layer {{ name: "stem" type: "Convolution" bottom: "data" top: "stem" param {{ lr_mult: LOW }}
        convolution_param {{ num_output: 4 kernel_size: 3 bias_term: false {FILL} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "stem" top: "norm" param {{ lr_mult: 0 }}
        param {{ lr_mult: 0 }} param {{ lr_mult: 0 }} }}
layer {{ name: "one" type: "Convolution" bottom: "norm" top: "one"
        param {{ name: "w" lr_mult: 2 }} param {{ name: "b" lr_mult: 3 decay_mult: 0 }}
        convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILL} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "one" top: "one" }}
layer {{ name: "two" type: "Convolution" bottom: "one" top: "two" param {{ name: "w" }}
        param {{ name: "b" }} convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILL} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "two" top: "pool"
        pooling_param {{ pool: MAX kernel_size: 3 stride: 2 }} }}
layer {{ name: "scores" type: "InnerProduct" bottom: "pool" top: "scores"
        inner_product_param {{ num_output: 3 {FILL} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss"
        loss_weight: WEIGHT }}
layer {{ name: "size" type: "Reduction" bottom: "two" top: "size" loss_weight: 0.01
        reduction_param {{ operation: SUMSQ }} include {{ not_stage: "short" }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "scores" bottom: "label" top: "accuracy"
        include {{ phase: TEST stage: "scored" }} }}
"""
RULES = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.8",
    "AdaGrad": "delta: 0.01",
    "RMSProp": "rms_decay: 0.9 delta: 0.01",
    "AdaDelta": "momentum: 0.9 delta: 0.001",
    "Adam": "momentum: 0.9 momentum2: 0.99 delta: 0.01",
    "AdamW": "momentum: 0.9 momentum2: 0.99 delta: 0.01",
    "AMSGrad": "momentum: 0.9 momentum2: 0.9 delta: 0.01",
    "AdaMax": "momentum: 0.9 momentum2: 0.9",
    "LARS": "momentum: 0.9 local_gw_ratio: 0.1",
}
FORKS = [
    'type: "Adam" amsgrad: true momentum: 0.9 momentum2: 0.9 delta: 0.01 weight_decay: 0.01',
    'type: "SGD" momentum: 0.9 larc: true larc_eta: 0.1 clip_gradients: 0.3',
    'type: "Nesterov" larc: true larc_policy: "clip" larc_eta: 0.01 iter_size: 2 momentum: 0.5',
    'type: "SGD" local_lr_auto: true local_gw_ratio: 0.1 momentum: 0.9 weight_decay: 0.02',
    'type: "AdamW" weight_decay: 0.1 regularization_type: "L1" momentum: 0.9 delta: 0.01',
]


def batch(number: int) -> dict[str, Array]:
    random = np.random.default_rng(number)
    return {
        "data": random.standard_normal((4, 2, 9, 9)).astype(np.float32),
        "label": random.integers(0, 3, 4).astype(np.float32),
    }


def solver(text: str, low: float = 1, weight: float = 1, **given: Any) -> Solver:
    net = NET.replace("LOW", str(low)).replace("WEIGHT", str(weight))
    common = 'base_lr: 0.02 lr_policy: "step" stepsize: 2 gamma: 0.5 max_iter: 5 random_seed: 4'
    tests = "test_iter: 2 test_interval: 3 test_state { stage: 'scored' }"
    source = f"net_param {{ {net} }} {common} {tests} snapshot_after_train: false {text}"
    return Solver(source, feeds=batch, test_feeds=[batch], **given)


def arrays(made: Solver) -> list[Array]:
    return [a.copy() for own in made.params.values() for a in own] + list(made.history)


@pytest.mark.parametrize(("low", "weight"), [(0, 1), (1, 0.3)])
@pytest.mark.parametrize(
    "more",
    [
        "weight_decay: 0.01",
        "weight_decay: 0.01 regularization_type: 'L1' iter_size: 2",
        "clip_gradients: 0.3 weight_decay: 0.005 iter_size: 3",
        "clip_gradients: 0.3 train_state { stage: 'short' }",
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_kernels_train_as_the_definitions_do(
    rule: str, more: str, low: float, weight: float
) -> None:
    compare(f'type: "{rule}" {RULES[rule]} {more}', low, weight)


@pytest.mark.parametrize("text", FORKS)
def test_rules_of_forks(text: str) -> None:
    compare(text, 1, 1)


def compare(text: str, low: float, weight: float) -> None:
    """Losses, parameters, histories and tests of a few iterations, by kernels alone."""
    ours, theirs = (solver(text, low, weight, backend=b, threads=1) for b in ("cpu", "reference"))
    np.testing.assert_allclose(ours.step(4), theirs.step(4), rtol=1e-4)
    for program in ours.report()["programs"].values():
        slow = program["reference_steps"]
        assert all("size" in name for name in slow)  # Reduction and its gradient alone
    for one, other in zip(arrays(ours), arrays(theirs), strict=True):
        scale = float(np.abs(other).max()) + 1e-3
        np.testing.assert_allclose(one / scale, other / scale, atol=2e-3)
    assert [t.iteration for t in ours.tests] == [0, 3]
    for one, other in zip(ours.tests, theirs.tests, strict=True):
        assert set(one.scores) == {"loss", "size", "accuracy"}
        np.testing.assert_allclose(one.scores["loss"], other.scores["loss"], rtol=1e-3)
    if low == 0:
        np.testing.assert_array_equal(ours.params["stem"][0], solver(text, low).params["stem"][0])


@pytest.mark.parametrize("passes", [1, 2])
def test_shared_parameters_take_the_rate_that_one_user_gives(passes: int) -> None:
    """training.md's facts 7, 9, 10 and 15 in one step of SGD."""
    made = solver(f"weight_decay: 0.1 clip_gradients: 0.05 iter_size: {passes}")
    before = {name: [a.copy() for a in own] for name, own in made.params.items()}
    found = [made.net.gradients(batch(number)).params for number in range(passes)]
    sums = {
        name: [sum(part[name][i] for part in found) for i in range(len(own))]
        for name, own in before.items()
        if name not in ("norm", "two")  # statistics; sharers of `one`
    }
    norm = np.sqrt(sum(float(np.square(a).sum()) for own in sums.values() for a in own))
    made.step(1)
    for layer, index, lr, decay in (("one", 0, 2, 1), ("one", 1, 3, 0), ("scores", 0, 1, 1)):
        step = sums[layer][index] * min(1, 0.05 / norm) / passes
        step = step + 0.1 * decay * before[layer][index]
        want = before[layer][index] - 0.02 * lr * step
        np.testing.assert_allclose(made.params[layer][index], want, atol=2e-6)
    np.testing.assert_array_equal(made.params["one"][0], made.params["two"][0])
