"""MNC's Python layers that propose regions, against loops written from their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.ops.detection.mnc import clip_of
from tests.ops.test_rcnn_layers import iou

ROWS, COLUMNS = 16, 18
PROPOSAL = """
input: "s" input_shape {{ dim: [1, 18, 16, 18] }} input: "d" input_shape {{ dim: [1, 36, 16, 18] }}
input: "info" input_shape {{ dim: [1, 3] }} force_backward: true
layer {{ name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "info" top: "rois" {more}
  propagate_down: 0 propagate_down: 1 propagate_down: 0
  python_param {{ module: "pylayer.proposal_layer" layer: "ProposalLayer"
    param_str: "{{ 'feat_stride': 16, {fields} }}" }} }}
"""
INFO = np.array([[256, 288, 1]], np.float32)


def anchor(number: int) -> Any:
    """Anchor of a number in the order of rows, columns and kinds."""
    kind, cell = number % 9, number // 9
    ratio, scale = (0.5, 1, 2)[kind // 3], (8, 16, 32)[kind % 3]
    w = round(np.sqrt(256 / ratio))
    half = (np.array([w, round(w * ratio)]) * scale - 1) / 2
    at = 7.5 + 16 * np.array([cell % COLUMNS, cell // COLUMNS])
    return np.array([*(at - half), *(at + half)])


def feeds(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shape = (1, 18, ROWS, COLUMNS)
    return {
        "s": rng.permutation(18 * ROWS * COLUMNS).reshape(shape).astype(np.float32),
        "d": rng.uniform(-0.3, 0.3, (1, 36, ROWS, COLUMNS)).astype(np.float32),
        "info": INFO,
    }


def place(number: int) -> tuple[int, int, int]:
    kind, cell = number % 9, number // 9
    return kind, cell // COLUMNS, cell % COLUMNS


def moved(number: int, d: Any) -> Any:
    kind, y, x = place(number)
    a, delta = anchor(number), d[0, 4 * kind : 4 * kind + 4, y, x].astype(np.float64)
    side = a[2:] - a[:2] + 1
    centre, half = a[:2] + side / 2 + delta[:2] * side, np.exp(delta[2:]) * side / 2
    return np.array([*(centre - half), *(centre + half)])


def test_proposals_tell_which_anchors_they_were() -> None:
    given = feeds(0)
    text = PROPOSAL.format(more='top: "index"', fields="'use_clip': 1, 'clip_base': 512")
    out = netc.compile(text=text, backend="reference", phase="TRAIN")(given)
    assert out["rois"].shape == (len(out["index"]), 5)
    assert 5 < len(out["index"]) <= 300
    edges = np.array([287, 255, 287, 255])
    for row, number in zip(out["rois"], out["index"][:, 0].astype(int), strict=True):
        box = np.clip(moved(number, given["d"]), 0, edges)
        np.testing.assert_allclose(row, [0, *box], rtol=1e-3, atol=1e-2)
    order = [given["s"][0, 9 + k, y, x] for k, y, x in map(place, out["index"][:, 0].astype(int))]
    assert order == sorted(order, reverse=True)
    assert max(iou(a[1:], b[1:]) for i, a in enumerate(out["rois"]) for b in out["rois"][:i]) < 0.71


@pytest.mark.parametrize(("fields", "most"), [("'use_clip': 1, 'clip_base': 8", 1 / 8), ("", 1e9)])
def test_box_changes_learn_by_the_boxes_that_were_made(fields: str, most: float) -> None:
    given = feeds(1)
    text = PROPOSAL.format(more='top: "index"', fields=fields)
    net = netc.compile(text=text, backend="reference", phase="TRAIN")
    out = net(given)
    seed = np.random.default_rng(2).uniform(-0.01, 0.01, out["rois"].shape).astype(np.float32)
    found = net.gradients(given, seeds={"rois": seed}).blobs["d"]
    wanted, free = np.zeros_like(given["d"]), 0
    for slope, number in zip(seed, out["index"][:, 0].astype(int), strict=True):
        a, box = anchor(number), moved(number, given["d"])
        if any(b[0] < 0 or b[1] < 0 or b[2] > 287 or b[3] > 255 for b in (a, box)):
            continue
        kind, y, x = place(number)
        w, h = a[2] - a[0], a[3] - a[1]
        dw, dh = given["d"][0, 4 * kind + 2 : 4 * kind + 4, y, x]
        own = [(slope[1] + slope[3]) * w, (slope[2] + slope[4]) * h,
               (slope[3] - slope[1]) / 2 * np.exp(dw) * w,
               (slope[4] - slope[2]) / 2 * np.exp(dh) * h]  # fmt: skip
        wanted[0, 4 * kind : 4 * kind + 4, y, x] = np.clip(own, -most, most)
        free += 1
    assert free > 3
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_outside_of_training_it_is_faster_r_cnns_layer(backend: str) -> None:
    given = feeds(3)
    text = PROPOSAL.format(more="", fields="'gradient_scale': 1")
    other = text.replace("pylayer.", "rpn.").replace(", 'gradient_scale': 1", "")
    made = [netc.compile(text=t, backend=backend)(given)["rois"] for t in (text, other)]
    np.testing.assert_array_equal(*made)


ANCHORS = """
input: "s" input_shape { dim: [1, 18, 16, 18] } input: "gt" input_shape { dim: [2, 5] }
input: "info" input_shape { dim: [1, 3] }
input: "fg" input_shape { dim: 3 } input: "bg" input_shape { dim: 2 }
layer { name: "a" type: "Python" bottom: "s" bottom: "gt" bottom: "info" bottom: "fg" bottom: "bg"
  top: "labels" top: "targets" top: "inside" top: "outside"
  python_param { module: "pylayer.anchor_target_layer" layer: "AnchorTargetLayer"
    param_str: "{'feat_stride': 16}" } }
"""


def test_anchors_of_the_regions_that_train_learn_in_any_case() -> None:
    inside = [n for n in range(9 * ROWS * COLUMNS) if anchor(n)[:2].min() >= 0
              and anchor(n)[2] < 288 and anchor(n)[3] < 256]  # fmt: skip
    outside = 0
    assert outside not in inside
    truth = np.array([[20, 20, 120, 140, 1], [100, 90, 260, 240, 1]], np.float32)
    given = {
        "s": np.zeros((1, 18, ROWS, COLUMNS), np.float32),
        "gt": truth,
        "info": INFO,
        "fg": np.array([inside[5], inside[9], outside], np.float32),
        "bg": np.array([inside[9], inside[20]], np.float32),
    }
    out = netc.compile(text=ANCHORS, backend="reference", phase="TRAIN")(given)
    labels = out["labels"].reshape(9, ROWS, COLUMNS)
    told = [labels[place(n)] for n in (inside[5], inside[9], inside[20], outside)]
    assert told == [1, 1, 0, -1]
    counted = (labels >= 0).sum()
    k, y, x = place(inside[20])
    np.testing.assert_allclose(out["outside"][0, 4 * k, y, x], 1 / counted, rtol=1e-6)


def test_a_second_top_and_a_clip_of_nothing_are_refused() -> None:
    with pytest.raises(netc.NetcError, match="second top"):
        netc.compile(text=PROPOSAL.format(more='top: "index"', fields=""))
    with pytest.raises(netc.NetcError, match="`clip_base` must be greater than 0"):
        netc.compile(text=PROPOSAL.format(more="", fields="'clip_base': 0"))
    assert clip_of("'clip_base': 4", 2) == float("inf")
