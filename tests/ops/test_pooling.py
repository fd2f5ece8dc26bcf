from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError
from netc.ops.catalog import CATALOG
from netc.ops.define import WHOLE, Cost, LayerContext, ShapeError, Window
from netc.ops.pooling import POOLING, PoolingParams, pooling_axes
from netc.ops.spp import SPP, SPPParams, pyramid
from tests.ops.cases import bind_layer, cases_of, check_case, load_case

LOWEST = np.finfo(np.float32).min


@pytest.mark.parametrize("name", cases_of("Pooling", "SPP"))
def test_agrees_with_caffe(name: str) -> None:
    check_case(load_case(name), CATALOG)


# Against a loop over every window, written as Caffe's


def direct(params: PoolingParams, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pooled values and the mask, window by window."""
    axes = pooling_axes(params, x.shape)
    shape = (*x.shape[:2], *(axis.out for axis in axes))
    y, mask = np.full(shape, LOWEST), np.full(shape, -1.0, np.float32)
    for n, c, ph, pw in itertools.product(*map(range, shape)):
        starts = [p * a.stride - a.pad for p, a in zip((ph, pw), axes, strict=True)]
        ends = [min(s + a.kernel, a.size + a.pad) for s, a in zip(starts, axes, strict=True)]
        area = math.prod(e - s for s, e in zip(starts, ends, strict=True))
        rows, columns = (
            range(max(s, 0), min(e, a.size)) for s, e, a in zip(starts, ends, axes, strict=True)
        )
        place, total = (n, c, ph, pw), np.float32(0)
        for h, w in itertools.product(rows, columns):
            total += x[n, c, h, w]
            if x[n, c, h, w] > y[place]:
                y[place], mask[place] = x[n, c, h, w], h * x.shape[3] + w
        if params.method == "AVE":
            with np.errstate(all="ignore"):
                y[place] = total / np.float32(area)
    return y, mask


@st.composite
def poolings(draw: st.DrawFn) -> tuple[PoolingParams, np.ndarray]:
    def pair(least: int, most: int) -> tuple[int, int]:
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    kernel, pad = pair(1, 4), pair(0, 2)
    pad = (min(pad[0], kernel[0] - 1), min(pad[1], kernel[1] - 1))
    method, ceil = draw(st.sampled_from(("MAX", "AVE"))), draw(st.booleans())
    params = PoolingParams(method, Window(kernel, pair(1, 5), pad), ceil, mask=method == "MAX")
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *pair(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(-2, 3, size=shape) if draw(st.booleans()) else rng.normal(size=shape)
    return params, values.astype(np.float32)


@given(poolings())
@settings(max_examples=300, deadline=None)
def test_agrees_with_one_window_after_another(problem: tuple[PoolingParams, np.ndarray]) -> None:
    params, x = problem
    try:
        shapes = POOLING.shape(params, [x.shape])
    except ShapeError as error:
        assert "larger than the padded" in error.message
        return
    got = POOLING.reference(params, [x], [])
    assert tuple(array.shape for array in got) == shapes
    assert all(array.dtype == np.float32 for array in got)
    for array, wanted in zip(got, direct(params, x), strict=False):
        np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-6)


def test_nan_is_passed_over_as_by_a_comparison() -> None:
    x = np.array([[np.nan, 1], [np.nan, np.nan]], np.float32).reshape(1, 1, 2, 2)
    params = PoolingParams(window=Window((2, 1)), mask=True)
    values, mask = POOLING.reference(params, [x], [])
    np.testing.assert_array_equal(values.ravel(), [LOWEST, 1])
    np.testing.assert_array_equal(mask.ravel(), [-1, 1])
    np.testing.assert_array_equal(
        POOLING.reference(PoolingParams(window=Window((2, 1))), [x], [])[0], values
    )


def test_a_window_beyond_the_input_is_empty() -> None:
    """A stride above the kernel, and no padding: Caffe does not drop the last window."""
    x = np.ones((1, 1, 1, 2), np.float32)
    largest = PoolingParams(window=Window((1, 1), (2, 2)))
    np.testing.assert_array_equal(POOLING.reference(largest, [x], [])[0].ravel(), [1, LOWEST])
    mean = PoolingParams("AVE", Window((1, 1), (2, 2)))
    np.testing.assert_array_equal(POOLING.reference(mean, [x], [])[0].ravel(), [1, np.nan])


def test_an_absurd_kernel_takes_no_longer() -> None:
    huge = 2**31 - 1
    params = PoolingParams("AVE", Window((huge,), (huge,), (huge - 1,)))
    x = np.ones((1, 1, 4, 4), np.float32)
    assert POOLING.shape(params, [x.shape]) == ((1, 1, 2, 2),)
    assert POOLING.reference(params, [x], [])[0].shape == (1, 1, 2, 2)
    assert POOLING.cost(params, [x.shape], [(1, 1, 2, 2)]) == Cost(operations=64)


def test_stochastic_in_test_phase_weighs_each_element_by_itself() -> None:
    x = np.array([[1, 3], [0, 0]], np.float32).reshape(1, 1, 2, 2)
    params = PoolingParams("STOCHASTIC", Window((1, 2)))
    np.testing.assert_allclose(POOLING.reference(params, [x], [])[0].ravel(), [2.5, 0])


def test_stochastic_in_training_draws_elements_by_their_weight() -> None:
    x = np.tile(np.array([1, 3, 0, 4], np.float32).reshape(1, 1, 2, 2), (50, 40, 1, 1))
    params = PoolingParams("STOCHASTIC", Window((2, 2)), train=True)
    np.random.seed(0)
    (drawn,) = POOLING.reference(params, [x], [])
    assert drawn.shape == (50, 40, 1, 1) and drawn.dtype == np.float32
    for value in (1, 3, 4):
        assert abs((drawn == value).mean() - value / 8) < 0.05


# Parameters and shapes


def parse(text: str, tops: int = 1, phase: str = "TEST") -> PoolingParams:
    layer = bind_layer(f'type: "Pooling" pooling_param {{ {text} }}')
    return POOLING.params(layer, LayerContext(phase, 1, tops))


@pytest.mark.parametrize(
    ("text", "bottom", "top"),
    [
        ("kernel_size: 3 stride: 2", (32, 32), (16, 16)),
        ("kernel_size: 3 stride: 2", (13, 13), (6, 6)),
        ("kernel_size: 3 stride: 2 pad: 1", (112, 112), (57, 57)),
        ("kernel_size: 2 stride: 2 pad: 1", (3, 4), (2, 3)),
        ("kernel_size: 3 stride: 2 ceil_mode: false", (112, 112), (55, 55)),
        ("kernel_size: 3 stride: 2 ceil_mode: true", (112, 112), (56, 56)),
        ("kernel_size: 3 stride: 2 round_mode: FLOOR", (112, 112), (55, 55)),
        ("kernel_size: 3 stride: 2 round_mode: CEIL ceil_mode: true", (112, 112), (56, 56)),
        ("kernel_h: 2 kernel_w: 1 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 0", (8, 9), (4, 9)),
        ("kernel_size: 3 kernel_h: 9", (5, 5), (3, 3)),
        ("kernel_size: 7 stride: 3", (5, 5), (1, 1)),
        ("global_pooling: true", (5, 9), (1, 1)),
        ("global_pooling: false kernel_size: 1 stride: 2", (2, 3), (2, 2)),
    ],
)
def test_shapes(text: str, bottom: tuple[int, int], top: tuple[int, int]) -> None:
    assert POOLING.shape(parse(text), [(2, 3, *bottom)]) == ((2, 3, *top),)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("kernel_size: 3", Window((3,))),
        ("kernel_size: 3 stride: 2 pad: 1", Window((3,), (2,), (1,))),
        ("kernel_size: 3 kernel_h: 9", Window((3,))),
        ("kernel_h: 5 kernel_w: 3 stride: 2", Window((5, 3), (2,), planar=("kernel",))),
        ("kernel_size: 3 pad_h: 0 pad_w: 1", Window((3,), pad=(0, 1), planar=("pad",))),
        ("global_pooling: true stride: 1 pad: 0", WHOLE),
    ],
)
def test_a_text_fills_the_same_window_as_a_convolutions(text: str, window: Window) -> None:
    assert parse(text).window == window


def test_a_kernel_too_large_is_shown_where_it_is_written() -> None:
    for text, field in (("kernel_size: 5", "size"), ("kernel_h: 1 kernel_w: 5", "w")):
        with pytest.raises(ShapeError) as caught:
            POOLING.shape(parse(text), [(1, 1, 3, 3)])
        assert caught.value.field == f"pooling_param.kernel_{field}"


def test_a_second_top_is_the_mask() -> None:
    params = parse("kernel_size: 2 stride: 2", tops=2)
    assert POOLING.shape(params, [(2, 3, 4, 4)]) == ((2, 3, 2, 2),) * 2


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("", "missing-field", None),
        ("kernel_size: 0", "out-of-range", "0"),
        ("kernel_size: 4000000000", "out-of-range", "4000000000"),
        ("kernel_size: 2 stride: 0", "out-of-range", "0"),
        ("kernel_h: 5", "missing-field", "5"),
        ("kernel_size: 2 kernel_h: 5 kernel_w: 3", "conflicting-fields", "5"),
        ("kernel_size: 2 stride: 2 stride_h: 5 stride_w: 5", "conflicting-fields", "5"),
        ("kernel_size: 2 stride_w: 5", "missing-field", "5"),
        ("kernel_size: 2 pad_h: 5", "missing-field", "5"),
        ("kernel_size: 2 pad: 2", "out-of-range", "2"),
        ("kernel_size: 4 pad_h: 0 pad_w: 5", "out-of-range", "5"),
        ("kernel_size: 4 pool: STOCHASTIC pad: 1", "unsupported-value", "1"),
        ("global_pooling: true kernel_size: 3", "conflicting-fields", "3"),
        ("global_pooling: true pad: 3", "conflicting-fields", "3"),
        ("global_pooling: true stride_h: 1 stride_w: 3", "conflicting-fields", "3"),
        ("kernel_size: 4 round_mode: CEIL ceil_mode: false", "conflicting-fields", "false"),
    ],
)
def test_bad_parameters_are_shown_at_their_field(text: str, code: str, at: str | None) -> None:
    with pytest.raises(NetcError) as caught:
        parse(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code and diagnostic.help
    if at is not None:
        assert diagnostic.span is not None and diagnostic.span.text == at


def test_only_max_has_a_mask() -> None:
    with pytest.raises(NetcError, match="`pool: AVE` makes 1 top, and 2 are named"):
        parse("kernel_size: 2 pool: AVE", tops=2)


@pytest.mark.parametrize(
    ("text", "bottom", "message"),
    [
        ("kernel_size: 7", (1, 1, 5, 9), "the kernel 7 is larger than the padded height 5"),
        ("kernel_size: 7 pad: 1", (1, 1, 9, 4), "the kernel 7 is larger than the padded width 6"),
        ("kernel_size: 2", (1, 5), "the bottom must have 4 axes"),
        ("global_pooling: true", (1, 5, 0, 1), "the height of the bottom must be at least 1"),
    ],
)
def test_shapes_that_do_not_fit(text: str, bottom: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        POOLING.shape(parse(text), [bottom])
    assert caught.value.message.startswith(message)


def test_cost_and_window() -> None:
    params = parse("kernel_size: 3 stride: 2 pad: 1")
    shapes = [(2, 3, 8, 8)], list(POOLING.shape(params, [(2, 3, 8, 8)]))
    assert POOLING.cost(params, *shapes) == Cost(operations=2 * 3 * 25 * 9)
    assert POOLING.window(params, *shapes) == Window((3, 3), (2, 2), (1, 1), (1, 1))
    assert POOLING.window(parse("global_pooling: true"), *shapes) == Window(whole=True)


# SPP


def parse_spp(text: str) -> SPPParams:
    layer = bind_layer(f'type: "SPP" spp_param {{ {text} }}')
    return SPP.params(layer, LayerContext("TEST", 1, 1))


@given(
    st.integers(1, 4),
    st.sampled_from(("MAX", "AVE")),
    st.tuples(*(st.integers(a, b) for a, b in ((1, 2), (1, 3), (1, 20), (1, 20)))),
)
@settings(max_examples=100, deadline=None)
def test_spp_is_its_poolings_side_by_side(
    height: int, method: str, shape: tuple[int, int, int, int]
) -> None:
    params = SPPParams(height, method)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    try:
        (top,) = SPP.shape(params, [shape])
    except ShapeError as error:
        assert error.field == "spp_param.pyramid_height" and error.help
        return
    (y,) = SPP.reference(params, [x], [])
    assert y.shape == top and y.dtype == np.float32
    parts = [direct(level, x)[0].reshape(len(x), -1) for level in pyramid(params, shape)]
    np.testing.assert_allclose(y.reshape(len(x), -1), np.hstack(parts), rtol=1e-5, atol=1e-6)


def test_spp_of_one_level_keeps_four_axes() -> None:
    assert SPP.shape(parse_spp("pyramid_height: 1"), [(2, 3, 9, 8)]) == ((2, 3, 1, 1),)
    assert SPP.shape(parse_spp("pyramid_height: 2"), [(2, 3, 9, 8)]) == ((2, 15),)


@pytest.mark.parametrize("text", ["", "pyramid_height: 0", "pool: AVE"])
def test_spp_needs_a_height(text: str) -> None:
    with pytest.raises(NetcError, match="pyramid_height"):
        parse_spp(text)


def test_spp_levels_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="makes 4 bins of the height 3") as caught:
        SPP.shape(parse_spp("pyramid_height: 2000000000"), [(1, 1, 3, 3)])
    assert caught.value.help == ("`pyramid_height` may be at most 2 here",)
    with pytest.raises(ShapeError, match="takes no padding"):
        SPP.shape(parse_spp("pyramid_height: 2 pool: STOCHASTIC"), [(1, 1, 9, 8)])
    with pytest.raises(ShapeError, match="must have 4 axes"):
        SPP.shape(parse_spp("pyramid_height: 2"), [(9, 8)])


@pytest.mark.parametrize("fields", ["kernel_h: 3 kernel_w: 2 stride: 2", "global_pooling: true"])
def test_sum_pooling(fields: str) -> None:
    x = np.random.default_rng(3).normal(size=(2, 3, 6, 5)).astype(np.float32)
    text = f"""input: "x" input_shape {{ dim: 2 dim: 3 dim: 6 dim: 5 }}
      layer {{ name: "s" type: "SumPooling" bottom: "x" top: "s"
        sum_pooling_param {{ pool: SUM {fields} }} }}"""
    got = netc.compile(text=text, backend="reference")(x=x)["s"]
    high, wide, step = (6, 5, 1) if "global" in fields else (3, 2, 2)
    rows, columns = -(-(6 - high) // step) + 1, -(-(5 - wide) // step) + 1
    assert got.shape == (2, 3, rows, columns)
    for i, j in np.ndindex(rows, columns):
        window = x[:, :, i * step : i * step + high, j * step : j * step + wide]
        np.testing.assert_allclose(got[:, :, i, j], window.sum(axis=(2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fields", ["kernel_size: 2", "pool: SUM kernel_size: 3 pad: 1"])
def test_sum_pooling_sums_without_padding(fields: str) -> None:
    text = f"""input: "x" input_shape {{ dim: 1 dim: 1 dim: 6 dim: 5 }}
      layer {{ name: "s" type: "SumPooling" bottom: "x" top: "s"
        sum_pooling_param {{ {fields} }} }}"""
    with pytest.raises(NetcError):
        netc.compile(text=text)
