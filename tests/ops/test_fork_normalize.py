from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops.forks.batch_norm import BN
from netc.ops.forks.normalize import NORMALIZE
from netc.ops.forks.normalize_places import NORMALIZE_PLACES
from tests.ops.cases import bind_layer, complaint, context_of, misfit, random_array, run_layer


def normalize_text(text: str = "norm_param { }") -> str:
    return f'name: "a" type: "Normalize" bottom: "x" top: "y" {text}'


def bn_text(text: str, tops: int = 1) -> str:
    names = " ".join(f'top: "y{i}"' for i in range(tops))
    return f'name: "a" type: "BN" bottom: "x" {names} bn_param {{ {text} }}'


channels_first = array_shapes(min_dims=2, max_dims=4, max_side=4)


@settings(max_examples=60, deadline=None)
@given(
    shape=channels_first,
    across=st.booleans(),
    shared=st.booleans(),
    seed=st.integers(0, 99),
)
def test_items_or_places_get_norm_1_times_the_scale(shape, across, shared, seed) -> None:
    x = random_array(*shape, seed=seed)
    scale = random_array(*(() if shared else (shape[1],)), seed=seed + 1)
    text = (
        f"norm_param {{ across_spatial: {str(across).lower()} "
        f"channel_shared: {str(shared).lower()} eps: 0.01 }}"
    )
    (y,) = run_layer(NORMALIZE, bind_layer(normalize_text(text)), [x], [scale])
    for index in np.ndindex(*shape):
        seen = x[index[0]] if across else x[(index[0], slice(None), *index[2:])]
        norm = np.sqrt((seen.astype(np.float64) ** 2).sum() + 0.01)
        factor = scale if shared else scale[index[1]]
        assert y[index] == pytest.approx(x[index] / norm * factor, rel=1e-4, abs=1e-6)


def test_ssds_scale_begins_as_1_or_as_written() -> None:
    for text, value in (("", 1), ("scale_filler { value: 20 }", 20)):
        layer = bind_layer(normalize_text(f"norm_param {{ channel_shared: false {text} }}"))
        (spec,) = NORMALIZE.weights(NORMALIZE.params(layer, context_of(layer)), [(1, 512, 4, 4)])
        assert (spec.shape, spec.filler.value) == ((512,), value)


def test_without_norm_param_there_is_no_weight() -> None:
    x = random_array(3, 5)
    (y,) = run_layer(NORMALIZE, bind_layer(normalize_text("")), [x], [])
    np.testing.assert_allclose((y * y).sum(1), 1, rtol=1e-5)


def test_without_norm_param_places_are_ambiguous() -> None:
    error = misfit(NORMALIZE, normalize_text(""), (1, 2, 3, 4))
    assert "3x4 places of 1x2x3x4" in error.message and "norm_param" in error.help[0]


def test_another_norm_is_refused() -> None:
    text = normalize_text('normalize_param { normalize_type: "L3" }')
    found = complaint(NORMALIZE_PLACES, text)
    assert (found.code, found.span.text) == ("unsupported-value", '"L3"')


