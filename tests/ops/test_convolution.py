from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.ops import convolution
from netc.ops.catalog import CATALOG, LAYERS
from netc.ops.convolution import CONVOLUTION, DECONVOLUTION
from netc.ops.convolution_params import ConvolutionParams, Im2colParams
from netc.ops.define import Cost, LayerContext, OpDef, ShapeError
from netc.ops.im2col import IM2COL
from netc.ops.window import Window
from tests.ops.cases import bind_layer, cases_of, check_case, load_case

GOLDEN = cases_of("Convolution", "Deconvolution", "Im2col")


@pytest.mark.parametrize("name", GOLDEN)
def test_agrees_with_caffe(name: str) -> None:
    check_case(load_case(name), CATALOG)


@pytest.mark.parametrize("name", GOLDEN)
def test_agrees_with_caffe_in_bands_of_one_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "BAND_ELEMENTS", 1)
    check_case(load_case(name), CATALOG)


# Against a loop over every multiplication


class Problem(NamedTuple):
    params: ConvolutionParams
    x: np.ndarray
    share: int  # channels of a group

    @property
    def window(self) -> list[tuple[int, ...]]:
        w = self.params.window
        return list(zip(w.kernel, w.stride, w.pad, w.dilation, strict=True))


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    axes, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    share, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2))

    def numbers(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(least, most), min_size=axes, max_size=axes)))

    window = Window(numbers(1, 3), numbers(1, 3), numbers(0, 2), numbers(1, 2))
    shape = (draw(st.integers(1, 2)), share * group, *numbers(1, 5))
    x = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape).astype(np.float32)
    params = ConvolutionParams(outputs * group, window, group, bias=draw(st.booleans()))
    return Problem(params, x, share)


def weights_of(op: OpDef, problem: Problem) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    specs = op.weights(problem.params, [problem.x.shape])
    return [rng.normal(size=spec.shape).astype(np.float32) for spec in specs]


def products(problem: Problem, out: tuple[int, ...], size: tuple[int, ...]):
    """(output place, input place, kernel place) of every product along the spatial axes."""
    for place in itertools.product(*map(range, out)):
        for tap in itertools.product(*(range(k) for k, *_ in problem.window)):
            met = tuple(
                p * stride - pad + t * dilation
                for p, t, (_, stride, pad, dilation) in zip(place, tap, problem.window, strict=True)
            )
            if all(0 <= m < s for m, s in zip(met, size, strict=True)):
                yield place, met, tap


def direct_convolution(problem: Problem, w: np.ndarray, out: tuple[int, ...]) -> np.ndarray:
    x, group = problem.x.astype(np.float64), problem.params.group
    outputs = problem.params.num_output // group
    y = np.zeros((len(x), problem.params.num_output, *out))
    for place, met, tap in products(problem, out, x.shape[2:]):
        for n, o, c in itertools.product(range(len(x)), range(y.shape[1]), range(problem.share)):
            channel = o // outputs * problem.share + c
            y[(n, o, *place)] += x[(n, channel, *met)] * w[(o, c, *tap)]
    return y


def direct_deconvolution(problem: Problem, w: np.ndarray, out: tuple[int, ...]) -> np.ndarray:
    x, group = problem.x.astype(np.float64), problem.params.group
    outputs = problem.params.num_output // group
    y = np.zeros((len(x), problem.params.num_output, *out))
    for place, met, tap in products(problem, x.shape[2:], out):
        for n, c, o in itertools.product(range(len(x)), range(x.shape[1]), range(outputs)):
            channel = c // problem.share * outputs + o
            y[(n, channel, *met)] += x[(n, c, *place)] * w[(c, o, *tap)]
    return y


DIRECT = {"Convolution": direct_convolution, "Deconvolution": direct_deconvolution}


@pytest.mark.parametrize("op", [CONVOLUTION, DECONVOLUTION], ids=lambda op: op.name)
@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_agrees_with_one_product_after_another(op: OpDef, problem: Problem) -> None:
    try:
        (shape,) = op.shape(problem.params, [problem.x.shape])
    except ShapeError as error:
        assert "larger than the padded" in error.message or "takes away" in error.message
        return
    weights = weights_of(op, problem)
    (y,) = op.reference(problem.params, [problem.x], weights)
    wanted = DIRECT[op.name](problem, weights[0], shape[2:])
    if problem.params.bias:
        wanted = wanted + weights[1].reshape(-1, *(1,) * (wanted.ndim - 2))
    assert y.shape == shape and y.dtype == np.float32
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)


