"""Bounds of rounding: what cancels is let through, and what is wrong is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.diagnostics import Source
from tests.bounds import error_bounds, within

SHAPE = "input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } }"
INPUT = f'layer {{ name: "x" type: "Input" top: "x" {SHAPE} }}'
CASES = {
    "Power": "power_param { scale: -2 shift: 0.5 }",
    "InnerProduct": 'inner_product_param { num_output: 5 weight_filler { type: "msra" } }',
    "Convolution": 'convolution_param { num_output: 5 kernel_size: 3 weight_filler { value: 1 } }',
    "Eltwise": "eltwise_param { operation: SUM coeff: 1 }",
    "Softmax": "",
    "Exp": "",
}  # fmt: skip


def made(kind: str) -> tuple[Any, dict[str, Any]]:
    text = f'{INPUT} layer {{ name: "y" type: "{kind}" bottom: "x" top: "y" {CASES[kind]} }}'
    graph = netc.compile(Source("net", text), backend="reference").graph
    return graph, {"x": np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)}


@pytest.mark.parametrize("kind", CASES)
def test_a_thousandth_of_the_largest_is_told(kind: str) -> None:
    graph, feeds = made(kind)
    want = reference.run(graph, feeds)["y"]
    bound = error_bounds(graph, feeds)["y"]
    within(want, want, bound)
    within(want * np.float32(1 + 1e-6), want, bound)
    wrong = want.copy()
    wrong.flat[np.abs(want).argmax()] *= np.float32(1.001)
    with pytest.raises(AssertionError, match="of what rounding explains"):
        within(wrong, want, bound)


def test_terms_that_cancel_leave_room_for_their_rounding() -> None:
    """x * -2 + 0.5 is next to nothing at 0.25, and its terms are not."""
    graph, _ = made("Power")
    feeds = {"x": np.full((2, 3, 4, 4), 0.25, np.float32)}
    bound = error_bounds(graph, feeds)["y"]
    assert (bound > 5e-6).all()
    within(np.full_like(feeds["x"], 1e-6), np.zeros_like(feeds["x"]), bound)


def test_what_is_no_number_must_be_the_same() -> None:
    want = np.float32([np.nan, np.inf, 1])
    within(want, want, 1e-5)
    for wrong in ([np.inf, np.inf, 1], [np.nan, 3, 1], [np.nan, np.inf, np.nan]):
        with pytest.raises(AssertionError):
            within(np.float32(wrong), want, 1e-5)
