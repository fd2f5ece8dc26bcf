"""Infinities, what is no number, zeros of either sign and denormals, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.backends import reference
from netc.backends.cpu import backend
from netc.diagnostics import Source
from tests.backends.cpu.test_layers import UNARY, layer, text_of
from tests.bounds import error_bounds, within
from tests.machines import HERE, runnable

SPECIALS = np.float32(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1.5, -1.5, 30, -30, 150, -150]
)
FACTORS = np.float32([0, 1, 0.5, -2, 3])  # a PReLU may have learnt to be a ReLU
MACHINES = st.sampled_from(HERE or ("plain 256K",)).map(runnable)
MORE = {
    "Log": ["", "log_param { base: 10 scale: 2 shift: 1 }"],
    "Power": ["power_param { power: 0.5 }", "power_param { power: -0.75 scale: -1 }"],
    "ReLU6": ["", "relu6_param { negative_slope: 0.2 }"],
    "Softmax": [""],
    "LRN": ["", "lrn_param { beta: 0.6 }", "lrn_param { norm_region: WITHIN_CHANNEL beta: 0.5 }"],
    "Pooling": [
        "pooling_param { kernel_size: 3 pad: 1 }",
        "pooling_param { kernel_size: 2 stride: 2 pool: AVE }",
    ],
}
CASES = [(kind, p) for table in (UNARY, MORE) for kind, all in table.items() for p in all]
ACTIVATIONS = ["ReLU", "PReLU", "ELU", "Clip", "Sigmoid", "TanH", "Swish", "AbsVal", "BNLL"]


def specials(shape, seed=0):
    size = int(np.prod(shape))
    return np.random.default_rng(seed).permutation(np.resize(SPECIALS, size)).reshape(shape)


def agree(target, shapes, layers, weights=None, seed=0):
    """The same elements are nan, the same infinite, and all others close."""
    source = Source("net", text_of(shapes, layers))
    feeds = {name: specials(shape, seed) for name, shape in shapes.items()}
    plain = netc.compile(source, backend="reference")
    filled = {
        name: [np.resize(FACTORS, a.shape) for a in arrays] for name, arrays in plain.params.items()
    }
    filled |= weights or {}
    with np.errstate(all="ignore"):
        graph = netc.compile(source, filled, backend="reference").graph
        want, bounds = reference.run(graph, feeds), error_bounds(graph, feeds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: target)
        got = netc.compile(source, filled, threads=1)(feeds)
    for name, array in want.items():
        within(got[name], array, bounds[name] + 1e-7, name)


@pytest.mark.parametrize("kind, params", CASES)
def test_a_layer(target, kind, params):
    agree(target, {"x": (2, 19, 3, 5)}, [layer(kind, "x", "y", params)])


@settings(max_examples=30, deadline=None)
@given(target=MACHINES, data=st.data(), seed=st.integers(0, 99), count=st.integers(1, 3))
def test_chains(target, data, seed, count):
    layers, at = [], "x"
    for i in range(count):
        kind, params = data.draw(st.sampled_from([c for c in CASES if c[0] in UNARY]))
        layers.append(layer(kind, at, f"y{i}", params))
        at = f"y{i}"
    shape = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40)), 3, 2)
    agree(target, {"x": shape}, layers, seed=seed)


PRODUCTS = {
    "convolution": ((2, 1, 3, 5), "Convolution", "convolution_param {{ num_output: {} {} }}"),
    "depthwise": ((2, 19, 3, 5), "Convolution", "convolution_param {{ num_output: {} {} }}"),
    "deconvolution": ((2, 1, 3, 5), "Deconvolution", "convolution_param {{ num_output: {} {} }}"),
    "inner product": ((40, 1), "InnerProduct", "inner_product_param {{ num_output: {} }}"),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_endings_of_products(target, product, activation):
    """Of one input and the weight 1, so that the sums are the inputs."""
    shape, kind, params = PRODUCTS[product]
    group = "kernel_size: 1 group: 19" if product == "depthwise" else "kernel_size: 1"
    one = [np.ones((19, 1), np.float32), np.zeros(19, np.float32)]
    if kind != "InnerProduct":
        one[0] = one[0].reshape((1, 19, 1, 1) if kind == "Deconvolution" else (19, 1, 1, 1))
    layers = [
        layer(kind, "x", "p", params.format(19, group)),
        layer(activation, "p", "y", UNARY[activation][0]),
    ]
    agree(target, {"x": shape}, layers, {"l_p": one})


@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX"])
def test_eltwise(target, operation):
    shapes = dict.fromkeys(["a", "b", "c"], (1, 19, 4, 13))
    params = f"eltwise_param {{ operation: {operation} }}"
    layers = [layer("Eltwise", "a b c", "y", params), layer("ReLU", "y", "z")]
    agree(target, shapes, layers)


def test_relu_of_minus_infinity_is_what_caffe_computes():
    """max(x, 0) + 0 * min(x, 0), from relu_layer.cpp."""
    source = Source("net", text_of({"x": (1, 8)}, [layer("ReLU", "x", "y")]))
    x = np.float32([[-np.inf, np.inf, np.nan, -1, 2, 0, 1e-40, -1e-40]])
    for backend_name in ("cpu", "reference"):
        y = netc.compile(source, backend=backend_name)(x=x)["y"]
        np.testing.assert_array_equal(y, np.float32([[np.nan, np.inf, np.nan, 0, 2, 0, 1e-40, 0]]))