@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_im2col_is_what_convolution_multiplies(problem: Problem) -> None:
    params = Im2colParams(problem.params.window)
    one_group = ConvolutionParams(2, problem.params.window, bias=False)
    try:
        (shape,) = IM2COL.shape(params, [problem.x.shape])
    except ShapeError:
        return
    (columns,) = IM2COL.reference(params, [problem.x], [])
    assert columns.shape == shape
    (w,) = weights_of(CONVOLUTION, problem._replace(params=one_group))
    (y,) = CONVOLUTION.reference(one_group, [problem.x], [w])
    flat = w.reshape(2, -1) @ columns.reshape(shape[0], shape[1], -1)
    np.testing.assert_allclose(flat.reshape(y.shape), y, rtol=1e-4, atol=1e-5)


# Shapes


def parse(text: str, op: OpDef = CONVOLUTION) -> object:
    layer = bind_layer(f'type: "{op.name}" convolution_param {{ {text} }}')
    return op.params(layer, LayerContext("TEST", 1, 1))


@pytest.mark.parametrize(
    ("text", "bottom", "top", "weight"),
    [
        ("num_output: 8 kernel_size: 3", (2, 6, 9, 7), (2, 8, 7, 5), (8, 6, 3, 3)),
        ("num_output: 8 kernel_size: 3 group: 2", (2, 6, 9, 7), (2, 8, 7, 5), (8, 3, 3, 3)),
        (
            "num_output: 8 kernel_h: 3 kernel_w: 1 pad_h: 1",
            (2, 6, 9, 7),
            (2, 8, 9, 7),
            (8, 6, 3, 1),
        ),
        (
            "num_output: 8 kernel_size: 3 dilation: 2 pad: 2",
            (2, 6, 9, 7),
            (2, 8, 9, 7),
            (8, 6, 3, 3),
        ),
        ("num_output: 4 kernel_size: 2 axis: 2", (2, 3, 6, 9, 7), (2, 3, 4, 8, 6), (4, 6, 2, 2)),
        ("num_output: 4 kernel_size: 2 axis: -2", (2, 3, 6, 9, 7), (2, 3, 6, 4, 6), (4, 9, 2)),
        ("num_output: 4 kernel_size: 1", (2, 5), (2, 4), (4, 5)),
        ("num_output: 4", (2, 5), (2, 4), (4, 5)),
        ("num_output: 4 kernel_size: 3 stride: 2", (1, 1, 2, 3), (1, 4, 1, 1), (4, 1, 3, 3)),
    ],
)
def test_shapes(text: str, bottom: tuple, top: tuple, weight: tuple) -> None:
    params = parse(text)
    assert CONVOLUTION.shape(params, [bottom]) == (top,)
    specs = CONVOLUTION.weights(params, [bottom])
    assert [spec.shape for spec in specs] == [weight, (params.num_output,)]
    rng = np.random.default_rng(0)
    x = rng.normal(size=bottom).astype(np.float32)
    w = [rng.normal(size=spec.shape).astype(np.float32) for spec in specs]
    assert CONVOLUTION.reference(params, [x], w)[0].shape == top


def test_a_window_that_overhangs_by_less_than_its_stride_sees_zeros() -> None:
    params = parse("num_output: 1 kernel_size: 3 stride: 2 bias_term: false")
    x = np.ones((1, 1, 2, 2), np.float32)
    assert CONVOLUTION.reference(params, [x], [np.ones((1, 1, 3, 3), np.float32)])[0] == 4


def test_without_spatial_axes_it_is_a_matrix_product() -> None:
    params = parse("num_output: 4")
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((3, 5), (4, 5), (4,)))
    np.testing.assert_allclose(
        CONVOLUTION.reference(params, [x], [w, b])[0], x @ w.T + b, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        DECONVOLUTION.reference(params, [x], [w.T.copy(), b])[0], x @ w.T + b, rtol=1e-5, atol=1e-6
    )


def test_many_bottoms_share_the_weights() -> None:
    params = parse("num_output: 2 kernel_size: 1")
    assert CONVOLUTION.shape(params, [(1, 3, 4, 4)] * 3) == ((1, 2, 4, 4),) * 3


