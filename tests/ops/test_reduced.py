"""Products in fewer bits: what their definitions say, checked against plainer arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.ops.catalog import CATALOG
from netc.ops.convolution import CONVOLUTION, DECONVOLUTION
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.linear import InnerProductParams
from netc.ops.reduced import (
    MAX_TERMS,
    REDUCED_CONVOLUTION,
    REDUCED_DECONVOLUTION,
    REDUCED_INNER_PRODUCT,
    ROUNDING,
    Bfloat16,
    Int8,
    ReducedParams,
    RoundingParams,
    by_outputs,
    misfit,
    round_to_bfloat16,
    weight_codes,
)
from netc.ops.window import Window

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def nearest_bfloat16(x: float) -> float:
    """By fractions: the number of 8 significant bits next to x, the even one of two."""
    if x == 0 or abs(x) < 2.0**-56:
        return 0.0
    step = Fraction(2) ** (math.frexp(x)[1] - 8)
    whole = round(Fraction(x) / step)  # Python rounds halves to even
    return float(whole * step)


@given(FLOATS)
def test_bfloat16_is_the_nearest(x: float) -> None:
    found = float(round_to_bfloat16(np.array([x], np.float32))[0])
    want = nearest_bfloat16(x)
    assert found == want or (abs(want) > 3.39e38 and math.isinf(found))


def test_bfloat16_of_what_is_no_number() -> None:
    given = np.array([np.nan, -np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(round_to_bfloat16(given), given)


@given(FLOATS, st.floats(1e-6, 1e6), st.sampled_from([0, 128]))
def test_codes_are_the_nearest(x: float, scale: float, zero: int) -> None:
    number = Int8(float(np.float32(scale)), zero)
    code = int(number.codes(np.array([x], np.float32))[0])
    exact = min(max(Fraction(x) / Fraction(number.scale) + zero, Fraction(0)), Fraction(255))
    assert abs(code - exact) <= Fraction(1, 2) + Fraction(1, 1000)


def test_codes_of_what_is_no_number() -> None:
    given = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert Int8(0.5, 128).codes(given).tolist() == [0, 255, 0]


@given(st.integers(0, 255), st.floats(1e-20, 1e20), st.sampled_from([0, 128]))
def test_what_a_code_stands_for_has_that_code(code: int, scale: float, zero: int) -> None:
    """So that a blob may be kept as codes: rounding it again changes nothing."""
    number = Int8(float(np.float32(scale)), zero)
    value = (np.float32(code) - np.float32(zero)) * np.float32(number.scale)
    assert number.codes(np.array([value])).tolist() == [code]
    assert number.rounded(np.array([value])).tolist() == [value]


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_codes_of_weights_stay_under_factors(seed: int, factor: float) -> None:
    """BatchNorm folded in, or read back from a file, a filter has the codes it had."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    codes, scales = weight_codes(weights)
    assert np.abs(codes).reshape(4, -1).max(axis=1).tolist() == [127] * 4
    again = codes * scales[:, None, None, None]
    np.testing.assert_array_equal(weight_codes(again * np.float32(factor)).codes, codes)


def test_filters_of_zeros_have_codes() -> None:
    codes, scales = weight_codes(np.zeros((2, 3), np.float32))
    assert not codes.any() and scales.tolist() == [1, 1]


def params(number: Bfloat16 | Int8, **geometry: object) -> ReducedParams:
    window = Window(kernel=(3,), pad=(1,), stride=(2,), dilation=(1,))
    return ReducedParams(ConvolutionParams(6, window, **geometry), number)  # type: ignore[arg-type]


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("zero", [0, 128])
def test_int8_sums_are_those_of_whole_numbers(group: int, zero: int) -> None:
    rng = np.random.default_rng(group + zero)
    number, own = Int8(0.03125, zero), params(Int8(0.03125, zero), group=group)
    x = rng.standard_normal((2, 8, 7, 6)).astype(np.float32)
    w = rng.standard_normal((6, 8 // group, 3, 3)).astype(np.float32)
    bias = rng.standard_normal(6).astype(np.float32)
    (found,) = CATALOG[REDUCED_CONVOLUTION].reference(own, [x], [w, bias])
    codes, scales = weight_codes(w)
    wide = [number.codes(x).astype(np.float64) - zero, codes.astype(np.float64)]
    (sums,) = CONVOLUTION.reference(own.product, wide[:1], [wide[1]])
    factors = (np.float32(0.03125) * scales)[:, None, None]
    want = sums.astype(np.float32) * factors + bias[:, None, None]
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize(
    "x, want", [([1, 2.0**24, 1, -(2.0**24)], 1.0), ([-(2.0**24), 1, 2.0**24, 1], 2.0)]
)
def test_the_second_of_a_pair_is_added_first(x: list[float], want: float) -> None:
    """2**24 swallows a 1 that is added to it, so that the order shows."""
    own = ReducedParams(ConvolutionParams(1, Window(kernel=(1,)), bias=False), Bfloat16())
    array = np.array(x, np.float32).reshape(1, 4, 1, 1)
    ones = np.ones((1, 4, 1, 1), np.float32)
    (found,) = CATALOG[REDUCED_CONVOLUTION].reference(own, [array], [ones])
    assert found.reshape(-1).tolist() == [want]


@pytest.mark.parametrize("number", [Bfloat16(), Int8(0.05, 128)])
def test_inner_products_are_convolutions_as_large_as_their_input(
    number: Bfloat16 | Int8,
) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, 5, 2, 3)).astype(np.float32)
    w = rng.standard_normal((4, 30)).astype(np.float32)
    for transpose in (False, True):
        own = ReducedParams(InnerProductParams(4, transpose=transpose, bias=False), number)
        (found,) = CATALOG[REDUCED_INNER_PRODUCT].reference(own, [x], [w.T if transpose else w])
        window = ReducedParams(ConvolutionParams(4, Window(kernel=(2, 3)), bias=False), number)
        (want,) = CATALOG[REDUCED_CONVOLUTION].reference(window, [x], [w.reshape(4, 5, 2, 3)])
        np.testing.assert_array_equal(found, want.reshape(3, 4))
        np.testing.assert_allclose(found, x.reshape(3, -1) @ w.T, atol=0.4)


