from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops.catalog import CATALOG
from netc.ops.elementwise import AXPY, ELTWISE
from netc.ops.scale_bias import BIAS, SCALE
from tests.ops.cases import (
    bind_layer,
    cases_of,
    check_case,
    complaint,
    context_of,
    load_case,
    misfit,
    random_array,
    run_layer,
)

MESSAGES = {"Eltwise": "eltwise_param", "Scale": "scale_param", "Bias": "bias_param"}


def text_of(op, text: str = "", bottoms: int = 1) -> str:
    inputs = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    return f'name: "a" type: "{op.name}" {inputs} top: "y" {MESSAGES[op.name]} {{ {text} }}'


def forward(op, text: str, inputs, *weights):
    (y,) = run_layer(op, bind_layer(text_of(op, text, len(inputs))), inputs, weights)
    return y


@pytest.mark.parametrize("name", cases_of("Eltwise", "Scale", "Bias"))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


@settings(max_examples=40, deadline=None)
@given(
    shape=array_shapes(min_dims=0, max_dims=4, max_side=4),
    bottoms=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_eltwise_combines_any_number_of_bottoms(shape, bottoms, seed) -> None:
    inputs = [random_array(*shape, seed=seed + i) for i in range(bottoms)]
    stacked = np.stack(inputs)
    for operation, wanted in (("PROD", np.prod), ("SUM", np.sum), ("MAX", np.max)):
        y = forward(ELTWISE, f"operation: {operation}", inputs)
        np.testing.assert_allclose(y, wanted(stacked, axis=0), rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(coeff=st.lists(st.floats(-2, 2, width=16), min_size=2, max_size=4))
def test_a_sum_takes_coefficients(coeff) -> None:
    inputs = [random_array(3, 2, seed=i) for i in range(len(coeff))]
    text = " ".join(f"coeff: {c}" for c in coeff)
    wanted = sum(c * x for c, x in zip(coeff, inputs, strict=True))
    np.testing.assert_allclose(forward(ELTWISE, text, inputs), wanted, atol=1e-5)


def test_a_maximum_passes_over_a_nan_that_comes_later() -> None:
    inputs = [np.float32(v).reshape(1) for v in (1, np.nan, 2)]
    assert np.isnan(forward(ELTWISE, "operation: MAX", inputs[:2])).all()
    assert forward(ELTWISE, "operation: MAX", [inputs[1], inputs[0]]) == 1
    assert forward(ELTWISE, "operation: MAX", [inputs[0], inputs[2], inputs[1]]) == 2


def test_eltwise_does_not_broadcast() -> None:
    error = misfit(ELTWISE, text_of(ELTWISE, "", 2), (2, 3), (2, 1))
    assert "bottom 0 is 2x3 and bottom 1 is 2x1" in error.message
    assert "Scale" in error.help[0]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("operation: PROD coeff: 1 coeff: 2", "conflicting-fields", "2"),
        ("coeff: 1", "value-count", "1"),
        ("operation: MAX coeff: 1 coeff: 2 coeff: 3", "value-count", "3"),
    ],
)
def test_coefficients_that_do_not_fit(text: str, code: str, place: str) -> None:
    found = complaint(ELTWISE, text_of(ELTWISE, text, 2))
    assert (found.code, found.span.text) == (code, place)


@pytest.mark.parametrize(("text", "macs", "operations"), [("", 0, 6), ("coeff: 2 coeff: 1", 0, 12)])
def test_eltwise_cost(text: str, macs: int, operations: int) -> None:
    params = ELTWISE.params(bind_layer(text_of(ELTWISE, text, 2)), context_of_bottoms(2))
    assert ELTWISE.cost(params, [(2, 3)] * 2, [(2, 3)]) == (macs, operations)


def context_of_bottoms(bottoms: int):
    return context_of(bind_layer(text_of(ELTWISE, "", bottoms)))


operands = st.tuples(
    array_shapes(min_dims=1, max_dims=5, max_side=4), st.integers(0, 4), st.integers(-1, 4)
)


def naive(x, operand, start, combine):
    y = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        y[index] = combine(x[index], operand[index[start : start + operand.ndim]])
    return y


def clipped(shape, axis, num_axes):
    """An axis and a number of axes that fit the shape, and the operand's shape."""
    axis %= len(shape)
    num_axes = min(num_axes, len(shape) - axis)
    return axis, num_axes, shape[axis:] if num_axes == -1 else shape[axis : axis + num_axes]