@pytest.mark.parametrize(
    ("text", "bottoms", "message", "field"),
    [
        (
            "kernel_size: 7",
            [(1, 1, 5, 9)],
            "`kernel_size` 7 is larger than the padded height 5",
            "convolution_param.kernel_size",
        ),
        (
            "kernel_h: 3 kernel_w: 7 pad_w: 1",
            [(1, 1, 5, 4)],
            "`kernel_w` 7 is larger than the padded width 6",
            "convolution_param.kernel_w",
        ),
        (
            "kernel_size: 3 dilation: 4",
            [(1, 1, 5, 9)],
            "`kernel_size` 3 with `dilation` 4, together 9, is larger than the padded height 5",
            "convolution_param.kernel_size",
        ),
        (
            "kernel_size: 7",
            [(1, 1, 5)],
            "`kernel_size` 7 is larger than the padded size of spatial axis 0 5",
            "convolution_param.kernel_size",
        ),
        (
            "kernel_size: 3 group: 4",
            [(1, 6, 5, 5)],
            "6 channels of the bottom are not a multiple of `group` 4",
            "convolution_param.group",
        ),
        (
            "kernel_size: 1 axis: 4",
            [(1, 6, 5, 5)],
            "`axis` 4 is out of range for the 4 axes of 1x6x5x5",
            "convolution_param.axis",
        ),
        (
            "kernel_size: 3 kernel_size: 3",
            [(1, 6, 5, 5, 5)],
            "`kernel_size` is given 2 times, and the bottom has 3 spatial axes",
            "convolution_param.kernel_size",
        ),
        (
            "kernel_h: 3 kernel_w: 3",
            [(1, 6, 5)],
            "`kernel_h` and `kernel_w` are for 2 spatial axes, and the bottom has 1",
            "convolution_param.kernel_h",
        ),
        (
            "stride: 2",
            [(1, 6, 5, 5)],
            "`kernel_size` is not given, and the bottom has 2 spatial axes",
            "convolution_param",
        ),
        (
            "kernel_size: 1",
            [(1, 6, 5, 5), (1, 6, 5, 6)],
            "all bottoms must have one shape, bottom 0 is 1x6x5x5, bottom 1 is 1x6x5x6",
            None,
        ),
        ("kernel_size: 1", [(1, 0, 5, 5)], "the bottom has 0 channels, at least 1 is needed", None),
    ],
)
def test_shapes_that_do_not_fit(text: str, bottoms: list, message: str, field: str | None) -> None:
    with pytest.raises(ShapeError) as caught:
        CONVOLUTION.shape(parse(f"num_output: 4 {text}"), bottoms)
    assert (caught.value.message, caught.value.field) == (message, field)
    assert caught.value.help or "channels" in message


def test_a_deconvolution_that_pads_all_away() -> None:
    params = parse("num_output: 1 kernel_size: 3 pad: 9", DECONVOLUTION)
    with pytest.raises(ShapeError, match="takes away all of the height 6") as caught:
        DECONVOLUTION.shape(params, [(1, 1, 4, 4)])
    assert caught.value.field == "convolution_param.pad"
    assert caught.value.help == ("`pad` may be at most 2 here",)


def test_im2col_needs_a_spatial_axis() -> None:
    with pytest.raises(ShapeError, match="Im2col needs a spatial axis after axis 1"):
        IM2COL.shape(parse("kernel_size: 1", IM2COL), [(2, 3)])