def test_a_blob_may_be_rounded() -> None:
    x = np.array([0.1, -3.3, 200.0], np.float32)
    for number in (Bfloat16(), Int8(0.25, 128)):
        (found,) = CATALOG[ROUNDING].reference(RoundingParams(number), [x], [])
        np.testing.assert_array_equal(found, number.rounded(x))


@pytest.mark.parametrize(
    "number, shape, weights, group, reason",
    [
        (Bfloat16(), (1, 8, 4, 4), (8, 8, 3, 3), 1, None),
        (Bfloat16(), (1, 3, 4, 4), (8, 3, 3, 3), 1, None),
        (Bfloat16(), (1, 8, 4, 4), (8, 1, 3, 3), 8, "no depthwise convolutions in bf16"),
        (Int8(1, 0), (1, 8, 4, 4), (8, 1, 3, 3), 8, None),
        (Int8(1, 0), (1, 8, 9, 70), (8, 1, 9, 70), 8, "more than 518 terms"),
        (Int8(1, 0), (1, 8, 4, 4), (16, 1, 3, 3), 8, "no multiple of 4"),
        (Int8(1, 0), (1, 8, 4, 4), (8, 2, 3, 3), 4, "no multiple of 4"),
        (Int8(1, 0), (1, 8, 4, 4), (8, 4, 3, 3), 2, None),
        (Int8(1, 0), (1, MAX_TERMS + 1, 1, 1), (1, MAX_TERMS + 1, 1, 1), 1, "66,311 terms"),
        (Bfloat16(), (1, 8, 4), (8, 8, 3), 1, "other axes"),
    ],
)
def test_what_can_be_reduced(
    number: Bfloat16 | Int8,
    shape: tuple[int, ...],
    weights: tuple[int, ...],
    group: int,
    reason: str | None,
) -> None:
    own = ConvolutionParams(weights[0], Window(kernel=(3,)), group)
    array = np.zeros(weights, np.float32)
    found = misfit(CONVOLUTION, own, shape, array, number)
    assert found is None if reason is None else found is not None and reason in found
    array.reshape(-1)[0] = np.inf
    assert misfit(CONVOLUTION, own, shape, array, number)


@pytest.mark.parametrize(
    "number, stride, dilation, group, reason",
    [
        (Int8(1, 0), 2, 1, 1, None),
        (Int8(1, 0), 2, 2, 1, None),
        (Int8(1, 0), 2, 1, 8, None),
        (Int8(1, 0), 2, 2, 8, "depthwise, and dilated"),
        (Int8(1, 0), 65, 1, 1, "stride is too large"),
        (Bfloat16(), 2, 1, 1, "no deconvolutions in bf16"),
    ],
)
def test_which_deconvolutions_can_be_reduced(
    number: Bfloat16 | Int8, stride: int, dilation: int, group: int, reason: str | None
) -> None:
    window = Window(kernel=(3,), stride=(stride,), dilation=(dilation,))
    array = np.ones((8, 8 // group, 3, 3), np.float32)
    found = misfit(DECONVOLUTION, ConvolutionParams(8, window, group), (1, 8, 4, 4), array, number)
    assert found is None if reason is None else found is not None and reason in found


@pytest.mark.parametrize("group", [1, 2, 8])
@pytest.mark.parametrize("zero", [0, 128])
def test_a_deconvolution_of_codes_is_that_of_what_they_stand_for(group: int, zero: int) -> None:
    """Its weights have a scale for each output, whichever inputs they come from."""
    rng = np.random.default_rng(group + zero)
    number, window = Int8(0.03125, zero), Window(kernel=(4,), pad=(1,), stride=(2,))
    own = ConvolutionParams(8, window, group)
    x = np.abs(rng.standard_normal((2, 8, 5, 6))).astype(np.float32)
    w = rng.standard_normal((8, 8 // group, 4, 4)).astype(np.float32)
    bias = rng.standard_normal(8).astype(np.float32)
    (found,) = CATALOG[REDUCED_DECONVOLUTION].reference(ReducedParams(own, number), [x], [w, bias])
    turned = by_outputs(w, group)
    codes, scales = weight_codes(turned)
    rounded = by_outputs(codes * scales[:, None, None, None], group)
    (want,) = DECONVOLUTION.reference(own, [number.rounded(x)], [rounded, bias])
    np.testing.assert_allclose(found, want, atol=1e-4)
    np.testing.assert_array_equal(by_outputs(turned, group), w)
