from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops.batch_norm import BATCH_NORM
from netc.ops.catalog import CATALOG
from netc.ops.define import POINTWISE
from netc.ops.normalization import MVN, SOFTMAX
from tests.ops.cases import (
    assert_close,
    bind_layer,
    cases_of,
    check_case,
    complaint,
    context_of,
    load_case,
    misfit,
    random_array,
    read_only,
    run_layer,
)

MESSAGES = {"BatchNorm": "batch_norm_param", "MVN": "mvn_param", "Softmax": "softmax_param"}


def text_of(op, text: str = "", more: str = "") -> str:
    return (
        f'name: "a" type: "{op.name}" bottom: "x" top: "y" {MESSAGES[op.name]} {{ {text} }} {more}'
    )


def forward(op, text: str, x, *weights, phase: str = "TEST"):
    (y,) = run_layer(op, bind_layer(text_of(op, text)), [x], weights, phase)
    return y


@pytest.mark.parametrize("name", cases_of("BatchNorm", "MVN", "Softmax"))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


@pytest.mark.parametrize(
    "name", [name for name in cases_of("BatchNorm") if load_case(name).params_after]
)
def test_golden_averages_after_a_forward_in_training(name: str) -> None:
    case = load_case(name)
    (layer,) = case.layers
    params = BATCH_NORM.params(layer, context_of(layer, case.phase))
    weights = [read_only(w) for w in case.params["op"]]
    outputs, after = BATCH_NORM.train(params, [read_only(case.inputs["x"])], weights)
    assert_close(outputs[0], case.outputs["y"])
    for got, wanted in zip(after, case.params_after["op"], strict=True):
        assert got.dtype == np.float32
        assert_close(got, wanted, name)


channels_first = array_shapes(min_dims=2, max_dims=5, max_side=4)


