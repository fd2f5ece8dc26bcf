from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.ops.forks.lp_pooling import LP_POOLING
from netc.ops.pooling import POOLING
from tests.ops.cases import bind_layer, complaint, misfit, random_array, run_layer


def text_of(geometry: str, norm: str = "", kind: str = "LpPooling") -> str:
    return (
        f'name: "a" type: "{kind}" bottom: "x" top: "y" '
        f"pooling_param {{ {geometry} }} lp_pooling_param {{ {norm} }}"
    )


def forward(geometry: str, x, norm: str = ""):
    (y,) = run_layer(LP_POOLING, bind_layer(text_of(geometry, norm)), [x], [])
    return y


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    p=st.sampled_from([1, 2, 3]),
    floor=st.booleans(),
)
def test_each_window_by_itself(kernel, stride, size, p, floor) -> None:
    x = random_array(2, 3, *size)
    mode = "FLOOR" if floor else "CEIL"
    y = forward(f"kernel_size: {kernel} stride: {stride} round_mode: {mode}", x, f"p: {p}")
    for n, c, i, j in np.ndindex(*y.shape):
        rows = slice(i * stride, i * stride + kernel)
        columns = slice(j * stride, j * stride + kernel)
        wanted = (np.abs(x[n, c, rows, columns]).astype(np.float64) ** p).sum() ** (1 / p)
        assert y[n, c, i, j] == pytest.approx(wanted, rel=1e-4)


def test_windows_slide_as_poolings_do() -> None:
    geometry = "kernel_size: 3 stride: 2 pad: 1"
    y = forward(geometry, random_array(1, 1, 7, 8))
    plain = bind_layer(text_of(geometry, kind="Pooling"))
    (maximum,) = run_layer(POOLING, plain, [random_array(1, 1, 7, 8)], [])
    assert y.shape == maximum.shape


def test_padding_adds_nothing() -> None:
    x = np.ones((1, 1, 2, 2), np.float32)
    y = forward("kernel_size: 3 pad: 1", x)
    np.testing.assert_allclose(y, 2)


def test_over_all_of_the_input() -> None:
    x = random_array(2, 3, 4, 5)
    y = forward("global_pooling: true", x)
    np.testing.assert_allclose(y[..., 0, 0], np.sqrt((x * x).sum((2, 3))), rtol=1e-5)


@pytest.mark.parametrize(
    ("geometry", "norm", "code", "place"),
    [
        ("kernel_size: 2 pool: AVE", "", "conflicting-fields", "AVE"),
        ("kernel_size: 2", "p: 0", "out-of-range", "0"),
        ("kernel_size: 2", "p: inf", "out-of-range", "inf"),
        ("kernel_size: 0", "", "out-of-range", "0"),
    ],
)
def test_what_is_refused(geometry: str, norm: str, code: str, place: str) -> None:
    found = complaint(LP_POOLING, text_of(geometry, norm))
    assert (found.code, found.span.text) == (code, place)


def test_a_window_larger_than_the_input() -> None:
    error = misfit(LP_POOLING, text_of("kernel_size: 5"), (1, 1, 3, 3))
    assert error.field == "pooling_param.kernel_size"
