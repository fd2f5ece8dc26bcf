"""RON's Python layers, against loops written from their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.frontend import build, read_net
from tests.ops.test_rcnn_layers import iou

RNG = np.random.default_rng
ROWS, COLUMNS, STRIDE = 6, 7, 16
DET = """
input: "o" input_shape { dim: [2, 20, 6, 7] } input: "c" input_shape { dim: [2, 4, 60, 7] }
input: "d" input_shape { dim: [2, 40, 6, 7] }
layer { name: "d" bottom: "o" bottom: "c" bottom: "d" top: "boxes" top: "scores" type: "Python"
  python_param { module: "ron_layer.det_layer" layer: "DetLayer"
    param_str: "'stride_scale_numcls': 16,1,4" } }
"""
HEAD = """
input: "o" input_shape { dim: [2, 20, 6, 7] } input: "gt" input_shape { dim: [3, 6] }
input: "info" input_shape { dim: [1, 2] }
layer { name: "t" bottom: "o" bottom: "gt" bottom: "info" type: "Python" top: "labels"
"""
ANCHORS = (
    HEAD
    + """top: "targets" top: "inside" top: "outside"
  python_param { module: "ron_layer.anchor_target_layer" layer: "AnchorTargetLayer"
    param_str: "'stride_scale_border_batchsize': 16,1,8,5" } }
"""
)
CLASSES = (
    HEAD
    + """
  python_param { module: "ron_layer.det_target_layer" layer: "DetTargetLayer"
    param_str: "'stride_scale_border_batchsize_numcls': 16,1,8,5,4" } }
"""
)
# Box, label, image.
TRUTH = np.array(
    [[10, 12, 44, 40, 1, 0], [50, 30, 82, 64, 3, 0], [20, 20, 60, 75, 2, 1]], np.float32
)
INFO = np.array([[96, 112]], np.float32)


def anchor(kind: int, y: int, x: int) -> Any:
    ratio, scale = (0.333, 0.5, 1, 2, 3)[kind // 2], (1, 2)[kind % 2]
    w = round(np.sqrt(1024 / ratio))
    half = (np.array([w, round(w * ratio)]) * scale - 1) / 2
    at = 15.5 + STRIDE * np.array([x, y])
    return np.array([*(at - half), *(at + half)])


def tables() -> list[Any]:
    """Overlaps of each image's true boxes with each anchor; -1 of those outside."""
    found = []
    for image in (0, 1):
        own = TRUTH[TRUTH[:, 5] == image]
        table = np.full((10, ROWS, COLUMNS, len(own)), -1.0)
        for k, y, x in np.ndindex(10, ROWS, COLUMNS):
            a = anchor(k, y, x)
            if (a[:2] >= -8).all() and a[2] < 112 + 8 and a[3] < 96 + 8:
                table[k, y, x] = [iou(a, t) for t in own]
        found.append(table)
    return found


def run(text: str, **feeds: Any) -> Any:
    return netc.compile(text=text, backend="reference", phase="TRAIN")(feeds)


def test_all_boxes_are_given_with_the_score_of_an_object_before_the_classes() -> None:
    rng = RNG(0)
    given = {
        "o": rng.random((2, 20, 6, 7), np.float32),
        "c": rng.random((2, 4, 60, 7), np.float32),
        "d": rng.uniform(-0.5, 0.5, (2, 40, 6, 7)).astype(np.float32),
    }
    out = netc.compile(text=DET, backend="reference")(given)
    assert out["boxes"].shape == (2, 420, 4)
    assert out["scores"].shape == (2, 420, 4)
    for image, y, x, k in np.ndindex(2, ROWS, COLUMNS, 10):
        row = (y * COLUMNS + x) * 10 + k
        wanted = [given["o"][image, 10 + k, y, x],
                  *given["c"][image, 1:].reshape(3, 10, 6, 7)[:, k, y, x]]  # fmt: skip
        np.testing.assert_array_equal(out["scores"][image, row], wanted)
        a, d = anchor(k, y, x), given["d"][image, 4 * k : 4 * k + 4, y, x].astype(np.float64)
        side = a[2:] - a[:2] + 1
        centre, half = a[:2] + side / 2 + d[:2] * side, np.exp(d[2:]) * side / 2
        np.testing.assert_allclose(
            out["boxes"][image, row], [*(centre - half), *(centre + half)], rtol=1e-4, atol=1e-3
        )


