from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops.forks.layer_norm import LAYER_NORM
from tests.ops.cases import bind_layer, context_of, misfit, random_array, run_layer


def text_of(text: str = "") -> str:
    return f'name: "a" type: "LayerNorm" bottom: "x" top: "y" layer_norm_param {{ {text} }}'


@settings(max_examples=60, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=4, max_side=4),
    axis=st.integers(-4, 3),
    affine=st.booleans(),
    seed=st.integers(0, 99),
)
def test_items_are_normalised_by_themselves(shape, axis, affine, seed) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    normal = shape[axis % len(shape) :]
    x = random_array(*shape, seed=seed)
    weights = [random_array(*normal, seed=seed + i) for i in (1, 2)] if affine else []
    text = text_of(f"axis: {axis} eps: 0.1 elementwise_affine: {str(affine).lower()}")
    (y,) = run_layer(LAYER_NORM, bind_layer(text), [x], weights)
    for got, item in zip(
        y.reshape(-1, *normal), x.astype(np.float64).reshape(-1, *normal), strict=True
    ):
        wanted = (item - item.mean()) / np.sqrt(item.var() + 0.1)
        if affine:
            wanted = wanted * weights[0] + weights[1]
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_it_begins_as_the_plain_normalisation() -> None:
    layer = bind_layer(text_of())
    params = LAYER_NORM.params(layer, context_of(layer))
    factor, summand = LAYER_NORM.weights(params, [(2, 3, 4)])
    assert (factor.shape, factor.filler.value) == ((3, 4), 1)
    assert (summand.shape, summand.filler.value) == ((3, 4), 0)


@pytest.mark.parametrize(("shape", "whole"), [((2, 3), False), ((2, 3, 4, 5), True)])
def test_all_places_are_seen(shape, whole: bool) -> None:
    layer = bind_layer(text_of())
    params = LAYER_NORM.params(layer, context_of(layer))
    assert LAYER_NORM.window(params, [shape], [shape]).whole is whole


def test_the_axis_must_be_there() -> None:
    assert misfit(LAYER_NORM, text_of("axis: 2"), (2, 3)).field == "layer_norm_param.axis"
