"""MNC's layers between its stages, against loops written from their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.resizing import resized
from tests.ops.test_rcnn_layers import iou

RNG = np.random.default_rng

MASK = """
input: "m" input_shape {{ dim: [4, 441] }} {inputs} force_backward: true
layer {{ name: "m" type: "Python" bottom: "m" {bottoms} top: "maps" {top}
  python_param {{ module: "pylayer.mask_layer" layer: "MaskLayer" }} }}
"""
TRAINED = MASK.format(
    inputs='input: "true" input_shape { dim: [2, 30, 40] } input: "k" input_shape { dim: [4, 12] }',
    bottoms='bottom: "true" bottom: "k" propagate_down: 1 propagate_down: 0 propagate_down: 0',
    top='top: "labels"',
)
# Number, height and width of the true mask, label, the region and the true box.
KNOWN = np.array([
    [0, 30, 40, 5, 10, 12, 49, 41, 10, 12, 49, 41],
    [1, 20, 20, 7, 0, 0, 50, 50, 30, 30, 49, 49],
    [-1] * 12,
    [1, 20, 20, 7, 28, 29, 50, 49, 30, 30, 49, 49],
], np.float32)  # fmt: skip


def mask_feeds() -> dict[str, Any]:
    true = np.zeros((2, 30, 40), np.float32)
    true[0], true[1, :20, :20] = 1, 1
    predicted = RNG(0).uniform(0.3, 1, (4, 441)).astype(np.float32)
    predicted[3] = 0.9
    return {"m": predicted, "true": true, "k": KNOWN}


def overlap_of_masks(predicted: Any, true: Any, known: Any) -> float:
    """Pixel by pixel of the plane that both boxes lie in."""
    plane = np.zeros((2, 100, 100), bool)
    ex, gt = known[4:8].astype(int), known[8:12].astype(int)
    size = (ex[3] - ex[1] + 1, ex[2] - ex[0] + 1)
    own = resized(predicted.reshape(21, 21, 1), size)[:, :, 0] >= 0.4
    plane[0, ex[1] : ex[3] + 1, ex[0] : ex[2] + 1] = own
    h, w = known[1:3].astype(int)
    plane[1, gt[1] : gt[3] + 1, gt[0] : gt[2] + 1] = true[int(known[0]), :h, :w]
    return float((plane[0] & plane[1]).sum() / (plane[0] | plane[1]).sum())


def test_a_mask_that_overlaps_its_true_one_by_a_half_has_its_label_and_learns() -> None:
    given = mask_feeds()
    net = netc.compile(text=TRAINED, backend="reference", phase="TRAIN")
    out = net(given)
    np.testing.assert_array_equal(out["maps"], given["m"].reshape(4, 1, 21, 21))
    wanted = [
        known[3] if known[0] != -1 and overlap_of_masks(m, given["true"], known) >= 0.5 else 0
        for m, known in zip(given["m"], KNOWN, strict=True)
    ]
    assert wanted == [5, 0, 0, 7]
    np.testing.assert_array_equal(out["labels"][:, 0], wanted)
    seed = RNG(1).standard_normal((4, 1, 21, 21), np.float32)
    found = net.gradients(given, seeds={"maps": seed}).blobs["m"]
    np.testing.assert_array_equal(found, seed.reshape(4, 441) * (np.array(wanted) > 0)[:, None])


def test_outside_of_training_masks_are_reshaped() -> None:
    given = RNG(2).standard_normal((4, 441), np.float32)
    net = netc.compile(text=MASK.format(inputs="", bottoms="", top=""), backend="reference")
    np.testing.assert_array_equal(net(m=given)["maps"], given.reshape(4, 1, 21, 21))


def test_a_true_mask_that_is_not_there_is_told() -> None:
    given = mask_feeds()
    given["k"] = KNOWN.copy()
    given["k"][0, 0] = 9
    with pytest.raises(netc.NetcError, match="true mask 9 is asked for, there are 2"):
        netc.compile(text=TRAINED, backend="reference", phase="TRAIN")(given)


BRIDGE = """
input: "r" input_shape {{ dim: [6, 5] }} input: "d" input_shape {{ dim: [6, 12] }}
input: "c" input_shape {{ dim: [6, 3] }} {inputs}
input: "info" input_shape {{ dim: [1, 3] }} force_backward: true
layer {{ name: "b" type: "Python" bottom: "r" bottom: "d" bottom: "c" {bottoms} top: "rois" {tops}
  python_param {{ module: "pylayer.stage_bridge_layer" layer: "StageBridgeLayer" {param} }} }}
