"""Ranges of blobs, from what was seen of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError
from netc.ops.reduced import Int8
from netc.quantize.calibrate import (
    BINS,
    BlobObserver,
    Method,
    before_reduction,
    number_of,
    observe,
    product_input,
    products_of,
    squared_error,
)
from netc.quantize.measure import Agreement, layer_errors
from netc.quantize.search import AccuracyBound, choose

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a"
        convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ar" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b"
        convolution_param { num_output: 8 kernel_size: 3 group: 8
                            weight_filler { type: "xavier" } } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


def seen_of(values: np.ndarray) -> BlobObserver:
    found = BlobObserver(float(min(0, values.min())), float(max(0, values.max())))
    found.counts = np.histogram(np.abs(values), BINS, (0.0, found.most))[0].astype(float)
    return found


def test_a_blob_without_negative_elements_has_all_codes_for_positive_ones() -> None:
    values = np.linspace(0, 51, 1000)
    assert number_of(seen_of(values), "max") == Int8(float(np.float32(51 / 255)), 0)
    assert number_of(seen_of(-values), "max") == Int8(float(np.float32(51 / 127)), 128)


def test_a_blob_of_zeros_has_a_scale() -> None:
    assert number_of(BlobObserver(), "auto") == Int8(1.0, 0)


@pytest.mark.parametrize("method", ["kl", "percentile"])
def test_one_far_element_does_not_take_the_codes_of_all_others(method: Method) -> None:
    values = np.abs(np.random.default_rng(0).standard_normal(200_000))
    values[0] = 1000.0
    number = number_of(seen_of(values), method)
    assert number.scale < 100 / 255


@given(st.integers(0, 1000), st.sampled_from(["kl", "percentile", "max"]))
def test_the_automatic_range_errs_least(seed: int, method: Method) -> None:
    rng = np.random.default_rng(seed)
    seen = seen_of(np.abs(rng.standard_normal(500)) ** rng.uniform(0.5, 4))
    limits = [255 * number_of(seen, m).scale for m in ("auto", method)]
    errors = [squared_error(seen, limit, 255) for limit in limits]
    assert errors[0] <= errors[1] * (1 + 1e-3) + 1e-12


def test_what_is_observed_of_a_net() -> None:
    graph = before_reduction(netc.compile(text=NET, backend="reference").graph)
    nodes = products_of(graph)
    assert [node.name for node in nodes] == ["a", "b", "c"]  # the depthwise one too
    values = [product_input(node) for node in nodes]
    rng = np.random.default_rng(1)
    items = [{"x": rng.standard_normal((1, 4, 6, 6)).astype(np.float32)} for _ in range(3)]
    told: list[int] = []
    seen = observe(graph, values, items, told.append)
    assert len(told) == 2 * len(items)
    every = np.concatenate([item["x"] for item in items])
    assert (seen["x"].low, seen["x"].high) == (every.min(), every.max())
    counts = seen["x"].counts
    assert counts is not None and counts.sum() == every.size


def test_the_error_of_each_layer_is_of_that_layer_alone() -> None:
    """A hopeless scale of the first one leaves the others' errors as they are."""
    graph = before_reduction(netc.compile(text=NET, backend="reference").graph)
    rng = np.random.default_rng(1)
    items = [{"x": rng.standard_normal((1, 4, 6, 6)).astype(np.float32)} for _ in range(2)]
    fine = {"a": Int8(0.03, 128), "c": Int8(0.02, 128)}
    told: list[int] = []
    errors = layer_errors(graph, fine, items, told.append)
    assert 0 < errors["a"] < 0.05 and 0 < errors["c"] < 0.05
    coarse = layer_errors(graph, {**fine, "a": Int8(3.0, 128)}, items, told.append)
    assert coarse["a"] > 0.2 and coarse["c"] == errors["c"]


# Which layers


def test_all_layers_where_the_bound_holds() -> None:
    layers = {name: Int8(1.0, 0) for name in "abc"}
    found = choose(
        layers, dict.fromkeys("abc", 0.1), AccuracyBound(0.5), lambda _: Agreement(0.1, None, 1)
    )
    assert dict(found.layers) == layers and not found.released


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 3))
def test_as_few_as_must_stay_in_float32(errors: list[float], most: float) -> None:
    """Errors that add up: what is released are the largest, and one fewer would not do."""
    named = {f"l{i}": error for i, error in enumerate(errors)}
    layers = {name: Int8(1.0, 0) for name in named}

    def measure(chosen: object) -> Agreement:
        return Agreement(sum(named[name] for name in chosen), None, 1)  # type: ignore[attr-defined]

    if min(errors) > most:
        with pytest.raises(NetcError, match="bound-not-held"):
            choose(layers, named, AccuracyBound(error=most), measure)
        return
    found = choose(layers, named, AccuracyBound(error=most), measure)
    assert measure(found.layers).error <= most
    assert list(found.layers) == [name for name in layers if name not in found.released]
    if found.released:
        assert min(named[n] for n in found.released) >= max(named[n] for n in found.layers)
        assert measure([*found.layers, found.released[-1]]).error > most


def test_a_bound_is_told_where_nothing_keeps_it() -> None:
    with pytest.raises(NetcError, match=r"no layer .* error of at most 0\.1: .* error is 0\.5"):
        choose({"a": Int8(1, 0)}, {"a": 1.0}, AccuracyBound(0.1), lambda _: Agreement(0.5, None, 4))
