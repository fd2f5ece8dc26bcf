from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops import rectifiers
from netc.ops.activation import ABSVAL, BNLL, CLIP, ELU, OPS, SIGMOID, SWISH, TANH
from netc.ops.activation import THRESHOLD as THRESHOLD_OP
from netc.ops.catalog import CATALOG
from netc.ops.rectifiers import PRELU, RELU, RELU6
from tests.ops.cases import (
    bind_layer,
    cases_of,
    check_case,
    complaint,
    load_case,
    misfit,
    random_array,
    run_layer,
)

TYPES = [op.name for op in (*rectifiers.OPS, *OPS)]
NAMES = cases_of(*(t for t in TYPES if t != "ReLU6"))


def layer(kind: str, text: str = ""):
    return bind_layer(f'name: "a" type: "{kind}" bottom: "x" top: "y" {text}')


def forward(op, text: str, x, *weights):
    (y,) = run_layer(op, layer(op.name, text), [np.asarray(x, np.float32)], weights)
    return y


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


FORMULAS = [
    (RELU, "", lambda x: max(x, 0.0)),
    (RELU, "relu_param { negative_slope: 0.1 }", lambda x: x if x > 0 else 0.1 * x),
    (RELU6, "", lambda x: min(max(x, 0.0), 6.0)),
    (RELU6, "relu6_param { negative_slope: 0.5 n: 1 }", lambda x: min(max(x, 0.5 * x), 1.0)),
    (ELU, "elu_param { alpha: 2 }", lambda x: x if x > 0 else 2 * math.expm1(x)),
    (SIGMOID, "", lambda x: 1 / (1 + math.exp(-x))),
    (TANH, "", math.tanh),
    (ABSVAL, "", abs),
    (BNLL, "", lambda x: math.log1p(math.exp(x))),
    (SWISH, "swish_param { beta: 2 }", lambda x: x / (1 + math.exp(-2 * x))),
    (CLIP, "clip_param { min: -1 max: 0.5 }", lambda x: min(max(x, -1.0), 0.5)),
    (THRESHOLD_OP, "threshold_param { threshold: 0.5 }", lambda x: float(x > 0.5)),
]


@pytest.mark.parametrize(("op", "text", "formula"), FORMULAS)
@settings(max_examples=20, deadline=None)
@given(shape=array_shapes(min_dims=1, max_dims=5, max_side=4), seed=st.integers(0, 999))
def test_equals_its_formula_element_by_element(op, text, formula, shape, seed) -> None:
    x = 3 * random_array(*shape, seed=seed)
    wanted = np.vectorize(formula, otypes=[np.float32])(x)
    np.testing.assert_allclose(forward(op, text, x), wanted, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("op", [SIGMOID, TANH, BNLL, ELU, SWISH])
def test_far_from_0_nothing_overflows(op) -> None:
    y = forward(op, "", [-1e30, -200, 200, 1e30])
    assert np.isfinite(y).all()
    assert y[2] == y[3] or op in (BNLL, ELU, SWISH)


def test_infinity_times_a_slope_of_0_is_nan_as_in_caffe() -> None:
    y = forward(RELU, "", [-np.inf, np.inf, np.nan])
    assert np.isnan(y[[0, 2]]).all()


def test_clip_turns_nan_into_the_lower_bound_and_lets_it_win() -> None:
    assert forward(CLIP, "clip_param { min: 1 max: -1 }", [np.nan, 5, -5]).tolist() == [1, 1, 1]


def test_threshold_must_be_exceeded() -> None:
    assert forward(THRESHOLD_OP, "threshold_param { threshold: 0.1 }", [0.1, 0.2]).tolist() == [
        0,
        1,
    ]


@settings(max_examples=30, deadline=None)
@given(
    shape=array_shapes(min_dims=2, max_dims=5, max_side=4),
    shared=st.booleans(),
    seed=st.integers(0, 999),
)
def test_prelu_has_a_slope_for_each_channel(shape, shared, seed) -> None:
    x = random_array(*shape, seed=seed)
    slopes = random_array(*(() if shared else (shape[1],)), seed=seed + 1)
    text = f"prelu_param {{ channel_shared: {str(shared).lower()} }}"
    y = forward(PRELU, text, x, slopes)
    for index in np.ndindex(*shape):
        slope = slopes if shared else slopes[index[1]]
        assert y[index] == pytest.approx(x[index] * (1 if x[index] > 0 else slope), rel=1e-6)


def test_prelu_slopes_begin_at_a_quarter() -> None:
    params = PRELU.params(layer("PReLU"), None)
    (spec,) = PRELU.weights(params, [(2, 3, 4)])
    assert (spec.shape, spec.filler.type, spec.filler.value) == ((3,), "constant", 0.25)


def test_prelu_takes_its_filler() -> None:
    written = layer("PReLU", 'prelu_param { filler { type: "constant" } }')
    (spec,) = PRELU.weights(PRELU.params(written, None), [(2, 3)])
    assert spec.filler.value == 0


def test_prelu_needs_channels() -> None:
    error = misfit(PRELU, 'name: "a" type: "PReLU" bottom: "x" top: "y"', (5,))
    assert error.message == "PReLU needs at least 2 axes, and the bottom is 5"


def test_clip_needs_its_message() -> None:
    found = complaint(CLIP, 'name: "a" type: "Clip" bottom: "x" top: "y"')
    assert found.code == "missing-field"
    assert found.span.text.strip('"') == "Clip"


@pytest.mark.parametrize(("text", "operations"), [("negative_slope: 0.1", 2), ("", 1)])
def test_cost_counts_the_slope(text: str, operations: int) -> None:
    params = RELU.params(layer("ReLU", f"relu_param {{ {text} }}"), None)
    assert RELU.cost(params, [(2, 3)], [(2, 3)]) == (0, 6 * operations)
