"""Adam's correction, which takes powers in double up to the end (adam_solver.cpp, line 37)."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from netc.ops.update_rules import UpdateRule, step
from netc.solver.solver import Solver

# The gradient of the weight and of the bias is 1 in each iteration.
NET = """
layer { name: "x" type: "DummyData" top: "x"
        dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" loss_weight: 1
        inner_product_param { num_output: 1 } }
"""
BETA1, BETA2 = (Decimal(float(np.float32(beta))) for beta in (0.9, 0.999))


def exact(steps: int) -> float:
    """The sum of Adam's steps at rate 1 without delta, from the moments without rounding."""
    first, second, total = Decimal(0), Decimal(0), Decimal(0)
    for t in range(1, steps + 1):
        first = BETA1 * first + (1 - BETA1)
        second = BETA2 * second + (1 - BETA2)
        correction = (1 - BETA2**t).sqrt() / (1 - BETA1**t)
        total += correction * first / second.sqrt()
    return float(total)


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "AMSGrad"])
@pytest.mark.parametrize("t", [1, 2, 3, 5, 20, 1000])
def test_the_correction(kind: str, t: int) -> None:
    rule = UpdateRule(kind, 0.9, 0.999, delta=0.0)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    moved = step(rule, one, (zero,) * rule.histories, np.float32(1), t - 1)
    first, second = float(one[0] - np.float32(0.9)), float(one[0] - np.float32(0.999))
    want = float((1 - BETA2**t).sqrt() / (1 - BETA1**t)) * first / np.sqrt(second)
    assert float(moved.value[0]) == pytest.approx(want, rel=3e-7)  # rounded to float32: 3e-6


@pytest.mark.parametrize("kind", ["Adam", "AMSGrad"])
@pytest.mark.parametrize("steps", [2, 3, 6])
def test_the_first_iterations(kind: str, steps: int, backend: str) -> None:
    text = f"""net_param {{ {NET} }} type: "{kind}" base_lr: 1 lr_policy: "fixed" max_iter: 9
    momentum: 0.9 momentum2: 0.999 delta: 1e-30 snapshot_after_train: false"""
    solver = Solver(text, backend=backend)
    before = [array.copy() for array in solver.params["ip"]]
    solver.step(steps)
    for old, new in zip(before, solver.params["ip"], strict=True):
        assert float((old - new).item()) == pytest.approx(exact(steps), rel=4e-7)
