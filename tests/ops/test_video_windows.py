"""R-C3D's layers of windows, against loops written from their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.frontend import build, read_net

SCALES, STEPS = (1, 2, 4), 20
FIELDS = "'feat_stride': 8 \\n'scales': !!python/tuple [1,2,4]"
PROPOSAL = """
input: "s" input_shape { dim: [1, 6, 20, 1, 1] } input: "d" input_shape { dim: [1, 6, 20, 1, 1] }
layer { name: "p" type: "Python" bottom: "s" bottom: "d" top: "rois" top: "scores"
  python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "FIELDS" } }
""".replace("FIELDS", FIELDS)
ANCHORS = """
input: "s" input_shape { dim: [1, 6, 20, 1, 1] } input: "gt" input_shape { dim: [2, 3] }
input: "v" input_shape { dim: [1, 3, 160, 4, 4] }
layer { name: "a" type: "Python" bottom: "s" bottom: "gt" bottom: "v"
  top: "labels" top: "targets" top: "inside" top: "outside"
  python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
    param_str: "FIELDS" } }
""".replace("FIELDS", FIELDS)
TARGETS = """
input: "r" input_shape { dim: [150, 3] } input: "gt" input_shape { dim: [2, 3] }
layer { name: "t" type: "Python" bottom: "r" bottom: "gt"
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside"
  python_param { module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer"
    param_str: "'num_classes': 4MORE" } }