@settings(max_examples=30, deadline=None)
@given(shape=channels_first, factor=st.sampled_from([0.0, 1.0, 2.5]), seed=st.integers(0, 99))
def test_stored_statistics_are_divided_by_the_factor(shape, factor, seed) -> None:
    x, mean = random_array(*shape, seed=seed), random_array(shape[1], seed=seed + 1)
    variance = np.abs(random_array(shape[1], seed=seed + 2))
    y = forward(BATCH_NORM, "eps: 0.1", x, mean, variance, np.float32([factor]))
    scale = 1 / factor if factor else 0
    for channel in range(shape[1]):
        wanted = (x[:, channel] - mean[channel] * scale) / np.sqrt(variance[channel] * scale + 0.1)
        np.testing.assert_allclose(y[:, channel], wanted, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(shape=channels_first, seed=st.integers(0, 99))
def test_a_batch_is_normalised_by_itself(shape, seed) -> None:
    x = random_array(*shape, seed=seed)
    stored = [np.zeros(shape[1], np.float32)] * 2 + [np.zeros(1, np.float32)]
    y = forward(BATCH_NORM, "eps: 0.1", x, *stored, phase="TRAIN")
    for channel in range(shape[1]):
        part = x[:, channel].astype(np.float64)
        wanted = (part - part.mean()) / np.sqrt(part.var() + 0.1)
        np.testing.assert_allclose(y[:, channel], wanted, rtol=1e-3, atol=1e-4)


def test_averages_of_many_batches_are_those_of_all() -> None:
    layer = bind_layer(text_of(BATCH_NORM, "moving_average_fraction: 1"))
    params = BATCH_NORM.params(layer, context_of(layer, "TRAIN"))
    weights = [np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(1, np.float32)]
    batches = [random_array(4, 3, 5, seed=i) for i in range(6)]
    for batch in batches:
        _, weights = BATCH_NORM.train(params, [batch], weights)
    assert weights[2] == 6
    np.testing.assert_allclose(
        weights[0] / 6, np.mean([b.mean((0, 2)) for b in batches], axis=0), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        weights[1] / 6, np.mean([b.var((0, 2), ddof=1) for b in batches], axis=0), rtol=1e-4
    )


def test_one_sample_has_no_unbiased_variance() -> None:
    layer = bind_layer(text_of(BATCH_NORM))
    params = BATCH_NORM.params(layer, context_of(layer, "TRAIN"))
    weights = [np.zeros(2, np.float32), np.ones(2, np.float32), np.ones(1, np.float32)]
    _, after = BATCH_NORM.train(params, [random_array(1, 2)], weights)
    np.testing.assert_allclose(after[1], 0.999, rtol=1e-6)


def test_phase_decides_unless_it_is_written() -> None:
    for text, phase, stored in (
        ("", "TEST", True),
        ("", "TRAIN", False),
        ("use_global_stats: false", "TEST", False),
        ("use_global_stats: true", "TRAIN", True),
    ):
        layer = bind_layer(text_of(BATCH_NORM, text))
        params = BATCH_NORM.params(layer, context_of(layer, phase))
        assert params.use_global_stats is stored
        shapes = [(2, 3, 4, 4)]
        assert (BATCH_NORM.window(params, shapes, shapes) == POINTWISE) is stored


def test_no_variance_and_no_eps_is_no_warning() -> None:
    x = np.zeros((1, 1), np.float32)
    y = forward(BATCH_NORM, "eps: 0", x, *[np.zeros(1, np.float32)] * 3)
    assert np.isnan(y).all()


@pytest.mark.parametrize("shape", [(5,), ()])
def test_batch_norm_needs_channels(shape) -> None:
    error = misfit(BATCH_NORM, text_of(BATCH_NORM), shape)
    assert error.message.startswith("BatchNorm needs at least 2 axes")


def test_statistics_are_not_trained() -> None:
    found = complaint(
        BATCH_NORM, text_of(BATCH_NORM, "", "param { lr_mult: 0 } param { lr_mult: 2 }")
    )
    assert (found.code, found.span.text) == ("trained-statistics", "2")
    assert "write `param { lr_mult: 0 }`" in found.help[0]


def test_a_forks_fusion_is_not_passed_over() -> None:
    found = complaint(BATCH_NORM, text_of(BATCH_NORM, "fused_relu: true"))
    assert found.code == "unsupported-field"


@settings(max_examples=40, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=4, max_side=4),
    variance=st.booleans(),
    across=st.booleans(),
    seed=st.integers(0, 99),
)
def test_mvn_is_its_formula_in_four_axes(shape, variance, across, seed) -> None:
    x = random_array(*shape, seed=seed)
    flags = f"normalize_variance: {str(variance).lower()} across_channels: {str(across).lower()}"
    y = forward(MVN, f"{flags} eps: 0.25", x)
    full = (*shape, 1, 1, 1)[:4]
    assert y.shape == full
    rows = x.astype(np.float64).reshape(full[0] if across else full[0] * full[1], -1)
    wanted = rows - rows.mean(1, keepdims=True)
    if variance:
        wanted = wanted / (rows.std(1, keepdims=True) + 0.25)
    np.testing.assert_allclose(y.reshape(rows.shape), wanted, rtol=1e-4, atol=1e-5)


def test_mvn_has_four_axes() -> None:
    error = misfit(MVN, text_of(MVN), (1, 2, 3, 4, 5))
    assert error.message == "MVN takes at most 4 axes, and the bottom 1x2x3x4x5 has 5"


@settings(max_examples=40, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=5, max_side=4),
    axis=st.integers(-5, 4),
    seed=st.integers(0, 99),
)
def test_softmax_sums_to_1_along_its_axis(shape, axis, seed) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    x = random_array(*shape, seed=seed)
    y = forward(SOFTMAX, f"axis: {axis}", x)
    np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-5)
    wanted = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    np.testing.assert_allclose(y, wanted, rtol=1e-4)


