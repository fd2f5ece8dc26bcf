"""Ristretto's layers against loops over elements."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, NetcWarning
from tests.ops.test_fork_parts import inputs_of

CONV = "ConvolutionRistretto", "convolution_param { num_output: 2 kernel_size: 2 }"
FC = "FcRistretto", "inner_product_param { num_output: 2 }"
EIGHT = "bw_layer_in: 8 fl_layer_in: 4 bw_params: 6 fl_params: 5 bw_layer_out: 7 fl_layer_out: 2"
RNG = np.random.default_rng(4)
X = (RNG.normal(size=(2, 3, 3, 3)) * 6).astype(np.float32)  # some beyond 8 bits
X[0, 0, 0, :2] = 0.03125, -0.03125  # halves of the last bit
WEIGHTS = {
    "ConvolutionRistretto": RNG.normal(size=(2, 3, 2, 2)).astype(np.float32),
    "FcRistretto": RNG.normal(size=(2, 27)).astype(np.float32),
}
BIAS = np.array([0.3, -9], np.float32)
pytestmark = pytest.mark.filterwarnings("ignore:.*cuts its bottom")


def fixed(x: float, bits: int, point: int) -> float:
    """The nearest number of so many bits, halves away from 0."""
    scaled = min(max(x * 2**point, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
    return math.copysign(math.floor(abs(scaled) + 0.5), scaled) / 2**point


def each(x: np.ndarray, bits: int, point: int) -> np.ndarray:
    return np.array([fixed(float(v), bits, point) for v in x.flat]).reshape(x.shape)


def product(kind: str, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    if kind == "FcRistretto":
        return np.array([[(row.ravel() * v).sum() + c for v, c in zip(w, b, strict=True)]
                         for row in x])  # fmt: skip
    y = np.zeros((2, 2, 2, 2))
    for n, o, i, j in np.ndindex(y.shape):
        y[n, o, i, j] = (x[n, :, i : i + 2, j : j + 2] * w[o]).sum() + b[o]
    return y


def compiled(layer, fields: str, phase: str = "TEST"):
    kind, own = layer
    text = inputs_of([X.shape]) + f'layer {{ name: "l" type: "{kind}" bottom: "x0" top: "y" {own} '
    text += f"quantization_param {{ {fields} }} }}"
    weights = {"l": [WEIGHTS[kind], BIAS]}
    return netc.compile(text=text, phase=phase, backend="reference", weights=weights)


@pytest.mark.parametrize("layer", [CONV, FC])
def test_test_computes_in_fixed_point(layer) -> None:
    found = compiled(layer, EIGHT)(x0=X)["y"]
    w, b = each(WEIGHTS[layer[0]], 6, 5), each(BIAS, 6, 5)
    assert b.tolist() == [0.3125, -1]  # cut to what 6 bits hold
    wanted = each(product(layer[0], each(X, 8, 4), w, b), 7, 2)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
    wide = compiled(layer, "")(x0=X)["y"]  # 32 bits, 16 of them behind the point
    np.testing.assert_allclose(wide, product(layer[0], X, WEIGHTS[layer[0]], BIAS), atol=1e-2)


@pytest.mark.parametrize("layer", [CONV, FC])
def test_train_cuts_weights_alone_and_by_chance(layer) -> None:
    one = np.eye(1, X[0].size, dtype=np.float32).reshape(1, *X.shape[1:]).repeat(2, 0) * 100.03125
    found = compiled(layer, EIGHT, "TRAIN")(x0=one)["y"]
    w = WEIGHTS[layer[0]].reshape(2, -1)[:, 0]
    for top, weight, bias in zip(found[0].reshape(2, -1)[:, 0], w, (None, -1), strict=True):
        low = np.clip(np.floor(float(weight) * 32) / 32, -1, 31 / 32)
        ends = {low, min(low + 1 / 32, 31 / 32)}
        biases = (bias,) if bias is not None else (0.28125, 0.3125)
        made = [float(np.float32(one[0, 0, 0, 0]) * np.float32(e) + np.float32(c))
                for e in ends for c in biases]  # fmt: skip
        assert min(abs(top - value) for value in made) < 1e-4


@pytest.mark.parametrize("layer", [CONV, FC])
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_gradients_take_cutting_for_the_identity(layer, phase: str) -> None:
    kind, net = layer[0], compiled(layer, EIGHT, phase)
    top = np.zeros(net(x0=X)["y"].shape, np.float32)
    top[1].reshape(2, -1)[:, -1] = 2, -3  # the last place of both channels
    found = net.gradients({"x0": X}, seeds={"y": top})
    read = each(X, 8, 4) if phase == "TEST" else X
    places = (slice(None), slice(1, 3), slice(1, 3)) if kind == CONV[0] else ...
    seen = read[1][places]
    for channel, slope in ((0, 2), (1, -3)):
        got = found.params["l"][0][channel]
        np.testing.assert_allclose(got, slope * seen.reshape(got.shape), rtol=1e-5)
    np.testing.assert_array_equal(found.params["l"][1], [2, -3])
    assert not found.blobs["x0"][0].any()
    w = each(WEIGHTS[kind], 6, 5)
    wanted = (2 * w[0] - 3 * w[1]).reshape(seen.shape)
    slack = 0 if phase == "TEST" else 5 / 32  # by chance up or down
    assert np.abs(found.blobs["x0"][1][places] - wanted).max() <= slack + 1e-5


def test_what_chance_decided_is_decided_again_in_the_backward_pass() -> None:
    text = inputs_of([(1, 50)]) + 'layer { name: "l" type: "FcRistretto" bottom: "x0" top: "y" '
    text += "inner_product_param { num_output: 1 bias_term: false } loss_weight: 1 "
    text += "quantization_param { fl_params: 2 } }"
    weights = {"l": [RNG.normal(size=(1, 50)).astype(np.float32)]}
    net = netc.compile(text=text, phase="TRAIN", backend="reference", weights=weights)
    found = net.gradients({"x0": np.ones((1, 50), np.float32)})
    np.testing.assert_allclose(found.outputs["y"][0, 0], found.blobs["x0"].sum(), rtol=1e-5)


def test_chance_is_right_in_the_mean() -> None:
    text = inputs_of([(100, 100)]) + 'layer { name: "l" type: "FcRistretto" bottom: "x0" top: "y" '
    text += "inner_product_param { num_output: 100 bias_term: false } quantization_param { "
    text += "rounding_scheme: STOCHASTIC bw_layer_in: 8 fl_layer_in: 2 fl_params: 0 } }"
    weights = {"l": [np.eye(100, dtype=np.float32)]}
    net = netc.compile(text=text, backend="reference", weights=weights)
    found = net(x0=np.full((100, 100), 0.3125, np.float32))["y"]
    assert set(np.unique(found)) == {0.25, 0.5}
    assert abs(found.mean() - 0.3125) < 0.005


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("precision: MINIFLOAT", "precision MINIFLOAT"),
        ("precision: INTEGER_POWER_OF_2_WEIGHTS", "precision INTEGER_POWER_OF_2_WEIGHTS"),
        ("bw_params: 0", "`bw_params` must lie within 1 and 64, it is 0"),
        ("fl_params: 101", "`fl_params` must lie within -100 and 100, it is 101"),
        ("fl_params: 1 fl_params: 2", "one `fl_params`, there are 2"),
    ],
)
def test_what_is_refused(fields: str, told: str) -> None:
    with pytest.raises(NetcError, match=told) as caught:
        compiled(CONV, fields)
    assert caught.value.diagnostics[0].span is not None


def test_the_bottom_that_others_read_is_told() -> None:
    with pytest.warns(NetcWarning, match="cuts its bottom for itself alone"):
        compiled(FC, EIGHT)
