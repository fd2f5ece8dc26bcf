from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError
from netc.ops.define import POINTWISE, Window
from netc.ops.forks.resizing import INTERP
from netc.ops.forks.upsampling import UPSAMPLE
from netc.ops.pooling import POOLING
from tests.ops.cases import bind_layer, complaint, context_of, misfit, random_array, run_layer


def text_of(op, text: str = "", bottoms: int = 1) -> str:
    inputs = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    return f'name: "a" type: "{op.name}" {inputs} top: "y" {op.name.lower()}_param {{ {text} }}'


def params_of(op, text: str, bottoms: int = 1):
    layer = bind_layer(text_of(op, text, bottoms))
    return op.params(layer, context_of(layer))


def forward(op, text: str, *inputs):
    (y,) = run_layer(op, bind_layer(text_of(op, text, len(inputs))), inputs, [])
    return y


def bilinear(x, height: int, width: int):
    """interp.cpp, element by element."""
    y = np.zeros((*x.shape[:2], height, width))
    ratios = [
        (s - 1) / (t - 1) if t > 1 else 0 for s, t in zip(x.shape[2:], (height, width), strict=True)
    ]
    for i, j in np.ndindex(height, width):
        at = [i * ratios[0], j * ratios[1]]
        low = [int(a + 1e-9) for a in at]
        high = [min(a + 1, s - 1) for a, s in zip(low, x.shape[2:], strict=True)]
        u, v = at[0] - low[0], at[1] - low[1]
        top = (1 - v) * x[:, :, low[0], low[1]] + v * x[:, :, low[0], high[1]]
        bottom = (1 - v) * x[:, :, high[0], low[1]] + v * x[:, :, high[0], high[1]]
        y[:, :, i, j] = (1 - u) * top + u * bottom
    return y


sides = st.integers(1, 5)


@settings(max_examples=80, deadline=None)
@given(size=st.tuples(sides, sides), wanted=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_interp_is_bilinear_and_keeps_the_corners(size, wanted) -> None:
    x = random_array(2, 3, *size)
    y = forward(INTERP, f"height: {wanted[0]} width: {wanted[1]}", x)
    np.testing.assert_allclose(y, bilinear(x, *wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("zoom_factor: 8", (33, 25)),
        ("shrink_factor: 2", (3, 2)),
        ("zoom_factor: 2 height: 9 width: 9", (9, 7)),  # one factor goes before a size
        ("zoom_factor: 2 shrink_factor: 3 height: 9 width: 8", (9, 8)),  # two go after it
        ("zoom_factor: 2 shrink_factor: 3", (3, 3)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -1", (5, 3)),
    ],
)
def test_sizes_of_interp(text: str, size) -> None:
    assert INTERP.shape(params_of(INTERP, text), [(1, 2, 5, 4)]) == ((1, 2, *size),)


def test_a_negative_padding_crops() -> None:
    x = random_array(1, 1, 6, 6)
    y = forward(INTERP, "zoom_factor: 2 pad_beg: -1 pad_end: -2", x)
    np.testing.assert_allclose(y, bilinear(x[:, :, 1:4, 1:4], 5, 5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("height: 4", "missing-field", "4"),
        ("width: 4", "missing-field", "4"),
        ("pad_beg: 1 zoom_factor: 2", "out-of-range", "1"),
        ("zoom_factor: 0", "out-of-range", "0"),
        ("zoom_factor: 2 align_corners: false", "unsupported-field", "false"),
    ],
)
def test_sizes_that_interp_refuses(text: str, code: str, place: str) -> None:
    found = complaint(INTERP, text_of(INTERP, text))
    assert (found.code, found.span.text) == (code, place)


def test_interp_needs_some_size() -> None:
    assert complaint(INTERP, text_of(INTERP)).code == "missing-field"


def test_nothing_left_of_the_bottom() -> None:
    error = misfit(INTERP, text_of(INTERP, "zoom_factor: 2 pad_beg: -4"), (1, 1, 9, 4))
    assert "leave nothing of 9x4" in error.message
    assert "takes 4 axes" in misfit(INTERP, text_of(INTERP, "zoom_factor: 2"), (1, 9, 4)).message


def test_a_zoom_is_a_deconvolution_by_triangles() -> None:
    for text, made, wanted in (
        ("zoom_factor: 4", (17, 9), Window((7, 7), (4, 4), (3, 3), (1, 1), fractional=True)),
        ("shrink_factor: 2", (3, 2), Window((1, 1), (2, 2), (0, 0), (1, 1))),
        ("height: 5 width: 3", (5, 3), POINTWISE),
        ("height: 8 width: 8", (8, 8), Window(whole=True)),
    ):
        shapes = [(1, 1, 5, 3)], [(1, 1, *made)]
        assert INTERP.window(params_of(INTERP, text), *shapes) == wanted


@settings(max_examples=30, deadline=None)
@given(scale=st.integers(1, 4), height=sides, width=sides)
def test_one_bottom_repeats_elements(scale: int, height: int, width: int) -> None:
    x = random_array(2, 3, height, width)
    y = forward(UPSAMPLE, f"scale: {scale}", x)
    for i, j in np.ndindex(*y.shape[2:]):
        np.testing.assert_array_equal(y[:, :, i, j], x[:, :, i // scale, j // scale])


def test_one_bottom_and_no_scale_is_the_bottom() -> None:
    x = random_array(1, 2, 3, 3)
    np.testing.assert_array_equal(forward(UPSAMPLE, "", x), x)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 3), width=st.integers(1, 3), seed=st.integers(0, 99))
def test_two_bottoms_put_back_what_pooling_took(height: int, width: int, seed: int) -> None:
    x = random_array(2, 3, 2 * height, 2 * width, seed=seed)
    pool = bind_layer(
        'name: "p" type: "Pooling" bottom: "x" top: "y" top: "mask" '
        "pooling_param { kernel_size: 2 stride: 2 }"
    )
    best, mask = run_layer(POOLING, pool, [x], [])
    y = forward(UPSAMPLE, "scale: 2", best, mask)
    blocks = x.reshape(2, 3, height, 2, width, 2)
    largest = blocks == blocks.max((3, 5), keepdims=True)
    np.testing.assert_array_equal(y, np.where(largest, blocks, 0).reshape(x.shape))


def test_of_equal_indices_the_last_stays() -> None:
    x = np.float32([[[[1, 2, 3]]]])
    mask = np.float32([[[[0, 5, 0]]]])
    y = forward(UPSAMPLE, "upsample_h: 2 upsample_w: 3", x, mask)
    assert y.tolist() == [[[[3, 0, 0], [0, 0, 2]]]]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", (6, 8)),
        ("scale: 3", (9, 12)),
        ("scale_h: 2 scale_w: 5", (6, 20)),
        ("scale: 2 pad_out_h: true", (5, 8)),
        ("scale: 2 upsample_h: 45 upsample_w: 60", (45, 60)),
    ],
)
def test_sizes_of_segnets_upsample(text: str, size) -> None:
    params = params_of(UPSAMPLE, text, 2)
    assert UPSAMPLE.shape(params, [(1, 2, 3, 4)] * 2) == ((1, 2, *size),)