def test_softmax_of_huge_values() -> None:
    y = forward(SOFTMAX, "", np.float32([[3e38, 3e38, -3e38]]))
    np.testing.assert_allclose(y, [[0.5, 0.5, 0]])


@pytest.mark.parametrize("axis", [2, -3])
def test_softmax_needs_its_axis(axis: int) -> None:
    error = misfit(SOFTMAX, text_of(SOFTMAX, f"axis: {axis}"), (2, 3))
    assert error.field == "softmax_param.axis"
    assert error.help == ("use -2 to 1",)


@pytest.mark.parametrize(("axis", "pointwise"), [(1, True), (-4, True), (2, False), (-1, False)])
def test_softmax_over_places_sees_them_all(axis: int, pointwise: bool) -> None:
    layer = bind_layer(text_of(SOFTMAX, f"axis: {axis}"))
    params = SOFTMAX.params(layer, context_of(layer))
    window = SOFTMAX.window(params, [(1, 2, 3, 4)], [(1, 2, 3, 4)])
    assert (window == POINTWISE) is pointwise and window.whole is not pointwise


@pytest.mark.parametrize("text", ["scale_bias: true", "scale_filler { value: 2 }"])
def test_nvidias_scale_and_bias_are_blobs_3_and_4(text: str) -> None:
    layer = bind_layer(text_of(BATCH_NORM, f"{text} eps: 0.5"))
    params = BATCH_NORM.params(layer, context_of(layer))
    x = random_array(2, 3, 4)
    specs = BATCH_NORM.weights(params, [x.shape])
    assert [spec.shape for spec in specs] == [(3,), (3,), (1,), (3,), (3,)]
    assert specs[3].filler.value == (1 if "bias" in text else 2)
    weights = [np.abs(random_array(*spec.shape, seed=i)) for i, spec in enumerate(specs)]
    mean, variance, factor, scale, bias = weights
    (y,) = run_layer(BATCH_NORM, layer, [x], weights)
    affine = BATCH_NORM.affine(params, [x.shape], weights)
    for c in range(3):
        part = (x[:, c] - mean[c] / factor) / np.sqrt(variance[c] / factor + 0.5)
        np.testing.assert_allclose(y[:, c], scale[c] * part + bias[c], rtol=1e-4, atol=1e-5)
        linear = affine.scale[c] * x[:, c] + affine.shift[c]
        np.testing.assert_allclose(y[:, c], linear, rtol=1e-4, atol=1e-5)


def test_nvidias_averages_are_plain() -> None:
    layer = bind_layer(
        text_of(BATCH_NORM, "scale_bias: true eps: 0.5 moving_average_fraction: 0.75")
    )
    params = BATCH_NORM.params(layer, context_of(layer, "TRAIN"))
    x = random_array(4, 3, 5)
    weights = [random_array(3, seed=i) for i in range(2)] + [np.ones(1, np.float32)]
    weights += [random_array(3, seed=i) for i in (3, 4)]
    _, after = BATCH_NORM.train(params, [x], weights)
    np.testing.assert_allclose(after[0], 0.75 * weights[0] + 0.25 * x.mean((0, 2)), rtol=1e-4)
    variance = x.var((0, 2)) + 0.5
    np.testing.assert_allclose(after[1], 0.75 * weights[1] + 0.25 * variance, rtol=1e-4)
    assert all(a is b for a, b in zip(after[2:], weights[2:], strict=True))


def test_intels_fillers_of_a_scale_to_come_do_nothing() -> None:
    layer = bind_layer(text_of(BATCH_NORM, "filler { value: 1 } bias_filler { }"))
    assert len(BATCH_NORM.weights(BATCH_NORM.params(layer, context_of(layer)), [(2, 3)])) == 3


def test_a_filler_that_forks_disagree_on_is_refused() -> None:
    found = complaint(BATCH_NORM, text_of(BATCH_NORM, "bias_filler { }"))
    assert found.code == "unsupported-field"
