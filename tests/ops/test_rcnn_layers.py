"""Faster R-CNN's Python layers that choose what trains, and the layers beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.frontend import build, read_net

RNG = np.random.default_rng

ANCHORS = """
input: "s" input_shape { dim: [1, 18, 9, 12] }
input: "gt" input_shape { dim: [3, 5] } input: "info" input_shape { dim: [1, 3] }
layer { name: "a" type: "Python" bottom: "s" bottom: "gt" bottom: "info"
  top: "labels" top: "targets" top: "inside" top: "outside"
  python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
    param_str: "'feat_stride': 16\\n'scales': !!python/tuple [2, 4, 6]" } }
"""
REGIONS = """
input: "r" input_shape { dim: [200, 5] } input: "gt" input_shape { dim: [3, 5] }
layer { name: "p" type: "Python" bottom: "r" bottom: "gt"
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside"
  python_param { module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer"
    param_str: "{'num_classes': 4}" } }
"""
TRUTH = np.array([[20, 10, 90, 100, 1], [100, 40, 160, 120, 3], [5, 5, 8, 8, 2]], np.float32)


def anchors() -> Any:
    """generate_anchors.py: (9, 4), by ratio and then by scale."""
    made = []
    for ratio in (0.5, 1, 2):
        w = round(np.sqrt(256 / ratio))
        h = round(w * ratio)
        for scale in (2, 4, 6):
            half = (np.array([w, h]) * scale - 1) / 2
            made.append([*(7.5 - half), *(7.5 + half)])
    return np.array(made)


def iou(a: Any, b: Any) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(w, 0) * max(h, 0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return float(common / (sum(areas) - common))


def run(text: str, phase: str = "TRAIN", **feeds: Any) -> Any:
    return netc.compile(text=text, backend="reference", phase=phase)(**feeds)


def test_anchors_have_their_labels_and_targets() -> None:
    info = np.array([[144, 192, 1]], np.float32)
    out = run(ANCHORS, s=np.zeros((1, 18, 9, 12), np.float32), gt=TRUTH, info=info)
    labels = out["labels"].reshape(9, 9, 12)
    targets = out["targets"].reshape(9, 4, 9, 12)
    table = np.full((9, 9, 12, 3), -1.0)
    for a, y, x in np.ndindex(9, 9, 12):
        box = anchors()[a] + 16 * np.array([x, y, x, y])
        if (box[:2] >= 0).all() and box[2] < 192 and box[3] < 144:
            table[a, y, x] = [iou(box, t) for t in TRUTH]
    inside = table[..., 0] >= 0
    assert (labels[~inside] == -1).all()
    best = table.max(axis=(0, 1, 2))
    positive = (table.max(axis=3) >= 0.7) | (np.isclose(table, best) & inside[..., None]).any(
        axis=3
    )
    negative = inside & (table.max(axis=3) < 0.3) & ~positive
    assert 0 < (labels == 1).sum() <= 128
    assert (labels == 1).sum() + (labels == 0).sum() <= 256
    assert positive[labels == 1].all()
    assert negative[labels == 0].all()
    for a, y, x in np.argwhere(labels == 1):
        box, t = anchors()[a] + 16 * np.array([x, y, x, y]), TRUTH[table[a, y, x].argmax(), :4]
        side, wanted = box[2:] - box[:2] + 1, t[2:] - t[:2] + 1
        centre = (t[:2] + wanted / 2 - box[:2] - side / 2) / side
        np.testing.assert_allclose(
            targets[a, :, y, x], [*centre, *np.log(wanted / side)], rtol=1e-4, atol=1e-5
        )
    counted = (labels >= 0).sum()
    outside = out["outside"].reshape(9, 4, 9, 12)
    np.testing.assert_allclose(outside[:, 0][labels >= 0], 1 / counted, rtol=1e-6)
    assert (out["inside"].reshape(9, 4, 9, 12)[:, 2] == (labels == 1)).all()


def test_regions_are_sampled_with_a_quarter_of_positives() -> None:
    rng = RNG(0)
    near = TRUTH[rng.integers(0, 2, 60), :4] + rng.integers(-5, 6, (60, 4))
    low = rng.integers(0, 100, (140, 2))
    far = np.concatenate([low, low + rng.integers(4, 60, (140, 2))], axis=1)
    rows = np.concatenate([np.zeros((200, 1)), np.concatenate([near, far])], axis=1)
    out = run(REGIONS, r=rows.astype(np.float32), gt=TRUTH)
    assert out["rois"].shape == (128, 5, 1, 1)
    assert out["labels"].shape == (128, 1, 1, 1)
    out = {name: array.reshape(128, -1) for name, array in out.items()}
    labels = out["labels"].reshape(-1)
    assert (labels > 0).sum() == 32
    assert (labels[:32] > 0).all()
    for row, label, inside, target in zip(
        out["rois"], labels, out["inside"], out["targets"], strict=True
    ):
        best = max(iou(row[1:], t[:4]) for t in TRUTH)
        assert (best >= 0.5) == (label > 0)
        at = int(label) * 4
        assert np.flatnonzero(inside).tolist() == ([*range(at, at + 4)] if label else [])
        if label:
            t = TRUTH[int(np.argmax([iou(row[1:], t[:4]) for t in TRUTH]))]
            side, wanted = row[3:] - row[1:3] + 1, t[2:4] - t[:2] + 1
            centre = (t[:2] + wanted / 2 - row[1:3] - side / 2) / side
            coded = np.array([*centre, *np.log(wanted / side)]) / [0.1, 0.1, 0.2, 0.2]
            np.testing.assert_allclose(target[at : at + 4], coded, rtol=1e-3, atol=1e-3)


def test_proposals_are_more_in_training() -> None:
    text = """
    input: "s" input_shape { dim: [1, 18, 40, 40] } input: "d" input_shape { dim: [1, 36, 40, 40] }
    input: "i" input_shape { dim: [1, 3] }
    layer { name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "i" top: "r"
      python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
        param_str: "'feat_stride': 16" } }
    """
    message = read_net(text=text).message
    assert build(message, phase="TRAIN").graph.values["r"].shape == (2000, 5)
    assert build(message, phase="TEST").graph.values["r"].shape == (300, 5)


DROPOUT = """
input: "x" input_shape {{ dim: [2, 50, 3, 3] }} force_backward: true
layer {{ name: "d" type: "Python" bottom: "x" top: "y" python_param {{ module: "spatial_dropout"
  layer: "SpatialDropoutLayer" param_str: "{{'phase': '{phase}', 'p': '0.25'}}" }} }}
