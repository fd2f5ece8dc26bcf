"""What detected people do, against a loop written from the layer's definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc

TEXT = """
input: "d" input_shape { dim: [1, 1, 3, 10] } input: "a" input_shape { dim: [2, 4, 5, 6] }
input: "b" input_shape { dim: [2, 4, 5, 6] }
layer { name: "o" type: "Python" bottom: "d" bottom: "a" bottom: "b" top: "o" python_param {
  module: "caffe.custom_layers.actions_detection_output_layer" layer: "ActionsDetectionOutputLayer"
  param_str: '{"num_anchors": 2, "min_iou": 0.4}' } }
"""
# Image, class, score, box, anchor, column and row.
BOXES = np.array([
    [0, 1, 0.9, 0.1, 0.2, 0.3, 0.4, 1, 4, 2],
    [1, 1, 0.8, 0.5, 0.5, 0.6, 0.7, 0, 0, 3],
    [1, 1, 0.7, 0.2, 0.1, 0.6, 0.9, 1, 2, 0],
], np.float32).reshape(1, 1, 3, 10)  # fmt: skip


def scores() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.random((2, 4, 5, 6), np.float32) for name in "ab"}


def test_the_action_is_read_at_the_boxs_anchor_and_cell() -> None:
    given = scores()
    out = netc.compile(text=TEXT)(d=BOXES, **given)["o"]
    assert out.shape == (1, 1, 3, 8)
    for row, box in zip(out[0, 0], BOXES[0, 0], strict=True):
        own = given["ab"[int(box[7])]][int(box[0]), int(box[9]), int(box[8])]
        np.testing.assert_allclose(row, [box[0], own.argmax(), box[2], own.max(), *box[3:7]])


def test_a_box_of_no_cell_is_told_and_so_are_votes() -> None:
    wrong = BOXES.copy()
    wrong[0, 0, 1, 9] = 4
    with pytest.raises(netc.NetcError, match="image, row and column 1, 4, 0"):
        netc.compile(text=TEXT)(d=wrong, **scores())
    with pytest.raises(netc.NetcError, match="no `use_nms`"):
        netc.compile(text=TEXT.replace('"min_iou": 0.4', '"use_nms": True'))
    with pytest.raises(netc.NetcError, match="scores of 3 anchors"):
        netc.compile(text=TEXT.replace('"num_anchors": 2', '"num_anchors": 3'))
