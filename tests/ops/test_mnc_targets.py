"""The regions that MNC trains on, against loops written from its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.resizing import resized
from tests.ops.test_rcnn_layers import iou

TEXT = """
input: "r" input_shape {{ dim: [200, 5] }} input: "gt" input_shape {{ dim: [2, 5] }}
input: "info" input_shape {{ dim: [1, 3] }} {inputs} force_backward: true
layer {{ name: "t" type: "Python" bottom: "r" bottom: "gt" bottom: "info" {bottoms}
  propagate_down: 1 propagate_down: 0 propagate_down: 0 {none}
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside" {tops}
  python_param {{ module: "pylayer.proposal_target_layer" layer: "ProposalTargetLayer"
    param_str: "{{'num_classes': 4, 'bp_all': {all} }}" }} }}
"""
BOXES = {"inputs": "", "bottoms": "", "none": "", "tops": ""}
MASKS = {
    "inputs": """input: "masks" input_shape { dim: [2, 60, 50] }
      input: "sizes" input_shape { dim: [2, 2] } input: "index" input_shape { dim: [200, 1] }""",
    "bottoms": 'bottom: "masks" bottom: "sizes" bottom: "index"',
    "none": "propagate_down: 0 " * 3,
    "tops": 'top: "mask" top: "weight" top: "known" top: "fg" top: "bg"',
}
SCALE = 2.0
TRUTH = np.array([[20, 10, 119, 129, 1], [100, 60, 199, 139, 3]], np.float32)  # 60x50 and 40x50
SIZES = np.array([[60, 50], [40, 50]], np.float32)


def feeds(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    near = TRUTH[rng.integers(0, 2, 60), :4] + rng.integers(-20, 21, (60, 4))
    low = rng.integers(0, 120, (140, 2))
    far = np.concatenate([low, low + rng.integers(10, 80, (140, 2))], axis=1)
    boxes = np.clip(np.concatenate([near, far]), 0, 199)
    masks = np.zeros((2, 60, 50), np.float32)
    for mask, (h, w) in zip(masks, SIZES.astype(int), strict=True):
        mask[:h, :w] = rng.random((h, w)) < 0.8
    return {
        "r": np.concatenate([np.zeros((200, 1)), boxes], axis=1).astype(np.float32),
        "gt": TRUTH, "info": np.array([[200, 200, SCALE]], np.float32), "masks": masks,
        "sizes": SIZES, "index": rng.permutation(5000)[:200, None].astype(np.float32),
    }  # fmt: skip


def run(what: dict[str, str], seed: int, all: int = 1) -> tuple[Any, Any, dict[str, Any]]:
    net = netc.compile(text=TEXT.format(**what, all=all), backend="reference", phase="TRAIN")
    given = {name: array for name, array in feeds(seed).items() if name in net.inputs}
    return net, net(given), given


def region_of(row: Any, rois: Any) -> list[int]:
    return np.flatnonzero((rois == row).all(axis=1)).tolist()


@pytest.mark.parametrize(("what", "batch", "share"), [(BOXES, 128, 0.25), (MASKS, 64, 0.3)])
def test_a_share_of_regions_is_positive_and_the_others_overlap_little(
    what: dict[str, str], batch: int, share: float
) -> None:
    _, out, given = run(what, 0)
    most = [max(iou(row[1:], t[:4]) for t in TRUTH) for row in out["rois"]]
    labels = out["labels"]
    positives = int((labels > 0).sum())
    assert positives == round(batch * share)
    assert labels.shape == (len(out["rois"]),)
    assert (labels[:positives] > 0).all()
    assert min(most[:positives]) >= 0.5
    room = batch - positives
    some = sum(0.1 <= m <= 0.5 for m in most[positives:])
    candidates = [max(iou(row[1:], t[:4]) for t in TRUTH) for row in given["r"]]
    if what is BOXES:
        assert some == len(most) - positives
        assert some == min(room, sum(0.1 <= m <= 0.5 for m in candidates))
    else:
        assert some == min(round(0.85 * room), sum(0.1 <= m <= 0.5 for m in candidates))
        assert len(most) - positives - some == min(
            round(0.15 * room), sum(m <= 0.1 for m in candidates)
        )


def test_box_changes_stand_in_the_columns_of_the_class() -> None:
    _, out, _ = run(BOXES, 1)
    for row, label, inside, target in zip(
        out["rois"], out["labels"], out["inside"], out["targets"], strict=True
    ):
        at = 4 * int(label)
        assert np.flatnonzero(inside).tolist() == ([*range(at, at + 4)] if label else [])
        if label:
            t = TRUTH[int(np.argmax([iou(row[1:], t[:4]) for t in TRUTH]))]
            assert t[4] == label
            side, wanted = row[3:] - row[1:3] + 1, t[2:4] - t[:2] + 1
            centre = (t[:2] + wanted / 2 - row[1:3] - side / 2) / side
            coded = np.array([*centre, *np.log(wanted / side)]) / [0.1, 0.1, 0.2, 0.2]
            np.testing.assert_allclose(target[at : at + 4], coded, rtol=1e-3, atol=1e-3)


def test_masks_are_the_part_of_the_true_mask_that_lies_in_the_region() -> None:
    _, out, given = run(MASKS, 2)
    positives = int((out["labels"] > 0).sum())
    assert positives > 5
    assert (out["weight"][:positives] == 1).all()
    assert (out["weight"][positives:] == 0).all()
    assert (out["known"][positives:] == -1).all()
    for number in range(positives):
        row = out["rois"][number]
        own = int(np.argmax([iou(row[1:], t[:4]) for t in TRUTH]))
        box = np.around(row[1:] / SCALE).astype(int)
        true = np.around(TRUTH[own, :4] / SCALE).astype(int)
        np.testing.assert_array_equal(
            out["known"][number], [own, *SIZES[own], TRUTH[own, 4], *box, *true]
        )
        part = np.zeros((box[3] - box[1] + 1, box[2] - box[0] + 1, 1), np.float32)
        for y, x in np.ndindex(part.shape[:2]):
            at = np.array([y + box[1] - true[1], x + box[0] - true[0]])
            if (at >= 0).all() and (at < SIZES[own]).all():
                part[y, x] = given["masks"][own, at[0], at[1]]
        wanted = resized(part, (21, 21))[:, :, 0] >= 0.4
        np.testing.assert_array_equal(out["mask"][number, 0], wanted)


def test_anchors_of_the_regions_are_told_by_their_numbers() -> None:
    _, out, given = run(MASKS, 3)
    positives = int((out["labels"] > 0).sum())
    for name, rows in (("fg", out["rois"][:positives]), ("bg", out["rois"][positives:])):
        wanted = [given["index"][i, 0] for row in rows for i in region_of(row, given["r"])[:1]]
        assert set(out[name]) <= set(given["index"][:, 0])
        assert len(out[name]) >= len(rows) - len(TRUTH)
        assert len(set(out[name]) & set(wanted)) >= len(set(wanted)) - 2


@pytest.mark.parametrize("all", [1, 0])
def test_what_arrives_at_regions_goes_back_to_where_they_came_from(all: int) -> None:
    net, out, given = run(BOXES, 4, all)
    seed = np.random.default_rng(5).standard_normal(out["rois"].shape, np.float32)
    found = net.gradients(given, seeds={"rois": seed}).blobs["r"]
    positives = int((out["labels"] > 0).sum())
    used = len(out["rois"]) if all else positives
    arrived = {tuple(row) for row in seed[:used]}
    nonzero = found[(found != 0).any(axis=1)]
    assert {tuple(row) for row in nonzero} <= arrived
    assert len(nonzero) >= used - len(TRUTH)
    for row, slope in zip(out["rois"][:used], seed, strict=False):
        at = region_of(row, given["r"])
        assert not at or tuple(slope) in {tuple(found[i]) for i in at} or row[1:] in TRUTH[:, :4]
