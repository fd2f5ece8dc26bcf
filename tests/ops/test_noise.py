"""Noise: its statistics, its gradient, and that nothing is added outside of training."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, NetcWarning

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


def random_noise(fields: str, phase: str = "TRAIN", x: np.ndarray = X) -> np.ndarray:
    text = f'input: "x" input_shape {{ dim: {list(x.shape)} }} layer {{ name: "n" bottom: "x" '
    text += f'type: "RandomNoise" top: "n" random_noise_param {{ {fields} }} }}'
    found: np.ndarray = netc.compile(text=text, phase=phase, backend="reference")(x=x)["n"] - x
    return found


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_random_noise_has_its_mean_and_deviation_in_both_phases(phase: str) -> None:
    with pytest.warns(NetcWarning, match="takes 1 in the place of `sigma`"):
        found = random_noise("mu: -2 sigma: 0.25", phase)
    assert abs(found.mean() + 2) < 5 * 0.25 / np.sqrt(X.size) and abs(found.std() - 0.25) < 0.005
    assert abs((np.abs(found + 2) < 0.25).mean() - 0.6827) < 0.01


def test_random_noise_in_parts_of_each_element_or_of_their_mean() -> None:
    x = np.repeat(np.array([-4, 0, 1, 0.5], np.float32), 20000).reshape(4, -1)
    found = random_noise("adaptive_sigma: true adaptive_factor: 0.5 sigma: 7", x=x)
    for row, deviation in zip(found, (2, 0.5 * 1.375, 0.5, 0.25), strict=True):
        assert abs(row.std() / deviation - 1) < 0.03 and abs(row.mean()) < 0.05 * deviation
    with pytest.warns(NetcWarning, match="adds `mu`"):
        again = random_noise("adaptive_sigma: true adaptive_factor: 0.5 mu: 3", x=x)
    np.testing.assert_array_equal(again, found)


def test_random_noise_passes_its_gradient_on() -> None:
    text = TEXT.format("").replace('"Noise"', '"RandomNoise"').replace("noise_param {  }", "")
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    wanted = (X + random_noise("")) / 40
    found = net.gradients({"x": X, "t": T}).blobs["x"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fields", ["sigma: 0", "adaptive_sigma: true adaptive_factor: -1"])
def test_random_noise_needs_a_deviation(fields: str) -> None:
    with pytest.raises(NetcError, match="must be above 0"):
        random_noise(fields)