@settings(max_examples=80, deadline=None)
@given(operands, st.booleans(), st.booleans(), st.integers(0, 99))
def test_scale_and_bias_of_their_own(chosen, biased, negative, seed) -> None:
    shape = chosen[0]
    axis, num_axes, own = clipped(*chosen)
    x, factor, summand = (random_array(*s, seed=seed + i) for i, s in enumerate((shape, own, own)))
    at = f"axis: {axis - len(shape) if negative else axis} num_axes: {num_axes}"
    scaled = naive(x, factor, axis, lambda a, b: a * b)
    if biased:
        y = forward(SCALE, f"{at} bias_term: true", [x], factor, summand)
        scaled = naive(scaled, summand, axis, lambda a, b: a + b)
    else:
        y = forward(SCALE, at, [x], factor)
    np.testing.assert_allclose(y, scaled, rtol=1e-6)
    np.testing.assert_allclose(
        forward(BIAS, at, [x], summand), naive(x, summand, axis, lambda a, b: a + b), rtol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(operands, st.booleans(), st.integers(0, 99))
def test_scale_and_bias_by_a_bottom(chosen, biased, seed) -> None:
    shape = chosen[0]
    axis, _, own = clipped(*chosen)
    x, factor, summand = (random_array(*s, seed=seed + i) for i, s in enumerate((shape, own, own)))
    scaled = naive(x, factor, axis, lambda a, b: a * b)
    at = f"axis: {axis} num_axes: -7"  # which Caffe does not look at beside a second bottom
    weights = (summand,) if biased else ()
    if biased:
        scaled = naive(scaled, summand, axis, lambda a, b: a + b)
    text = f"{at} bias_term: {str(biased).lower()}"
    np.testing.assert_allclose(forward(SCALE, text, [x, factor], *weights), scaled, rtol=1e-6)
    np.testing.assert_allclose(
        forward(BIAS, at, [x, summand]), naive(x, summand, axis, lambda a, b: a + b), rtol=1e-6
    )


def test_a_scalar_goes_with_any_axis() -> None:
    x = random_array(2, 3)
    two = np.float32(2).reshape(())
    np.testing.assert_array_equal(forward(SCALE, "axis: 9", [x, two]), 2 * x)


def test_fillers() -> None:
    layer = bind_layer(text_of(SCALE, "bias_term: true bias_filler { value: 3 }"))
    factor, summand = SCALE.weights(SCALE.params(layer, context_of(layer)), [(2, 4)])
    assert (factor.filler.value, summand.filler.value) == (1, 3)
    layer = bind_layer(text_of(SCALE, "filler { }"))
    (factor,) = SCALE.weights(SCALE.params(layer, context_of(layer)), [(2, 4)])
    assert factor.filler.value == 0  # as written: constant, of the value that is default


@pytest.mark.parametrize("op", [SCALE, BIAS])
@pytest.mark.parametrize(
    ("text", "shapes", "field", "wanted"),
    [
        ("axis: 4", [(2, 3)], "axis", "`axis` 4 is out of range for the 2 axes of 2x3"),
        ("axis: -3", [(2, 3)], "axis", "`axis` -3 is out of range for the 2 axes of 2x3"),
        ("num_axes: 2", [(2, 3)], "num_axes", "`axis` 1 and `num_axes` 2 reach past the 2 axes"),
        ("", [(2, 3), (2,)], "axis", "bottom 1 is 2, and from axis 1 on bottom 0, 2x3, has 3"),
        ("", [(2, 3), (3, 1)], "axis", "bottom 1 is 3x1, and from axis 1 on bottom 0, 2x3, has 3"),
        ("axis: 2", [(2, 3), (2,)], "axis", "`axis` 2 is out of range for the 2 axes of 2x3"),
    ],
)
def test_operands_that_do_not_fit(op, text, shapes, field, wanted) -> None:
    error = misfit(op, text_of(op, text, len(shapes)), *shapes)
    assert wanted in error.message
    assert error.field == f"{MESSAGES[op.name]}.{field}"
    assert error.help


@pytest.mark.parametrize("op", [SCALE, BIAS])
def test_num_axes_is_a_number_or_minus_1(op) -> None:
    found = complaint(op, text_of(op, "num_axes: -2"))
    assert (found.code, found.span.text) == ("out-of-range", "-2")


def test_an_unknown_filler_is_pointed_at() -> None:
    found = complaint(SCALE, text_of(SCALE, 'filler { type: "xavir" }'))
    assert (found.code, found.span.text) == ("unknown-filler", '"xavir"')


@settings(max_examples=30, deadline=None)
@given(shape=array_shapes(min_dims=2, max_dims=5, max_side=3), flat=st.booleans())
def test_axpy_weighs_channels_and_adds(shape, flat) -> None:
    factor = random_array(*shape[:2], *(1,) * (0 if flat else len(shape) - 2))
    x, y = random_array(*shape, seed=1), random_array(*shape, seed=2)
    layer = bind_layer('name: "a" type: "Axpy" bottom: "a" bottom: "x" bottom: "y" top: "z"')
    (z,) = run_layer(AXPY, layer, [factor, x, y], [])
    for index in np.ndindex(*shape):
        wanted = factor[index[:2]].reshape(()) * x[index] + y[index]
        assert z[index] == pytest.approx(wanted, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ([(1, 2, 1, 1), (1, 2, 3, 3), (1, 2, 3, 4)], "they are 1x2x3x3 and 1x2x3x4"),
        ([(1, 2, 3, 3), (1, 2, 3, 3), (1, 2, 3, 3)], "it is 1x2x3x3"),
        ([(1, 3, 1, 1), (1, 2, 3, 3), (1, 2, 3, 3)], "each of the 1x2 channels"),
    ],
)
def test_axpy_that_does_not_fit(shapes, wanted: str) -> None:
    text = 'name: "a" type: "Axpy" bottom: "a" bottom: "x" bottom: "y" top: "z"'
    assert wanted in misfit(AXPY, text, *shapes).message


def test_one_bottom_may_be_weighted() -> None:
    x = random_array(2, 3)
    np.testing.assert_allclose(forward(ELTWISE, "coeff: 0.05", [x]), 0.05 * x, rtol=1e-6)


@pytest.mark.parametrize("text", ["", "operation: PROD", "operation: MAX coeff: 2"])
def test_one_bottom_is_mostly_one_forgotten(text: str) -> None:
    found = complaint(ELTWISE, text_of(ELTWISE, text))
    assert found.code == "bottom-count"
    assert found.message == "Eltwise takes at least 2 bottoms, and there are 1"


def test_max_does_not_look_at_its_coefficients() -> None:
    inputs = [random_array(3, 2, seed=i) for i in range(2)]
    y = forward(ELTWISE, "operation: MAX coeff: -1 coeff: 2", inputs)
    np.testing.assert_array_equal(y, np.maximum(*inputs))
