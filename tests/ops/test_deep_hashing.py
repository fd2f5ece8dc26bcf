"""The deep hashing network's losses against their sums, item by item."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("threshold", (-1.0, 0.5))
def test_pairwise_loss_of_one_batch(threshold: float) -> None:
    x, label = RNG.normal(size=(4, 3)), np.eye(3)[[0, 1, 0, 2]]
    total = 0.0
    for i in range(4):
        for j in range(4):
            p, like = x[i] @ x[j], float(label[i] @ label[j] > 0)
            if 0 <= threshold <= p:
                total += p * (1 - like)
            else:
                total += math.log(1 + math.exp(p)) - like * p
    close(run("PairwiseLoss", f"pairwise_param {{ threshold: {threshold} }}", x, label), total / 16)


def test_quantization_loss() -> None:
    x = RNG.normal(size=(3, 4)) * 3
    each = [math.log(math.cosh(abs(v) - 1)) for v in x.flat]
    close(run("QuantizationLoss", "", x), sum(each) / 12)
    each = [
        abs(v) - 1 - math.log(2) if abs(v) - 1 > 2 else e for v, e in zip(x.flat, each, strict=True)
    ]
    close(run("QuantizationLoss", "quantization_param { threshold: 2 }", x), sum(each) / 12)


def test_the_gradient_of_quantization_is_divided_by_items_alone() -> None:
    text = 'input: "x" input_shape { dim: [2, 3] }\n'
    text += 'layer { name: "l" type: "QuantizationLoss" bottom: "x" top: "y" loss_weight: 0.5 }'
    x = np.array([[0.5, -2, 1], [3, -0.25, 0]], np.float32)
    found = netc.compile(text=text, phase="TRAIN").gradients({"x": x}).blobs["x"]
    close(found, [[0.25 * math.copysign(1, v) * math.tanh(abs(v) - 1) for v in row] for row in x])


def test_pairwise_loss_takes_two_bottoms_or_four() -> None:
    with pytest.raises(NetcError, match="bottoms"):
        run("PairwiseLoss", "", *[np.ones((2, 2))] * 3)
