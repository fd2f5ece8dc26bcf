"""The losses of PL4NN against loops over pixels, and their gradients against differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc

TEXT = """
input: "x" input_shape {{ dim: {shape} }} input: "y" input_shape {{ dim: {shape} }}
layer {{ name: "loss" type: "Python" bottom: "x" bottom: "y" top: "loss" loss_weight: {weight}
  python_param {{ module: "{module}" layer: "{layer}" param_str: '{given}' }} }}
"""
SHAPE = (2, 3, 5, 5)
X, Y = (np.random.default_rng(n).random(SHAPE, np.float32) for n in (0, 1))
LAYERS = [
    ("L1", "", (), None, "L1"),
    ("L2", "", (), None, "L2"),
    ("SSIM", '{"C1": 0.02,"C2": 0.03, "sigma": 5.}', (5.0,), 1, ""),
    ("MSSSIM", '{"C1": 0.02, "sigma": (0.5, 1., 2.)}', (0.5, 1.0, 2.0), 1, ""),
    ("MSSSIML1", '{"C1": 0.02, "sigma": (1., 3.)}', (1.0, 3.0), 0.025, "L1"),
    ("MSSSIML2", '{"C1": 0.02, "sigma": (1., 3.), "alpha": 0.7}', (1.0, 3.0), 0.7, "L2"),
]


def text_of(layer: str, given: str, shape=SHAPE, module: str = "pyloss", weight: float = 1):
    return TEXT.format(shape=list(shape), layer=layer, given=given, module=module, weight=weight)


def one_picture(x, y, sigmas, alpha: float, plain: str) -> float:
    """The loss of one channel of one picture, pixel by pixel."""
    size, c1, c2, product, light, apart = len(x), 0.02**2, 0.03**2, 1.0, 0.0, 0.0
    places = [(i, j) for i in range(size) for j in range(size)]
    for sigma in sigmas:
        away = {(i, j): (i - size // 2) ** 2 + (j - size // 2) ** 2 for i, j in places}
        w = {place: math.exp(-far / (2 * sigma * sigma)) for place, far in away.items()}
        total = sum(w.values())
        mx = sum(w[p] * x[p] for p in places) / total
        my = sum(w[p] * y[p] for p in places) / total
        vx = sum(w[p] * (x[p] - mx) ** 2 for p in places) / total
        vy = sum(w[p] * (y[p] - my) ** 2 for p in places) / total
        both = sum(w[p] * (x[p] - mx) * (y[p] - my) for p in places) / total
        light = (2 * mx * my + c1) / (mx * mx + my * my + c1)
        product *= (2 * both + c2) / (vx + vy + c2)
        apart = sum(w[p] * distance(x[p] - y[p], plain) for p in places) / total
    return alpha * (1 - light * product) + (1 - alpha) * apart


def distance(apart: float, plain: str) -> float:
    return abs(apart) if plain == "L1" else apart * apart / 2


def wanted(x, y, sigmas, alpha, plain) -> float:
    if alpha is None:
        return sum(distance(a - b, plain) for a, b in zip(x.flat, y.flat, strict=True)) / x.size
    pictures = [
        one_picture(x[n, c], y[n, c], sigmas, alpha, plain) for n in range(2) for c in range(3)
    ]
    return sum(pictures) / 6


@pytest.mark.parametrize(("layer", "given", "sigmas", "alpha", "plain"), LAYERS)
def test_losses_and_gradients(layer, given, sigmas, alpha, plain) -> None:
    net = netc.compile(text=text_of(layer, given, weight=3), phase="TRAIN", backend="reference")
    loss, x, y = net(x=X, y=Y)["loss"], X.astype(np.float64), Y.astype(np.float64)
    assert loss.shape == (1,)
    np.testing.assert_allclose(loss[0], wanted(x, y, sigmas, alpha, plain), rtol=1e-5)
    found = net.gradients({"x": X, "y": Y}).blobs
    for place in ((0, 0, 2, 2), (1, 2, 0, 4), (0, 1, 3, 1)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[place] += step
            ends.append(wanted(moved, y, sigmas, alpha, plain))
        slope = (ends[0] - ends[1]) / 2e-5  # the loss weight of 3 does not count
        np.testing.assert_allclose(found["x"][place], slope, rtol=1e-4, atol=1e-8)
    back = -found["x"] if alpha is None else np.zeros(SHAPE)
    np.testing.assert_array_equal(found["y"], back)


def test_the_original_module_and_what_is_usual() -> None:
    other = netc.compile(text=text_of("MSSSIML1", "{}", module="loss"), backend="reference")
    said = '{"C1": 0.01, "C2": 0.03, "sigma": (0.5, 1., 2., 4., 8.), "alpha": 0.025}'
    same = netc.compile(text=text_of("MSSSIML1", said), backend="reference")
    np.testing.assert_array_equal(other(x=X, y=Y)["loss"], same(x=X, y=Y)["loss"])


@pytest.mark.parametrize(
    ("layer", "given", "shape", "told"),
    [
        ("SSIM", "{}", (2, 3, 4, 4), "square pictures of odd width, they are 2x3x4x4"),
        ("MSSSIML2", "{}", (2, 3, 5, 7), "they are 2x3x5x7"),
        ("MSSSIM", "{}", (2, 1, 5, 5), "3 channels, they are 2x1x5x5"),
        ("SSIM", '{"sigma": 0.}', SHAPE, "`sigma` above 0"),
        ("SSIM", "", SHAPE, "takes a dict"),
        ("SSIM", '{"sigma": (1., 2.)}', SHAPE, "takes `c1`"),
        ("MSSSIM", '{"scale": 2}', SHAPE, "takes `c1`"),
    ],
)
def test_what_the_project_cannot_compute_is_refused(layer, given, shape, told) -> None:
    with pytest.raises(netc.NetcError, match=told) as caught:
        netc.compile(text=text_of(layer, given, shape))
    assert caught.value.diagnostics[0].span is not None


def test_one_channel_is_fine_where_the_gaussians_follow_the_bottom() -> None:
    text = text_of("MSSSIML1", "{}", (1, 1, 3, 3))
    assert netc.compile(text=text, backend="reference").outputs["loss"] == (1,)