"""
TESTED = BRIDGE.format(inputs="", bottoms='bottom: "info"', tops="", param="")
STAGES = BRIDGE.format(
    inputs="""input: "gt" input_shape { dim: [2, 5] }
      input: "masks" input_shape { dim: [2, 60, 50] }
      input: "sizes" input_shape { dim: [2, 2] }""",
    bottoms='bottom: "gt" bottom: "masks" bottom: "info" bottom: "sizes" '
    + "propagate_down: 1 " * 2
    + "propagate_down: 0 " * 5,
    tops='top: "labels" top: "mask" top: "weight" top: "known" top: "t" top: "in" top: "out"',
    param='''param_str: "{'feat_stride': 16, 'use_clip': 1, 'clip_base': 4, 'num_classes': 3}"''',
)
TRUTH = np.array([[20, 10, 119, 129, 1], [100, 60, 199, 139, 2]], np.float32)


def bridge_feeds(seed: int) -> dict[str, Any]:
    rng = RNG(seed)
    near = TRUTH[[0, 1, 0], :4] + rng.uniform(-10, 10, (3, 4))
    far = np.array([[5, 5, 60, 50], [120, 10, 180, 50], [-3, 100, 60, 230]])
    return {
        "r": np.concatenate([np.zeros((6, 1)), np.concatenate([near, far])], axis=1).astype("f"),
        "d": rng.uniform(-0.1, 0.1, (6, 12)).astype(np.float32),
        "c": rng.permutation(18).reshape(6, 3).astype(np.float32),
        "gt": TRUTH, "info": np.array([[200, 210, 2]], np.float32),
        "masks": np.ones((2, 60, 50), np.float32), "sizes": np.array([[60, 50], [40, 50]], "f"),
    }  # fmt: skip


def moved(row: Any, change: Any) -> list[float]:
    w, h = row[3] - row[1] + 1, row[4] - row[2] + 1
    x, y = row[1] + w / 2 + change[0] * w, row[2] + h / 2 + change[1] * h
    w, h = w * np.exp(change[2]), h * np.exp(change[3])
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def test_outside_of_training_regions_move_by_their_best_class() -> None:
    given = {name: bridge_feeds(0)[name] for name in ("r", "d", "c", "info")}
    out = netc.compile(text=TESTED, backend="reference")(given)["rois"]
    for row, change, score, found in zip(given["r"], given["d"], given["c"], out, strict=True):
        best = int(score.argmax())
        box = np.clip(moved(row, change[4 * best : 4 * best + 4]), 0, [209, 199, 209, 199])
        np.testing.assert_allclose(found, [0, *box], rtol=1e-4, atol=1e-3)


def test_in_training_they_have_objects_to_learn_the_positives_first() -> None:
    given = bridge_feeds(1)
    net = netc.compile(text=STAGES, backend="reference", phase="TRAIN")
    out = net(given)
    edges = [209, 199, 209, 199]
    label = given["c"][:, 1:].argmax(axis=1) + 1
    boxes = [moved(given["r"][i], given["d"][i, 4 * label[i] :][:4]) for i in range(6)]
    free = [min(b) >= 0 and b[2] <= 209 and b[3] <= 199 for b in boxes]
    cut = [np.clip(b, 0, edges) for b in [*boxes, *TRUTH[:, :4]]]
    most = [max(iou(b, t[:4]) for t in TRUTH) for b in cut]
    order = [i for i in range(8) if most[i] >= 0.5] + [i for i in range(8) if most[i] < 0.5]
    positives = sum(m >= 0.5 for m in most)
    assert positives == 5
    np.testing.assert_allclose(out["rois"][:, 1:], np.array(cut)[order], rtol=1e-4, atol=1e-3)
    owner = [int(np.argmax([iou(cut[i], t[:4]) for t in TRUTH])) for i in order]
    wanted = [TRUTH[own, 4] if at < positives else 0 for at, own in enumerate(owner)]
    np.testing.assert_array_equal(out["labels"], wanted)
    assert out["weight"].reshape(8, -1).mean(axis=1).tolist() == [1] * 5 + [0] * 3
    assert (out["known"][:positives, 0] == owner[:positives]).all()
    assert (out["in"].sum(axis=1) == 4 * (np.array(wanted) > 0)).all()

    seed = RNG(2).standard_normal((8, 5), np.float32)
    found = net.gradients(given, seeds={"rois": seed}).blobs
    by_rows, by_changes = np.zeros((6, 5)), np.zeros((6, 12))
    for at, i in enumerate(order):
        if i >= 6:
            continue
        dx, dy, dw, dh = given["d"][i, 4 * label[i] :][:4].astype(np.float64)
        slope = seed[at, 1:].astype(np.float64)
        by_rows[i, 1:] = slope * [1, 1, dx + np.exp(dw), dy + np.exp(dh)]
        w, h = given["r"][i, 2] - given["r"][i, 0], given["r"][i, 3] - given["r"][i, 1]
        own = slope * [w, h, np.exp(dw) * w, np.exp(dh) * h]
        by_changes[i, 4 * label[i] : 4 * label[i] + 4] = np.clip(own, -0.25, 0.25) * free[i]
    assert 0 < sum(free) < 6
    np.testing.assert_allclose(found["r"], by_rows, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["d"], by_changes, rtol=1e-5, atol=1e-6)


def test_the_wrong_number_of_bottoms_is_told() -> None:
    with pytest.raises(netc.NetcError, match="there are 4 bottoms"):
        netc.compile(text=TESTED, phase="TRAIN")
