from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.diagnostics import NetcError
from netc.ops.catalog import CATALOG
from netc.ops.define import POINTWISE
from netc.ops.reduction import ARGMAX, REDUCTION
from netc.ops.selection import BATCH_REINDEX, FILTER
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

MESSAGES = {"ArgMax": "argmax_param", "Reduction": "reduction_param"}


def text_of(op, text: str = "", bottoms: int = 1, tops: int = 1) -> str:
    inputs = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    outputs = " ".join(f'top: "y{i}"' for i in range(tops))
    message = f"{MESSAGES[op.name]} {{ {text} }}" if op.name in MESSAGES else ""
    return f'name: "a" type: "{op.name}" {inputs} {outputs} {message}'


def forward(op, text: str, *inputs, tops: int = 1):
    return run_layer(op, bind_layer(text_of(op, text, len(inputs), tops)), inputs, [])


@pytest.mark.parametrize("name", cases_of("ArgMax", "Reduction", "Filter", "BatchReindex"))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


@settings(max_examples=30, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=4, max_side=4),
    picks=st.lists(st.floats(0, 0.99), max_size=5),
)
def test_reindex_picks_items(shape, picks) -> None:
    x = random_array(*shape)
    indices = np.float32([p * shape[0] for p in picks])  # fractions are cut off
    (y,) = forward(BATCH_REINDEX, "", x, indices)
    assert y.shape == (len(picks), *shape[1:])
    for item, index in zip(y, indices, strict=True):
        np.testing.assert_array_equal(item, x[int(index)])


@pytest.mark.parametrize("index", [-0.5, 3, np.nan, np.inf])
def test_an_index_outside_the_batch_is_refused(index: float) -> None:
    with pytest.raises(NetcError) as caught:
        forward(BATCH_REINDEX, "", random_array(3, 2), np.float32([0, index]))
    (found,) = caught.value.diagnostics
    assert found.code == "index-out-of-range"
    assert f"index {index:g} is no item" in found.message and "0 to 2" in found.message


def test_indices_are_a_vector() -> None:
    error = misfit(BATCH_REINDEX, text_of(BATCH_REINDEX, "", 2), (3, 2), (2, 1))
    assert "bottom 1 is 2x1" in error.message
    assert (
        "at least 1 axes" in misfit(BATCH_REINDEX, text_of(BATCH_REINDEX, "", 2), (), (2,)).message
    )


@settings(max_examples=30, deadline=None)
@given(chosen=st.lists(st.sampled_from([0.0, 1.0, -2.0, 0.5]), min_size=1, max_size=6))
def test_filter_keeps_items_that_are_selected(chosen) -> None:
    x, z = random_array(len(chosen), 2), random_array(len(chosen), 1, 3)
    selector = np.float32(chosen).reshape(-1, 1, 1)
    y, w = forward(FILTER, "", x, z, selector, tops=2)
    kept = [i for i, value in enumerate(chosen) if value]
    np.testing.assert_array_equal(y, x[kept])
    np.testing.assert_array_equal(w, z[kept])


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ([(3, 2), (3, 2)], "the last bottom is 3x2"),
        ([(3, 2), (4,)], "the selector has 4 items, and bottom 0 is 3x2"),
        ([(3, 2), ()], "Filter's selector needs at least 1 axes"),
        ([(), (4,)], "bottom 0 is a scalar"),
    ],
)
def test_selectors_that_do_not_fit(shapes, wanted: str) -> None:
    assert wanted in misfit(FILTER, text_of(FILTER, "", 2), *shapes).message


def test_filter_makes_a_top_of_each_bottom_but_the_selector() -> None:
    found = complaint(FILTER, text_of(FILTER, "", 3, 1))
    assert (found.code, found.span.text) == ("top-count", '"y0"')
    assert "3 bottoms need 2 tops, and there are 1" in found.message


def greatest(values, k: int):
    """As Caffe does it: pairs of value and index, sorted downwards."""
    pairs = sorted(((value, i) for i, value in enumerate(values)), reverse=True)[:k]
    return [i for _, i in pairs], [value for value, _ in pairs]


