"""Anchors to learn by, in projects made from Faster R-CNN (whose own: test_rcnn_layers.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from tests.ops.test_rcnn_layers import iou

SSH = """
input: "s" input_shape {{ dim: [1, 4, 30, 30] }} input: "gt" input_shape {{ dim: [3, 5] }}
input: "info" input_shape {{ dim: [1, 3] }} input: "data" input_shape {{ dim: [1, 3, 240, 240] }}
input: "prob" input_shape {{ dim: [1, 4, 30, 30] }}
layer {{ name: "a" type: "Python" bottom: "s" bottom: "gt" bottom: "info" {more}
  top: "labels" top: "targets" top: "inside" top: "outside"
  python_param {{ module: "SSH.layers.anchor_target_layer" layer: "AnchorTargetLayer"
    param_str: "{{'feat_stride': 8, 'scales': [1,{scale}], 'ratios':[1,], {fields}}}" }} }}
"""
TRUTH = np.array([[20, 10, 37, 26, 1], [100, 40, 150, 95, 1], [201, 203, 218, 217, 1]], np.float32)


def labels(more: str = "", scale: int = 2, fields: str = "", **feeds: Any) -> Any:
    text = SSH.format(more=more, scale=scale, fields=fields)
    zeros = {"s": (1, 4, 30, 30), "prob": (1, 4, 30, 30), "data": (1, 3, 240, 240)}
    given = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    given |= {"gt": TRUTH, "info": np.array([[240, 240, 1]], np.float32), **feeds}
    net = netc.compile(text=text, backend="reference", phase="TRAIN")
    return net({name: given[name] for name in net.inputs})["labels"].reshape(2, 30, 30)


def overlap_table(scale: int) -> Any:
    """How much each anchor overlaps a true box at most; -1 of anchors outside of the image."""
    most = np.full((2, 30, 30), -1.0)
    for a, y, x in np.ndindex(2, 30, 30):
        half = (16 * (1, scale)[a] - 1) / 2
        box = np.array(
            [7.5 + 8 * x - half, 7.5 + 8 * y - half, 7.5 + 8 * x + half, 7.5 + 8 * y + half]
        )
        if (box[:2] >= 0).all() and (box[2:] < 240).all():
            most[a, y, x] = max(iou(box, t) for t in TRUTH)
    return most


def test_ssh_asks_for_an_overlap_of_a_half_and_forces_no_box() -> None:
    found, most = labels(), overlap_table(2)
    np.testing.assert_array_equal(found == 1, most >= 0.5)
    assert (found[(most < 0.3) & (found != -1)] == 0).all()
    assert (found[(most < 0) | ((most >= 0.3) & (most < 0.5))] == -1).all()
    assert (found >= 0).sum() == 256


def test_a_fifth_bottom_chooses_the_negatives_that_look_most_like_faces() -> None:
    prob = (
        np.random.default_rng(0).permutation(3600).reshape(1, 4, 30, 30).astype(np.float32) / 3600
    )
    found = labels('bottom: "data" bottom: "prob"', prob=prob)
    most, faces = overlap_table(2), prob[0, 2:]
    np.testing.assert_array_equal(found == 1, most >= 0.5)
    negatives = (most >= 0) & (most < 0.3)
    room = 256 - int((found == 1).sum())
    least = np.sort(faces[negatives])[-room]
    np.testing.assert_array_equal(found == 0, negatives & (faces >= least))


def test_positives_beyond_a_quarter_are_those_that_look_least_like_faces() -> None:
    prob = (
        np.random.default_rng(1).permutation(3600).reshape(1, 4, 30, 30).astype(np.float32) / 3600
    )
    found = labels('bottom: "data" bottom: "prob"', fields="'positive_overlap': 0.02", prob=prob)
    near, faces = overlap_table(2) >= 0.02, prob[0, 2:]
    assert near.sum() > 64
    least = np.sort(faces[near])[63]
    np.testing.assert_array_equal(found == 1, near & (faces <= least))


def test_all_anchors_are_taken_where_none_lies_inside() -> None:
    found = labels(scale=1, info=np.array([[8, 8, 1]], np.float32))
    assert (found >= 0).sum() == 256


def test_scores_of_other_cells_are_refused() -> None:
    text = SSH.format(more='bottom: "data" bottom: "prob"', scale=2, fields="")
    at = text.index('input: "prob"')
    text = text[:at] + text[at:].replace("30, 30", "15, 30", 1)
    with pytest.raises(netc.NetcError, match="1x4x15x30"):
        netc.compile(text=text, phase="TRAIN")


def test_subcnns_anchors_are_told_by_their_number() -> None:
    text = """
    input: "s" input_shape { dim: [1, 242, 30, 30] } input: "gt" input_shape { dim: [3, 5] }
    input: "info" input_shape { dim: [1, 3] }
    layer { name: "a" type: "Python" bottom: "s" bottom: "gt" bottom: "info"
      top: "labels" top: "targets" top: "inside" top: "outside"
      python_param { module: "rpn_msr.anchor_target_layer" layer: "AnchorTargetLayer"
        param_str: "'feat_stride': 8" } }
    """
    net = netc.compile(text=text, backend="reference", phase="TRAIN")
    info = np.array([[240, 240, 1]], np.float32)
    found = net(s=np.zeros((1, 242, 30, 30), np.float32), gt=TRUTH, info=info)["labels"]
    assert found.shape == (1, 1, 121 * 30, 30)
    assert (found >= 0).sum() == 256
    square = found.reshape(11, 11, 30, 30)[4, 2]  # 64 pixels wide and high
    assert (square[:3] == -1).all()  # they begin outside of the image
    with pytest.raises(netc.NetcError, match="9, 70, 121 anchors"):
        netc.compile(text=text.replace("242", "240"), phase="TRAIN")