"""
TRUTH = np.array([[20, 51, 1], [90, 120, 3]], np.float32)
RNG = np.random.default_rng


def iou(a: Any, b: Any) -> float:
    common = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    return float(common / (a[1] - a[0] + 1 + b[1] - b[0] + 1 - common))


def anchor(kind: int, step: int) -> Any:
    half = (8 * SCALES[kind] - 1) / 2
    return np.array([3.5 - half, 3.5 + half]) + 8 * step


def run(text: str, phase: str = "TRAIN", **feeds: Any) -> Any:
    return netc.compile(text=text, backend="reference", phase=phase)(feeds)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_the_best_windows_that_do_not_overlap_much_are_proposed(phase: str) -> None:
    rng = RNG(0)
    scores = rng.permutation(120).reshape(1, 6, 20, 1, 1).astype(np.float32)
    deltas = rng.uniform(-0.5, 0.5, (1, 6, 20, 1, 1)).astype(np.float32)
    out = run(PROPOSAL, phase, s=scores, d=deltas)
    found = []
    for kind, step in np.ndindex(3, STEPS):
        a, (dx, dl) = anchor(kind, step), deltas[0, 2 * kind : 2 * kind + 2, step, 0, 0]
        size = a[1] - a[0] + 1
        centre, half = a[0] + size / 2 + dx * size, np.exp(dl) * size / 2
        window = np.clip([centre - half, centre + half], 0, 159)
        if window[1] - window[0] + 1 >= 8:
            found.append((scores[0, 3 + kind, step, 0, 0], window))
    kept: list[tuple[float, Any]] = []
    for score, window in sorted(found, key=lambda pair: -pair[0]):
        if all(iou(window, better) <= 0.7 for _, better in kept):
            kept.append((score, window))
    assert 3 < len(kept) < len(found) < 60
    np.testing.assert_allclose(out["rois"], [[0, *w] for _, w in kept], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(out["scores"][:, 0], [score for score, _ in kept])


def test_anchors_learn_by_their_overlap_in_time() -> None:
    out = run(
        ANCHORS, s=np.zeros((1, 6, 20, 1, 1), "f"), gt=TRUTH, v=np.zeros((1, 3, 160, 4, 4), "f")
    )
    labels = out["labels"].reshape(3, STEPS)
    table = np.full((3, STEPS, 2), -1.0)
    for kind, step in np.ndindex(3, STEPS):
        a = anchor(kind, step)
        if a[0] >= 0 and a[1] < 160:
            table[kind, step] = [iou(a, t) for t in TRUTH]
    inside, most = table[..., 0] >= 0, table.max(axis=2)
    best = table.max(axis=(0, 1))
    positive = inside & ((most >= 0.7) | np.isclose(table, best).any(axis=2))
    np.testing.assert_array_equal(labels == 1, positive)
    np.testing.assert_array_equal(labels == 0, inside & (most < 0.3) & ~positive)
    counted = (labels >= 0).sum()
    for kind, step in np.argwhere(positive):
        a, t = anchor(kind, step), TRUTH[table[kind, step].argmax()]
        size, wanted = a[1] - a[0] + 1, t[1] - t[0] + 1
        change = [(t[0] + wanted / 2 - a[0] - size / 2) / size, np.log(wanted / size)]
        at = (0, slice(2 * kind, 2 * kind + 2), step, 0, 0)
        np.testing.assert_allclose(out["targets"][at], change, rtol=1e-4, atol=1e-6)
        assert (out["inside"][at] == 1).all()
        np.testing.assert_allclose(out["outside"][at], 1 / counted, rtol=1e-6)


def windows(seed: int) -> Any:
    rng = RNG(seed)
    near = TRUTH[rng.integers(0, 2, 50), :2] + rng.integers(-4, 5, (50, 2))
    low = rng.integers(0, 100, 100)
    far = np.stack([low, low + rng.integers(8, 40, 100)], axis=1)
    rows = np.concatenate([near, far])
    return np.concatenate([np.zeros((150, 1)), rows], axis=1).astype(np.float32)


def check_columns(out: Any) -> None:
    for row, label, inside, target in zip(
        out["rois"], out["labels"], out["inside"], out["targets"], strict=True
    ):
        at = 2 * int(label)
        assert np.flatnonzero(inside).tolist() == ([at, at + 1] if label else [])
        if label:
            t = TRUTH[int(np.argmax([iou(row[1:], t) for t in TRUTH]))]
            assert t[2] == label
            size, wanted = row[2] - row[1] + 1, t[1] - t[0] + 1
            change = [(t[0] + wanted / 2 - row[1] - size / 2) / size / 0.1,
                      np.log(wanted / size) / 0.2]  # fmt: skip
            np.testing.assert_allclose(target[at : at + 2], change, rtol=1e-3, atol=1e-4)


def test_a_quarter_of_the_windows_that_train_is_positive() -> None:
    out = run(TARGETS.replace("MORE", ""), r=windows(1), gt=TRUTH)
    most = [max(iou(row[1:], t) for t in TRUTH) for row in out["rois"]]
    assert (out["labels"][:32] > 0).all()
    assert (out["labels"][32:] == 0).all()
    assert min(most[:32]) >= 0.5 > max(most[32:])
    check_columns(out)


def test_all_windows_train_where_the_text_says_so() -> None:
    given = windows(2)
    out = run(TARGETS.replace("MORE", ", 'sample': 'All'"), r=given, gt=TRUTH)
    np.testing.assert_array_equal(out["rois"][:150], given)
    assert (out["labels"] > 0).all()
    check_columns(out)


def test_hard_samples_and_maps_with_places_are_refused() -> None:
    with pytest.raises(netc.NetcError, match="neither Random nor All"):
        run(TARGETS.replace("MORE", ", 'sample': 'Hard'"), r=windows(0), gt=TRUTH)
    with pytest.raises(netc.NetcError, match="1x6x20x2x1"):
        netc.compile(text=PROPOSAL.replace("20, 1, 1", "20, 2, 1"))


def test_the_data_are_a_video_and_windows() -> None:
    text = """layer { name: "d" type: "Python" top: "data" top: "gt_boxes" python_param {
      module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 21" } }"""
    inputs = {"data": (1, 3, 64, 112, 112)}
    graph = build(read_net(text=text).message, inputs=inputs).graph
    assert graph.values["gt_boxes"].shape == (1, 3)
