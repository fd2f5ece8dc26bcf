from __future__ import annotations

import numpy as np
import pytest

from netc.ops.catalog import CATALOG
from netc.ops.dropout import DROP_PATH, DROPOUT
from tests.ops.cases import (
    bind_layer,
    cases_of,
    check_case,
    complaint,
    context_of,
    load_case,
    misfit,
    random_array,
    run_layer,
)


def text_of(text: str, name: str = "drop") -> str:
    return f'name: "{name}" type: "Dropout" bottom: "x" top: "y" dropout_param {{ {text} }}'


def forward(text: str, x, phase: str, name: str = "drop"):
    (y,) = run_layer(DROPOUT, bind_layer(text_of(text, name)), [x], [], phase)
    return y


@pytest.mark.parametrize("name", cases_of("Dropout"))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


X = np.abs(random_array(4, 5, 50, 50)) + 1


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 0.9])
def test_training_drops_the_ratio_and_scales_the_rest(ratio: float) -> None:
    y = forward(f"dropout_ratio: {ratio}", X, "TRAIN")
    kept = y != 0
    assert kept.mean() == pytest.approx(1 - ratio, abs=0.02)
    np.testing.assert_allclose(y[kept], X[kept] / (1 - ratio), rtol=1e-6)


def test_a_layer_draws_the_same_mask_again_and_another_layer_another() -> None:
    first = forward("", X, "TRAIN", "a")
    np.testing.assert_array_equal(first, forward("", X, "TRAIN", "a"))
    assert (first != forward("", X, "TRAIN", "b")).any()


def test_random_seed_decides_where_it_is_given() -> None:
    first = forward("random_seed: 7", X, "TRAIN", "a")
    np.testing.assert_array_equal(first, forward("random_seed: 7", X, "TRAIN", "b"))


@pytest.mark.parametrize("field", ("scale_train: false", "scale_test: true"))
def test_without_scale_train_testing_scales_in_its_place(field: str) -> None:
    text = f"dropout_ratio: 0.25 {field}"
    y = forward(text, X, "TRAIN")
    np.testing.assert_array_equal(y[y != 0], X[y != 0])
    np.testing.assert_allclose(forward(text, X, "TEST"), X * 0.75, rtol=1e-6)


def test_sampling_while_testing_is_bayesian_segnets() -> None:
    text = "sample_weights_test: true"
    np.testing.assert_array_equal(forward(text, X, "TEST"), forward(text, X, "TRAIN"))


def test_testing_costs_nothing() -> None:
    layer = bind_layer(text_of(""))
    for phase, operations in (("TEST", 0), ("TRAIN", 2 * 6)):
        params = DROPOUT.params(layer, context_of(layer, phase))
        assert DROPOUT.cost(params, [(2, 3)], [(2, 3)]).operations == operations


@pytest.mark.parametrize("ratio", ["1", "-0.5", "nan"])
def test_a_ratio_is_a_share(ratio: str) -> None:
    found = complaint(DROPOUT, text_of(f"dropout_ratio: {ratio}"))
    assert (found.code, found.span.text) == ("out-of-range", ratio)


def test_a_forks_other_rule_is_refused() -> None:
    found = complaint(DROPOUT, text_of("dropout_ratio: 0.5 sqrt_scale: true"))
    assert found.code == "unsupported-field"


def path_text(text: str) -> str:
    return f'name: "drop" type: "DropPath" bottom: "x" top: "y" drop_path_param {{ {text} }}'


def path(text: str, x, phase: str):
    (y,) = run_layer(DROP_PATH, bind_layer(path_text(text)), [x], [], phase)
    return y


def test_a_path_is_weighted_by_its_survival_while_testing() -> None:
    np.testing.assert_allclose(path("survival_ratio: 0.75", X, "TEST"), 0.75 * X, rtol=1e-6)
    np.testing.assert_array_equal(path("survival_ratio: 0.75 scale_train: true", X, "TEST"), X)


def test_a_path_is_kept_or_dropped_as_a_whole_while_training() -> None:
    seen = {
        bool(path(f"random_seed: {seed}", X, "TRAIN").any())
        for seed in range(20)
        if np.isin(path(f"random_seed: {seed}", X, "TRAIN") / X, (0, 1)).all()
    }
    assert seen == {True, False}


@pytest.mark.parametrize("scaled", [False, True])
def test_each_sample_has_its_own_chance(scaled: bool) -> None:
    x = np.ones((4000, 2), np.float32)
    text = f"survival_ratio: 0.8 per_sample: true scale_train: {str(scaled).lower()}"
    y = path(text, x, "TRAIN")
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    assert (y != 0).mean() == pytest.approx(0.8, abs=0.03)
    np.testing.assert_allclose(y[y != 0], 1.25 if scaled else 1, rtol=1e-6)


def test_a_sure_path_is_the_identity() -> None:
    layer = bind_layer(path_text("survival_ratio: 1"))
    for phase in ("TEST", "TRAIN"):
        assert DROP_PATH.identity(DROP_PATH.params(layer, context_of(layer, phase)), [(2,)])
        np.testing.assert_array_equal(path("survival_ratio: 1", X, phase), X)


def test_samples_need_an_axis() -> None:
    assert "at least 1 axes" in misfit(DROP_PATH, path_text("per_sample: true"), ()).message


@pytest.mark.parametrize("ratio", ["0", "1.5", "nan"])
def test_survival_is_a_share(ratio: str) -> None:
    found = complaint(DROP_PATH, path_text(f"survival_ratio: {ratio}"))
    assert (found.code, found.span.text) == ("out-of-range", ratio)