"""


def test_whole_maps_are_dropped_and_the_gradient_goes_the_same_way() -> None:
    x = np.ones((2, 50, 3, 3), np.float32)
    net = netc.compile(text=DROPOUT.format(phase="TRAIN"), phase="TRAIN")
    made = net.gradients({"x": x}, seeds={"y": x})
    y = made.outputs["y"]
    kept = y[:, :, 0, 0] > 0
    assert 0.5 < kept.mean() < 0.95
    np.testing.assert_allclose(y, np.where(kept[:, :, None, None], np.float32(1 / 0.75), 0) * x)
    np.testing.assert_array_equal(made.blobs["x"], y)


def test_outside_of_training_that_layer_scales_all_the_same() -> None:
    x = np.ones((2, 50, 3, 3), np.float32)
    net = netc.compile(text=DROPOUT.format(phase="TEST"))
    np.testing.assert_allclose(net(x=x)["y"], x / 0.75, rtol=1e-6)


@pytest.mark.parametrize(
    ("param_str", "fault"),
    [("{'num_classes': 'many'}", "ProposalTargetLayer"), ("{'classes': 3}", "`num_classes`")],
)
def test_a_text_that_says_anything_else_is_refused(param_str: str, fault: str) -> None:
    text = REGIONS.replace("{'num_classes': 4}", param_str)
    with pytest.raises(netc.NetcError, match=fault):
        run(text, r=np.zeros((200, 5), np.float32), gt=TRUTH)


@pytest.mark.parametrize(
    ("tops", "shapes"),
    [
        (["data", "im_info", "gt_boxes"], [None, (1, 3), (1, 5)]),
        (["data", "rois", "labels", "bbox_targets"], [None, (1, 5), None, None]),
    ],
)
def test_the_layer_of_regions_tells_the_shapes_that_do_not_depend_on_its_configuration(
    tops: list[str], shapes: list[tuple[int, ...] | None]
) -> None:
    text = (
        'layer { name: "d" type: "Python" '
        + " ".join(f'top: "{top}"' for top in tops)
        + ' python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" '
        "param_str: \"'num_classes': 21\" } }"
    )
    graph = build(read_net(text=text).message, phase="TRAIN").graph
    assert [graph.values[top].shape for top in tops] == shapes


def test_labels_of_segmentation_follow_from_the_picture() -> None:
    text = (
        'layer { name: "d" type: "Python" top: "data" top: "label" python_param { '
        'module: "voc_layers" layer: "VOCSegDataLayer" param_str: "{}" } }'
    )
    graph = build(read_net(text=text).message, inputs={"data": (1, 3, 60, 80)}).graph
    assert graph.values["label"].shape == (1, 1, 60, 80)