@settings(max_examples=60, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=5, max_side=3),
    axis=st.integers(-5, 4),
    k=st.integers(1, 3),
    values=st.booleans(),
    seed=st.integers(0, 99),
)
def test_argmax_along_an_axis(shape, axis, k, values, seed) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    k = min(k, shape[axis])
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(np.float32)  # with ties
    (y,) = forward(ARGMAX, f"axis: {axis} top_k: {k} out_max_val: {str(values).lower()}", x)
    wanted = np.apply_along_axis(lambda v: greatest(v, k)[int(values)], axis, x)
    np.testing.assert_array_equal(y, wanted)


@settings(max_examples=60, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=5, max_side=3),
    k=st.integers(1, 3),
    values=st.booleans(),
    seed=st.integers(0, 99),
)
def test_argmax_of_items(shape, k, values, seed) -> None:
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(np.float32)
    items = x.reshape(shape[0], -1)
    k = min(k, items.shape[1])
    (y,) = forward(ARGMAX, f"top_k: {k} out_max_val: {str(values).lower()}", x)
    assert y.shape == (shape[0], 1 + values, k, *(1,) * (len(shape) - 3))
    for got, item in zip(y.reshape(shape[0], -1), items, strict=True):
        indices, best = greatest(item, k)
        np.testing.assert_array_equal(got, indices + best if values else indices)


@pytest.mark.parametrize(
    ("text", "shape", "field", "wanted"),
    [
        ("top_k: 7", (2, 3, 2), "top_k", "`top_k` 7 is more than the 6 elements of an item"),
        ("axis: 1 top_k: 4", (2, 3, 2), "top_k", "`top_k` 4 is more than the 3 elements of axis 1"),
        ("axis: 3", (2, 3, 2), "axis", "`axis` 3 is out of range"),
    ],
)
def test_argmax_that_does_not_fit(text, shape, field, wanted) -> None:
    error = misfit(ARGMAX, text_of(ARGMAX, text), shape)
    assert wanted in error.message
    assert error.field == f"argmax_param.{field}"


def test_argmax_of_nothing() -> None:
    found = complaint(ARGMAX, text_of(ARGMAX, "top_k: 0"))
    assert (found.code, found.span.text) == ("out-of-range", "0")
    assert "needs at least 1 axes" in misfit(ARGMAX, text_of(ARGMAX), ()).message


@pytest.mark.parametrize(
    ("text", "pointwise"), [("", False), ("axis: 1", True), ("axis: 2", False)]
)
def test_what_argmax_sees(text: str, pointwise: bool) -> None:
    layer = bind_layer(text_of(ARGMAX, text))
    params = ARGMAX.params(layer, context_of(layer))
    assert (ARGMAX.window(params, [(1, 2, 3, 4)], []) == POINTWISE) is pointwise


@settings(max_examples=60, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=4, max_side=4),
    axis=st.integers(-4, 3),
    operation=st.sampled_from(["SUM", "ASUM", "SUMSQ", "MEAN"]),
    coeff=st.sampled_from([1.0, -0.5, 2.0]),
    seed=st.integers(0, 99),
)
def test_reduction_of_the_last_axes(shape, axis, operation, coeff, seed) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    x = random_array(*shape, seed=seed)
    (y,) = forward(REDUCTION, f"operation: {operation} axis: {axis} coeff: {coeff}", x)
    terms = {"ASUM": np.abs(x), "SUMSQ": x * x}.get(operation, x).astype(np.float64)
    combine = np.mean if operation == "MEAN" else np.sum
    wanted = combine(terms, axis=tuple(range(axis % len(shape), len(shape)))) * coeff
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)


def test_a_mean_of_nothing_is_nan() -> None:
    (y,) = forward(REDUCTION, "operation: MEAN axis: 1", np.zeros((2, 0), np.float32))
    assert np.isnan(y).all() and y.shape == (2,)


@pytest.mark.parametrize(("axis", "shape"), [(2, (2, 3)), (0, ())])
def test_reduction_needs_its_axis(axis: int, shape) -> None:
    error = misfit(REDUCTION, text_of(REDUCTION, f"axis: {axis}"), shape)
    assert error.field == "reduction_param.axis"