# Parameters that cannot be


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("kernel_size: 3", "missing-field", None),
        ("num_output: 0 kernel_size: 3", "out-of-range", "0"),
        ("num_output: 4 kernel_size: 0", "out-of-range", "0"),
        ("num_output: 4 kernel_size: 4000000000", "out-of-range", "4000000000"),
        ("num_output: 4 kernel_size: 3 stride: 0", "out-of-range", "0"),
        ("num_output: 4 kernel_size: 3 stride: 1 stride: 0", "out-of-range", "0"),
        ("num_output: 4 kernel_size: 3 dilation: 0", "out-of-range", "0"),
        ("num_output: 4 kernel_size: 3 group: 0", "out-of-range", "0"),
        ("num_output: 4 kernel_size: 3 group: 3", "group-mismatch", "3"),
        ("num_output: 4 kernel_size: 3 kernel_h: 5", "conflicting-fields", "5"),
        ("num_output: 4 kernel_size: 3 pad: 1 pad_w: 5", "conflicting-fields", "5"),
        ("num_output: 4 kernel_h: 5", "missing-field", "5"),
        ("num_output: 4 kernel_size: 3 stride_w: 2", "missing-field", "2"),
        ('num_output: 4 kernel_size: 3 weight_filler { type: "no" }', "unknown-filler", '"no"'),
    ],
)
def test_bad_parameters_are_shown_at_their_field(text: str, code: str, at: str | None) -> None:
    with pytest.raises(NetcError) as caught:
        parse(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.help
    if at is not None:
        assert diagnostic.span is not None and diagnostic.span.text == at


def test_fields_of_forks_that_change_the_result_are_refused() -> None:
    with pytest.raises(NetcError, match="`fuse_type` of a Caffe fork changes the result"):
        parse("num_output: 4 kernel_size: 3 fuse_type: FUSED_CONV_RELU")
    params = parse("num_output: 4 kernel_size: 3 fuse_type: UNFUSED engine: CUDNN")
    assert params == parse("num_output: 4 kernel_size: 3 force_nd_im2col: true")


def test_absurd_numbers_are_settled_at_once() -> None:
    huge = 2**31 - 1
    params = parse(f"num_output: {huge} kernel_size: {huge} pad: {huge} stride: {huge}")
    (top,) = CONVOLUTION.shape(params, [(1, 3, 8, 8)])
    assert top == (1, huge, 2, 2)
    assert CONVOLUTION.weights(params, [(1, 3, 8, 8)])[0].shape == (huge, 3, huge, huge)


# Cost and window


def conv(num_output: int, kernel: int, group: int = 1, **window: int) -> ConvolutionParams:
    given = {name: (value,) for name, value in window.items()}
    return ConvolutionParams(num_output, Window((kernel,), **given), group)


def test_cost_of_alexnet_convolutions() -> None:
    layers = [
        (conv(96, 11, stride=4), (1, 3, 227, 227), 105415200),
        (conv(256, 5, 2, pad=2), (1, 96, 27, 27), 223948800),
        (conv(384, 3, pad=1), (1, 256, 13, 13), 149520384),
        (conv(384, 3, 2, pad=1), (1, 384, 13, 13), 112140288),
        (conv(256, 3, 2, pad=1), (1, 384, 13, 13), 74760192),
    ]
    macs = []
    for params, shape, _ in layers:
        (top,) = CONVOLUTION.shape(params, [shape])
        cost = CONVOLUTION.cost(params, [shape], [top])
        assert cost.operations == np.prod(top)
        macs.append(cost.macs)
    assert macs == [wanted for *_, wanted in layers]
    assert sum(macs) + 9216 * 4096 + 4096 * 4096 + 4096 * 1000 == 724406816


def test_a_deconvolution_costs_what_its_convolution_does() -> None:
    params = ConvolutionParams(6, Window((4,), (2,), (1,)), 2, bias=False)
    shapes = [(1, 4, 5, 5)], [(1, 6, 10, 10)]
    assert DECONVOLUTION.cost(params, *shapes) == Cost(4 * 25 * 3 * 16)


def test_windows() -> None:
    params = parse("num_output: 4 kernel_h: 3 kernel_w: 5 stride: 2 pad: 1 dilation: 2 dilation: 1")
    shapes = [(1, 1, 9, 9)], []
    window = Window((3, 5), (2, 2), (1, 1), (2, 1))
    assert CONVOLUTION.window(params, *shapes) == window
    assert IM2COL.window(Im2colParams(params.window), *shapes) == window
    assert DECONVOLUTION.window(params, *shapes) == replace(window, fractional=True)


def test_memory_is_bounded() -> None:
    """The columns of the whole image would be 36 times the image, 144 MB."""
    x = np.zeros((1, 16, 250, 250), np.float32)
    params = conv(1, 6, pad=3)
    weights = [np.zeros((1, 16, 6, 6), np.float32), np.zeros(1, np.float32)]
    tracemalloc.start()
    CONVOLUTION.reference(params, [x], weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_depthwise_layers_of_forks_are_convolutions() -> None:
    fields = "num_output: 8 kernel_size: 3 %s"
    plain, own = LAYERS["DepthwiseConvolution"], LAYERS["ConvolutionDepthwise"]
    assert (plain.name, own.name) == ("Convolution", "Convolution")
    written = parse(fields % "group: 8", plain)
    assert plain.weights(written, [(1, 8, 5, 5)])[0].shape == (8, 1, 3, 3)
    for text in ("", "group: 2"):  # which it does not read
        params = parse(fields % text, own)
        assert own.shape(params, [(1, 8, 5, 5)]) == ((1, 8, 3, 3),)
        assert own.weights(params, [(1, 8, 5, 5)])[0].shape == (8, 1, 3, 3)
    with pytest.raises(ShapeError, match=r"16 channels of the bottom .* `num_output` is 8"):
        own.shape(params, [(1, 16, 5, 5)])