@pytest.mark.parametrize(
    ("text", "bottoms", "code"),
    [
        ("scale: 1", 2, "out-of-range"),
        ("scale: 0", 1, "out-of-range"),
        ("scale: 1.5", 1, "out-of-range"),
        ("scale_h: 2", 2, "missing-field"),
        ("scale: 3 pad_out_w: true", 2, "conflicting-fields"),
        ("upsample_h: 4 upsample_w: 1", 2, "out-of-range"),
        ("upsample_h: 4 upsample_w: 4", 1, "unsupported-field"),
    ],
)
def test_sizes_that_upsample_refuses(text: str, bottoms: int, code: str) -> None:
    assert complaint(UPSAMPLE, text_of(UPSAMPLE, text, bottoms)).code == code


@pytest.mark.parametrize("mask", [(1, 2, 3, 5), (1, 2, 3)])
def test_a_mask_has_the_bottoms_shape(mask) -> None:
    error = misfit(UPSAMPLE, text_of(UPSAMPLE, "", 2), (1, 2, 3, 4), mask)
    assert "the bottom is 1x2x3x4 and the mask is 1x2x3" in error.message


@pytest.mark.parametrize("index", [-1, 6])
def test_a_mask_of_another_size_is_told(index: int) -> None:
    x = np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(NetcError) as caught:
        forward(UPSAMPLE, "upsample_h: 2 upsample_w: 3", x, index * x)
    (found,) = caught.value.diagnostics
    assert f"names element {index} of a plane of 2x3, whose elements are 0 to 5" in found.message


def test_upsample_spreads_over_its_block() -> None:
    params = params_of(UPSAMPLE, "scale: 3")
    window = UPSAMPLE.window(params, [(1, 1, 2, 2)], [(1, 1, 6, 6)])
    assert window == Window((3, 3), (3, 3), (0, 0), (1, 1), fractional=True)


@pytest.mark.parametrize("scale", ["nan", "inf", "2.5"])
def test_a_scale_is_a_whole_number(scale: str) -> None:
    with pytest.raises(NetcError, match="out-of-range"):
        params_of(UPSAMPLE, f"scale: {scale}")


def upsampled(x, fields: str, *more):
    bottoms = "".join(
        f'input: "x{i}" input_shape {{ {" ".join(f"dim: {n}" for n in a.shape)} }} '
        for i, a in enumerate((x, *more))
    )
    named = " ".join(f'bottom: "x{i}"' for i in range(1 + len(more)))
    layer = f'name: "u" type: "Upsample" {named} top: "u" upsample_param {{ {fields} }}'
    text = f"{bottoms} layer {{ {layer} }}"
    net = netc.compile(text=text, backend="reference")
    return net(**{f"x{i}": a for i, a in enumerate((x, *more))})["u"]


@pytest.mark.parametrize(
    ("fields", "size"),
    [("height_scale: 2 width_scale: 3", (6, 12)), ("height: 5 width: 7", (5, 7)), ("", (4, 9))],
)
@pytest.mark.parametrize("mode", ["NEAREST", "BILINEAR"])
def test_upsample_with_modes(fields: str, size: tuple[int, int], mode: str) -> None:
    x = random_array(2, 3, 3, 4)
    more = [] if fields else [random_array(1, 1, *size)]
    y = upsampled(x, f"{fields} mode: {mode}", *more)
    if mode == "BILINEAR":
        np.testing.assert_allclose(y, bilinear(x, *size), rtol=1e-5, atol=1e-6)
    else:
        for i, j in np.ndindex(*size):
            np.testing.assert_array_equal(
                y[:, :, i, j], x[:, :, i * 3 // size[0], j * 4 // size[1]]
            )


def test_upsample_with_modes_needs_a_size() -> None:
    with pytest.raises(NetcError, match="height_scale"):
        upsampled(random_array(1, 1, 2, 2), "mode: NEAREST height: 4")
