from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.steps import elementwise as el
from netc.backends.cpu.steps.epilogue import KINDS, Activation
from tests.backends.cpu.arena import close

SHAPE = (2, 37, 3, 5)


def values(count, shape=SHAPE, scale=2.0):
    rng = np.random.default_rng(5)
    return [(scale * rng.standard_normal(shape)).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("gap", [0, 3])
def test_sum_with_coefficients_and_relu(bench, gap):
    x, y, z = values(3)
    vx, vy, vz = (bench.value(a, gap) for a in (x, y, z))
    out = bench.view(*SHAPE, gap=gap)
    chain = [el.add(vy, -0.5), el.add(vz), el.activate(Activation("relu"))]
    close(
        bench.run(el.chain_step("e", vx, out, chain), outputs=[out])[0],
        np.maximum(x - 0.5 * y + z, 0),
    )


def test_scale_bias_and_slopes_of_each_channel(bench):
    (x,) = values(1)
    a, b, s = (np.random.default_rng(i).standard_normal(37).astype(np.float32) for i in range(3))
    v = bench.value(x)
    chain = [el.scale(a), el.bias(b), el.activate(Activation("prelu", slopes=s))]
    z = x * a[:, None, None] + b[:, None, None]
    got = bench.run(el.chain_step("e", v, v, chain), outputs=[v])[0]
    close(got, np.where(z > 0, z, z * s[:, None, None]))


@pytest.mark.parametrize("gap", [0, 3])
def test_products_quotients_and_extremes(bench, gap):
    x, y, z, w = values(4)
    y = np.abs(y) + 1
    vx, vy, vz, vw = (bench.value(a, gap) for a in (x, y, z, w))
    out = bench.view(*SHAPE, gap=gap)
    chain = [el.multiply(vz), el.divide(vy), el.maximum(vw), el.minimum(vy), el.affine(3, -1)]
    expected = 3 * np.minimum(np.maximum(x * z / y, w), y) - 1
    close(bench.run(el.chain_step("e", vx, out, chain), outputs=[out])[0], expected)


FUNCTIONS = {
    "absolute": (el.ABSOLUTE, np.abs),
    "square": (el.SQUARE, np.square),
    "root": (el.ROOT, lambda x: np.sqrt(np.where(x < 0, np.nan, x))),
    "exponential": (el.EXPONENTIAL, np.exp),
    "threshold": (el.threshold(0.25), lambda x: (x > 0.25).astype(np.float32)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(bench, name):
    operation, expected = FUNCTIONS[name]
    (x,) = values(1)
    v, out = bench.value(x), bench.view(*SHAPE)
    (got,) = bench.run(el.chain_step("e", v, out, [operation]), outputs=[out])
    np.testing.assert_allclose(got, expected(x), rtol=1e-6)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "prelu"])
def test_activations_at_the_ends_of_the_range(bench, kind):
    x = np.array([0.0, -0.0, 1e-30, -1e-30, 88, -88, 120, -120, np.inf, -np.inf], np.float32)
    x = x.reshape(1, 10, 1, 1)
    v, out = bench.value(x), bench.view(1, 10, 1, 1)
    step = el.chain_step("e", v, out, [el.activate(Activation(kind, 0.5, 6.0))])
    got = bench.run(step, outputs=[out])[0]
    double = x.astype(np.float64)
    with np.errstate(all="ignore"):
        expected = {
            "none": double,
            "relu": np.maximum(double, 0) + 0 * np.minimum(double, 0),  # nan of minus infinity
            "relu6": np.minimum(np.maximum(double, 0) + 0 * np.minimum(double, 0), 0.5),
            "leaky": np.where(double > 0, double, 0.5 * double),
            "clip": np.clip(double, 0.5, 6),
            "elu": np.where(double > 0, double, 0.5 * np.expm1(double)),
            "sigmoid": 1 / (1 + np.exp(-double)),
            "tanh": np.tanh(double),
            "swish": double / (1 + np.exp(-0.5 * double)),
        }[kind]
    if kind == "swish":  # minus infinity times zero
        got, expected = got[:, :9], expected[:, :9]
    np.testing.assert_allclose(got, expected, rtol=3e-7, atol=1e-7)


def test_exponential_is_accurate_over_its_range(bench):
    x = np.linspace(-103, 88.7, 9973, dtype=np.float32).reshape(1, 9973, 1, 1)
    v, out = bench.value(x), bench.view(*x.shape)
    (got,) = bench.run(el.chain_step("e", v, out, [el.EXPONENTIAL]), outputs=[out])
    np.testing.assert_allclose(got, np.exp(x.astype(np.float64)), rtol=3e-7, atol=1.5e-45)


def test_relu_keeps_what_is_not_a_number(bench):
    x = np.full((1, 3, 1, 1), np.nan, np.float32)
    v, out = bench.value(x), bench.view(1, 3, 1, 1)
    step = el.chain_step("e", v, out, [el.activate(Activation("relu"))])
    assert np.isnan(bench.run(step, outputs=[out])[0]).all()
