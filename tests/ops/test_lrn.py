from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.ops.catalog import CATALOG
from netc.ops.define import Cost, LayerContext, ShapeError, Window
from netc.ops.lrn import LRN, LRNParams
from tests.ops.cases import bind_layer, cases_of, check_case, load_case


@pytest.mark.parametrize("name", cases_of("LRN"))
def test_agrees_with_caffe(name: str) -> None:
    check_case(load_case(name), CATALOG)


def direct(params: LRNParams, x: np.ndarray) -> np.ndarray:
    """The formula of Caffe's documentation, element by element."""
    y, half = np.empty_like(x), params.local_size // 2
    for place in np.ndindex(x.shape):
        n, c, h, w = place
        if params.across:
            seen = x[n, max(0, c - half) : c + half + 1, h, w].astype(np.float64)
            scale = params.k + params.alpha / params.local_size * (seen**2).sum()
        else:
            seen = x[n, c, max(0, h - half) : h + half + 1, max(0, w - half) : w + half + 1]
            ends = [min(i + half + 1, s + half) for i, s in zip((h, w), x.shape[2:], strict=True)]
            area = (ends[0] - (h - half)) * (ends[1] - (w - half))
            scale = 1 + params.alpha * (seen.astype(np.float64) ** 2).sum() / area
        y[place] = x[place] * scale**-params.beta
    return y


@given(
    st.sampled_from((1, 3, 5, 9)),
    st.booleans(),
    st.tuples(*(st.integers(1, 5) for _ in range(4))),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_formula(
    size: int, across: bool, shape: tuple[int, ...], seed: int
) -> None:
    params = LRNParams(size, 0.7, 0.75, 2.0, across)
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    (y,) = LRN.reference(params, [x], [])
    assert (y.shape,) == LRN.shape(params, [shape]) and y.dtype == np.float32
    np.testing.assert_allclose(y, direct(params, x), rtol=1e-4, atol=1e-5)


def parse(text: str) -> LRNParams:
    layer = bind_layer(f'type: "LRN" lrn_param {{ {text} }}')
    return LRN.params(layer, LayerContext("TEST", 1, 1))


def test_parameters() -> None:
    assert parse("") == LRNParams(5, 1.0, 0.75, 1.0, True)
    assert not parse("norm_region: WITHIN_CHANNEL").across


@pytest.mark.parametrize("size", [0, 4, 4000000001])
def test_bad_sizes(size: int) -> None:
    with pytest.raises(NetcError, match=str(size)) as caught:
        parse(f"local_size: {size}")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "out-of-range" and diagnostic.help
    assert diagnostic.span is not None and diagnostic.span.text == str(size)


def test_other_axes_are_refused() -> None:
    with pytest.raises(ShapeError, match="must have 4 axes"):
        LRN.shape(LRNParams(), [(2, 3)])


def test_an_absurd_size_takes_no_longer() -> None:
    params = LRNParams(2**31 - 1, across=False)
    x = np.ones((1, 1, 3, 3), np.float32)
    assert LRN.reference(params, [x], [])[0].shape == x.shape
    across = LRN.reference(LRNParams(2**31 - 1), [x], [])[0]
    np.testing.assert_allclose(across, x, atol=1e-6)


def test_cost_and_window() -> None:
    shapes = [(1, 8, 4, 4)], [(1, 8, 4, 4)]
    assert LRN.cost(LRNParams(), *shapes) == Cost(operations=128 * 10)
    assert LRN.window(LRNParams(), *shapes) == Window()
    within = LRNParams(3, across=False)
    assert LRN.cost(within, *shapes) == Cost(operations=128 * 14)
    assert LRN.window(within, *shapes) == Window((3, 3), (1, 1), (1, 1), (1, 1))
