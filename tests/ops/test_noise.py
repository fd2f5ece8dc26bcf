"""Noise: its statistics, its gradient, and that nothing is added outside of training."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError

TEXT = """
input: "x" input_shape {{ dim: 40 dim: 50 dim: 25 }} input: "t" input_shape {{ dim: 40 dim: 1250 }}
layer {{ name: "n" type: "Noise" bottom: "x" top: "n" noise_param {{ {} }} }}
layer {{ name: "f" type: "Flatten" bottom: "n" top: "f" }}
layer {{ name: "l" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "l" }}
"""
X = np.random.default_rng(0).normal(3, 1, (40, 50, 25)).astype(np.float32)
T = np.zeros((40, 1250), np.float32)


def added(fields: str, phase: str = "TRAIN") -> np.ndarray:
    text = (
        TEXT.format(fields)
        .split('layer { name: "f"')[0]
        .replace('input: "t" input_shape { dim: 40 dim: 1250 }', "")
    )
    return netc.compile(text=text, phase=phase, backend="reference")(x=X)["n"] - X


def test_gaussian_noise_is_in_parts_of_the_root_mean_square() -> None:
    found = added("gaussian_std: 0.1 bias: 0.5")
    scale = 0.1 * np.sqrt((X.astype(np.float64) ** 2).mean())
    assert abs(found.mean() - 0.5) < 5 * scale / np.sqrt(X.size)
    assert abs(found.std() / scale - 1) < 0.02
    inside = (np.abs(found - 0.5) < scale).mean()
    assert abs(inside - 0.6827) < 0.01  # of a normal distribution


def test_even_noise_lies_in_its_range() -> None:
    found = added("uniform_range: 0.25 bias: -1")
    assert -1.2501 < found.min() < -1.24 and -0.76 < found.max() < -0.7499
    assert abs(found.std() - 0.5 / np.sqrt(12)) < 0.002


@pytest.mark.parametrize("fields", ["gaussian_std: 0.1", "uniform_range: 1 bias: 4", ""])
def test_nothing_is_added_outside_of_training(fields: str) -> None:
    assert not added(fields, "TEST").any()


def test_the_gradient_is_passed_on() -> None:
    net = netc.compile(text=TEXT.format("gaussian_std: 0.1"), phase="TRAIN", backend="reference")
    found = net.gradients({"x": X, "t": T}).blobs["x"]
    wanted = (X + added("gaussian_std: 0.1")) / 40
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_deviation_below_nothing() -> None:
    with pytest.raises(NetcError, match="at least 0"):
        added("gaussian_std: -1")
