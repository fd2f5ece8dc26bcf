"""The loss of pycaffe's example, which is written in Python there."""

from __future__ import annotations

import numpy as np
import pytest

import netc

TEXT = """
input: "a" input_shape {{ dim: 4 dim: 3 }} input: "b" input_shape {{ dim: 4 dim: {} }}
layer {{ name: "loss" type: "Python" bottom: "a" bottom: "b" top: "loss" loss_weight: 3
  python_param {{ module: "pyloss" layer: "EuclideanLossLayer" }} }}
"""
A, B = (np.random.default_rng(n).standard_normal((4, 3), np.float32) for n in (0, 1))


def test_loss_and_gradients_that_know_no_loss_weight() -> None:
    net = netc.compile(text=TEXT.format(3), phase="TRAIN", backend="reference")
    loss = net(a=A, b=B)["loss"]
    assert loss.shape == (1,)
    np.testing.assert_allclose(loss[0], ((A - B) ** 2).sum() / 8, rtol=1e-6)
    found = net.gradients({"a": A, "b": B}).blobs
    np.testing.assert_allclose(found["a"], (A - B) / 4, rtol=1e-6)
    np.testing.assert_allclose(found["b"], (B - A) / 4, rtol=1e-6)


def test_bottoms_of_two_shapes_are_refused() -> None:
    with pytest.raises(netc.NetcError, match="4x3 and 4x2"):
        netc.compile(text=TEXT.format(2))
