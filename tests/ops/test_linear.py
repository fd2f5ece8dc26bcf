from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.ops.catalog import CATALOG
from netc.ops.define import Cost, LayerContext, OpDef, ShapeError, Window
from netc.ops.linear import EMBED, INNER_PRODUCT, EmbedParams, InnerProductParams
from tests.ops.cases import bind_layer, cases_of, check_case, load_case


@pytest.mark.parametrize("name", cases_of("InnerProduct", "Embed"))
def test_agrees_with_caffe(name: str) -> None:
    check_case(load_case(name), CATALOG)


def parse(op: OpDef, field: str, text: str) -> Any:
    return op.params(bind_layer(f"{field} {{ {text} }}"), LayerContext("TEST", 1, 1))


def inner(text: str) -> InnerProductParams:
    return parse(INNER_PRODUCT, 'type: "InnerProduct" inner_product_param', text)


def embed(text: str) -> EmbedParams:
    return parse(EMBED, 'type: "Embed" embed_param', text)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    st.integers(-4, 3),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_inner_product(shape: tuple[int, ...], axis: int, transpose: bool, bias: bool) -> None:
    params = InnerProductParams(3, axis, transpose, bias)
    if not -len(shape) <= axis < len(shape):
        with pytest.raises(ShapeError, match="out of range"):
            INNER_PRODUCT.shape(params, [shape])
        return
    rng = np.random.default_rng(0)
    specs = INNER_PRODUCT.weights(params, [shape])
    assert len(specs) == 1 + bias
    x = rng.normal(size=shape).astype(np.float32)
    w = [rng.normal(size=spec.shape).astype(np.float32) for spec in specs]
    (y,) = INNER_PRODUCT.reference(params, [x], w)
    assert (y.shape,) == INNER_PRODUCT.shape(params, [shape]) and y.dtype == np.float32
    matrix = w[0] if transpose else w[0].T
    wanted = x.reshape(*shape[: axis % len(shape)], -1) @ matrix + (w[1] if bias else 0)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)
    cost = INNER_PRODUCT.cost(params, [shape], [y.shape])
    assert cost == Cost(x.size * 3, y.size if bias else 0)


def test_inner_product_sees_all_of_its_input() -> None:
    assert INNER_PRODUCT.window(inner("num_output: 2"), [(1, 2)], [(1, 2)]) == Window(whole=True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "missing-field"),
        ("num_output: 0", "out-of-range"),
        ("num_output: 3000000000", "out-of-range"),
        ('num_output: 3 bias_filler { type: "x" }', "unknown-filler"),
    ],
)
def test_bad_inner_products(text: str, code: str) -> None:
    with pytest.raises(NetcError) as caught:
        inner(text)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_inner_product_of_nothing() -> None:
    with pytest.raises(ShapeError, match="no elements from axis 1 on"):
        INNER_PRODUCT.shape(inner("num_output: 2"), [(3, 0)])


@pytest.mark.parametrize(
    "text", ["", "num_output: 2", "input_dim: 2", "num_output: 2 input_dim: 0"]
)
def test_bad_embeds(text: str) -> None:
    with pytest.raises(NetcError):
        embed(text)


@pytest.mark.parametrize("value", [-1, 7, 1.5, np.nan, np.inf, -0.25])
def test_an_index_that_is_none(value: float) -> None:
    params = embed("num_output: 2 input_dim: 7 bias_term: false")
    x = np.array([0, value], np.float32)
    with pytest.raises(NetcError, match="its indices are 0 to 6") as caught:
        EMBED.reference(params, [x], [np.zeros((7, 2), np.float32)])
    assert caught.value.diagnostics[0].code == "index-out-of-range"


def test_embed_adds_an_axis() -> None:
    params = embed("num_output: 2 input_dim: 7")
    assert EMBED.shape(params, [(3, 4)]) == ((3, 4, 2),)
    assert [spec.shape for spec in EMBED.weights(params, [(3, 4)])] == [(7, 2), (2,)]
    assert EMBED.cost(params, [(3, 4)], [(3, 4, 2)]) == Cost(operations=24)
