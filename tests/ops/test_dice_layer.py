"""V-Net's DiceLoss against loops over places."""

from __future__ import annotations

import numpy as np
import pytest

import netc

TEXT = """
input: "x" input_shape {{ dim: {0} }} input: "y" input_shape {{ dim: {1} }}
layer {{ name: "loss" type: "Python" bottom: "x" bottom: "y" top: "loss" loss_weight: 3
  python_param {{ module: "pyLayer" layer: "DiceLoss" }} }}
"""
RNG = np.random.default_rng(3)
P = RNG.random((3, 7)).astype(np.float32)
P[1, 2] = 0.5  # a tie is the first class
X, Y = np.stack([1 - P, P], axis=1), RNG.integers(0, 2, (3, 1, 7)).astype(np.float32)


def counts(p: np.ndarray, y: np.ndarray) -> tuple[int, int]:
    common = both = 0
    for chance, label in zip(p, y, strict=True):
        said, true = chance > 0.5, label > 0.5
        common += said and true
        both += int(said) + int(true)
    return common, both


def test_the_sum_of_coefficients_and_its_gradient_that_knows_no_loss_weight() -> None:
    text = TEXT.format([3, 2, 7], [3, 1, 7])
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    items = [counts(p, y[0]) for p, y in zip(P, Y, strict=True)]
    loss = net(x=X, y=Y)["loss"]
    assert loss.shape == (1,)
    np.testing.assert_allclose(loss[0], sum(2 * a / (b + 1e-5) for a, b in items), rtol=1e-6)
    found = net.gradients({"x": X, "y": Y}).blobs["x"]
    for i, (common, both) in enumerate(items):
        for j in range(7):
            slope = 2 * (Y[i, 0, j] * both - 2 * P[i, j] * common) / both**2
            np.testing.assert_allclose(found[i, :, j], [slope, -slope], rtol=1e-5)


def test_an_item_without_any_place() -> None:
    net = netc.compile(text=TEXT.format([1, 2, 2], [1, 1, 2]), phase="TRAIN", backend="reference")
    feeds = {"x": np.float32([[[0.9, 0.8], [0.1, 0.2]]]), "y": np.zeros((1, 1, 2), np.float32)}
    assert net(feeds)["loss"][0] == 0
    assert np.isnan(net.gradients(feeds).blobs["x"]).all()


@pytest.mark.parametrize("shapes", [([3, 3, 7], [3, 1, 7]), ([3, 2, 7], [3, 2, 7])])
def test_bottoms_that_are_not_two_classes_and_labels(shapes) -> None:
    with pytest.raises(netc.NetcError, match=r"items x 2 x places.*the bottoms are 3x"):
        netc.compile(text=TEXT.format(*shapes))