@settings(max_examples=40, deadline=None)
@given(shape=channels_first, seed=st.integers(0, 99))
def test_segnets_bn_normalises_by_the_batch(shape, seed) -> None:
    x = random_array(*shape, seed=seed)
    scale, shift = (random_array(1, shape[1], 1, 1, seed=seed + i) for i in (1, 2))
    layer = bind_layer(bn_text("scale_filler { } shift_filler { }", 3))
    y, mean, variance = run_layer(BN, layer, [x], [scale, shift])
    full = x.astype(np.float64).reshape((*shape, 1, 1)[:4])
    np.testing.assert_allclose(mean[0, :, 0, 0], full.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(variance[0, :, 0, 0], full.var((0, 2, 3)), rtol=1e-3, atol=1e-5)
    if full.size > 2 * shape[1]:  # else the variance is rounding alone
        centred = full - full.mean((0, 2, 3), keepdims=True)
        deviation = np.sqrt(full.var((0, 2, 3), keepdims=True) + 1e-9)
        if deviation.min() > 0.05:
            wanted = scale * centred / deviation + shift
            np.testing.assert_allclose(y, wanted, rtol=1e-2, atol=1e-3)


def test_segnets_bn_for_inference_is_linear() -> None:
    x = random_array(2, 3, 4, 4)
    weights = [random_array(1, 3, 1, 1, seed=i) for i in (1, 2)]
    layer = bind_layer(bn_text("bn_mode: INFERENCE scale_filler { } shift_filler { }"))
    (y,) = run_layer(BN, layer, [x], weights)
    np.testing.assert_allclose(y, x * weights[0] + weights[1], rtol=1e-6)
    affine = BN.affine(BN.params(layer, context_of(layer)), [x.shape], weights)
    np.testing.assert_allclose(y[:, 1], affine.scale[1] * x[:, 1] + affine.shift[1], rtol=1e-5)


RUNNING = "slope_filler { value: 1 } bias_filler { }"


@settings(max_examples=30, deadline=None)
@given(shape=channels_first, seed=st.integers(0, 99), frozen=st.booleans())
def test_pspnets_bn_uses_its_running_averages(shape, seed, frozen) -> None:
    x = random_array(*shape, seed=seed)
    slope, bias, mean, variance = (
        random_array(1, shape[1], 1, 1, seed=seed + i) for i in range(1, 5)
    )
    weights = [slope, bias, mean, np.abs(variance)]
    layer = bind_layer(bn_text(f"{RUNNING} eps: 0.1 frozen: {str(frozen).lower()}"))
    phase = "TRAIN" if frozen else "TEST"
    (y,) = run_layer(BN, layer, [x], weights, phase)
    params = BN.params(layer, context_of(layer, phase))
    affine = BN.affine(params, [shape], weights)
    for c in range(shape[1]):
        part = (x[:, c] - mean[0, c, 0, 0]) / np.sqrt(np.abs(variance[0, c, 0, 0]) + 0.1)
        np.testing.assert_allclose(
            y[:, c], part * slope[0, c, 0, 0] + bias[0, c, 0, 0], rtol=1e-3, atol=1e-5
        )
        linear = affine.scale[c] * x[:, c] + affine.shift[c]
        np.testing.assert_allclose(y[:, c], linear, rtol=1e-3, atol=1e-4)
    outputs, after = BN.train(params, [x], weights)
    np.testing.assert_array_equal(outputs[0], y)
    assert all(a is b for a, b in zip(after, weights, strict=True))


def test_pspnets_bn_learns_its_averages() -> None:
    x = random_array(4, 3, 5, 5)
    weights = [random_array(1, 3, seed=i) for i in range(4)]
    layer = bind_layer(bn_text(f"{RUNNING} momentum: 0.75"))
    params = BN.params(layer, context_of(layer, "TRAIN"))
    assert BN.affine(params, [x.shape], weights) is None
    (y,), after = BN.train(params, [x], weights)
    bias = weights[1].reshape(1, 3, 1, 1)
    np.testing.assert_allclose(y.mean((0, 2, 3)), bias.ravel(), atol=1e-5)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    np.testing.assert_allclose(after[2], 0.75 * weights[2] + 0.25 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after[3], 0.75 * weights[3] + 0.25 * variance, rtol=1e-4)
    assert [a.shape for a in after] == [(1, 3)] * 4


@pytest.mark.parametrize(("frozen", "value"), [("true", 1), ("false", 0)])
def test_a_frozen_bn_without_weights_divides_by_1(frozen: str, value: int) -> None:
    layer = bind_layer(bn_text(f"{RUNNING} frozen: {frozen}"))
    specs = BN.weights(BN.params(layer, context_of(layer)), [(2, 3)])
    assert [spec.filler.value for spec in specs] == [1, 0, 0, value]


@pytest.mark.parametrize(
    ("text", "tops", "code"),
    [
        ("", 1, "ambiguous-layer"),
        ("scale_filler { } slope_filler { }", 1, "conflicting-fields"),
        ("scale_filler { } decay: 0.5", 1, "unsupported-field"),
        ("slope_filler { } icnet: true", 1, "unsupported-field"),
        ("bn_mode: INFERENCE", 2, "top-count"),
        ("slope_filler { }", 2, "top-count"),
    ],
)
def test_fields_that_tell_no_one_layer(text: str, tops: int, code: str) -> None:
    assert complaint(BN, bn_text(text, tops)).code == code


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 4, 5, 6)])
def test_bn_is_of_images(shape) -> None:
    assert "BN takes 2 to 5 axes" in misfit(BN, bn_text("slope_filler { }"), shape).message