def test_anchors_learn_objects_with_three_negatives_for_each_positive() -> None:
    out = run(ANCHORS, o=np.zeros((2, 20, 6, 7), np.float32), gt=TRUTH, info=INFO)
    labels = out["labels"].reshape(2, 10, ROWS, COLUMNS)
    positives = 0
    for image, table in enumerate(tables()):
        most, own = table.max(axis=3), labels[image]
        positive = most >= 0.5
        for t in range(table.shape[3]):
            order = table[..., t].transpose(1, 2, 0).reshape(-1)
            if order.max() > 0.1:
                y, x, k = np.unravel_index(order.argmax(), (ROWS, COLUMNS, 10))
                positive[k, y, x] = True
        np.testing.assert_array_equal(own == 1, positive)
        assert ((most < 0.3) & (most > 0.001) & ~positive)[own == 0].all()
        positives += int(positive.sum())
        truth = TRUTH[TRUTH[:, 5] == image]
        used = (own >= 0).sum()
        for k, y, x in np.argwhere(positive):
            a, t = anchor(k, y, x), truth[table[k, y, x].argmax(), :4]
            side, wanted = a[2:] - a[:2] + 1, t[2:] - t[:2] + 1
            change = [*(t[:2] + wanted / 2 - a[:2] - side / 2) / side, *np.log(wanted / side)]
            at = (image, slice(4 * k, 4 * k + 4), y, x)
            np.testing.assert_allclose(out["targets"][at], change, rtol=1e-4, atol=1e-4)
            assert (out["inside"][at] == 1).all()
            np.testing.assert_allclose(out["outside"][at], 1 / used, rtol=1e-6)
    assert positives > 3
    assert (labels == 0).sum() == 3 * positives


def test_classes_are_learnt_where_an_object_may_be() -> None:
    scores = np.zeros((2, 20, 6, 7), np.float32)
    scores[:, 10:] = RNG(1).choice([0.01, 0.5], (2, 10, 6, 7), p=[0.2, 0.8])
    out = run(CLASSES, o=scores, gt=TRUTH, info=INFO)
    labels = out["labels"].reshape(2, 10, ROWS, COLUMNS)
    positives = 0
    for image, table in enumerate(tables()):
        truth, most = TRUTH[TRUTH[:, 5] == image], table.max(axis=3)
        wanted = np.where((most >= 0) & (most < 0.3), 0, -1)
        for t in range(table.shape[3]):
            order = table[..., t].transpose(1, 2, 0).reshape(-1)
            if order.max() > 0.3:
                y, x, k = np.unravel_index(order.argmax(), (ROWS, COLUMNS, 10))
                wanted[k, y, x] = truth[t, 4]
        near = most >= 0.6
        wanted[near] = truth[table.argmax(axis=3)[near], 4]
        wanted[scores[image, 10:] < 0.03] = -1
        np.testing.assert_array_equal(labels[image] > 0, wanted > 0)
        np.testing.assert_array_equal(labels[image][wanted > 0], wanted[wanted > 0])
        assert (wanted[labels[image] == 0] == 0).all()
        positives += int((wanted > 0).sum())
    assert positives > 1
    assert (labels == 0).sum() == 3 * positives


def test_images_without_objects_leave_the_usual_number_of_negatives() -> None:
    none = np.zeros((3, 6), np.float32)
    none[:, 5] = 7
    scores = np.ones((2, 20, 6, 7), np.float32)
    assert (run(ANCHORS, o=scores, gt=none, info=INFO)["labels"] == -1).all()
    assert (run(CLASSES, o=scores, gt=none, info=INFO)["labels"] == 0).sum() == 5


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [("16,1,4", "16,1", "3 whole numbers"), ("60, 7", "50, 7", "2x4x60x7"),
     ("2, 20, 6, 7", "2, 18, 6, 7", "10 anchors at a place")],
)  # fmt: skip
def test_what_does_not_fit_is_told(old: str, new: str, fault: str) -> None:
    with pytest.raises(netc.NetcError, match=fault):
        netc.compile(text=DET.replace(old, new))


def test_the_data_are_a_batch_and_boxes_that_name_their_image() -> None:
    text = """layer { name: "d" type: "Python" top: "data" top: "gt_rois" top: "im_info"
      python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer"
        param_str: "'num_classes': 21" } }"""
    graph = build(read_net(text=text).message, inputs={"data": (4, 3, 320, 320)}).graph
    assert [graph.values[name].shape for name in ("gt_rois", "im_info")] == [(1, 6), (1, 2)]
