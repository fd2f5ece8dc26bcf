from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.ops.accuracy import ACCURACY
from netc.ops.define import LayerContext, ShapeError
from tests.ops.cases import bind_layer, cases_of, check_case, load_case, run_layer

OPS = {"Accuracy": ACCURACY}


def layer(text: str = "", tops: str = 'top: "acc"'):
    return bind_layer(f'name: "a" type: "Accuracy" bottom: "x" bottom: "label" {tops} {text}')


@pytest.mark.parametrize("name", cases_of("Accuracy"))
def test_golden(name: str) -> None:
    check_case(load_case(name), OPS)


@settings(max_examples=60, deadline=None)
@given(
    outer=st.integers(1, 4),
    classes=st.integers(1, 5),
    inner=st.integers(1, 3),
    top_k=st.integers(1, 5),
    ignored=st.sampled_from([None, 0, 1]),
    seed=st.integers(0, 9999),
)
def test_counts_one_by_one(outer, classes, inner, top_k, ignored, seed) -> None:
    top_k = min(top_k, classes)
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (outer, classes, inner)).astype(np.float32)  # with ties
    labels = rng.integers(0, classes, (outer, inner)).astype(np.float32)
    text = f"top_k: {top_k}" + (f" ignore_label: {ignored}" if ignored is not None else "")
    both = layer(f"accuracy_param {{ {text} }}", 'top: "acc" top: "each"')
    total, each = run_layer(ACCURACY, both, [scores, labels], [])
    hits, seen = np.zeros(classes), np.zeros(classes)
    for i in range(outer):
        for j in range(inner):
            label = int(labels[i, j])
            if label == ignored:
                continue
            others = np.delete(scores[i, :, j], label)
            seen[label] += 1
            hits[label] += (others >= scores[i, label, j]).sum() < top_k
    assert total == pytest.approx(hits.sum() / max(seen.sum(), 1))
    assert each == pytest.approx(hits / np.maximum(seen, 1))


def test_a_tie_is_a_miss() -> None:
    scores = np.ones((1, 2), np.float32)
    (total,) = run_layer(ACCURACY, layer(), [scores, np.zeros(1, np.float32)], [])
    assert total == 0


def test_nothing_counted_is_0() -> None:
    ignoring = layer("accuracy_param { ignore_label: 1 }")
    (total,) = run_layer(ACCURACY, ignoring, [np.ones((2, 3), "f4"), np.ones(2, "f4")], [])
    assert total == 0


@pytest.mark.parametrize(
    ("text", "shapes", "wanted"),
    [
        ("top_k: 6", ((2, 5), (2,)), "`top_k` 6 is more than the 5 classes"),
        ("axis: 2", ((2, 5), (2,)), "`axis` 2 is out of range for the 2 axes"),
        ("", ((2, 5, 3), (2,)), "6 labels are needed"),
    ],
)
def test_shapes_that_do_not_fit(text, shapes, wanted) -> None:
    params = ACCURACY.params(layer(f"accuracy_param {{ {text} }}"), LayerContext("TEST", 2, 1))
    with pytest.raises(ShapeError) as caught:
        ACCURACY.shape(params, shapes)
    assert wanted in caught.value.message


@pytest.mark.parametrize("label", [5.0, -1.0, float("nan")])
def test_label_out_of_range(label: float) -> None:
    params = ACCURACY.params(layer(), LayerContext("TEST", 2, 1))
    with pytest.raises(NetcError) as caught:
        ACCURACY.reference(params, [np.ones((1, 5), "f4"), np.array([label], "f4")], [])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "label-out-of-range"
    assert f"label {label:g} is no class, the 5 classes are 0 to 4" == diagnostic.message
