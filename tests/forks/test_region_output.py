"""YOLOv2's boxes and how many are right, against loops over cells and boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.forks.test_readings import text_of

RNG = np.random.default_rng
SIDE, CLASSES = 3, 2
BIASES = (1.0, 1.5, 0.5, 0.4, 2.0, 2.5, 3.0, 1.0, 0.7, 0.7)
ANCHORS = " ".join(f"biases: {b}" for b in BIASES)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def naive_boxes(x: Any) -> list[tuple[int, float, list[float]]]:
    """Class, confidence and box of each cell's anchors."""
    found = []
    cells = x.reshape(5, 5 + CLASSES, SIDE, SIDE)
    for j, i, n in np.ndindex(SIDE, SIDE, 5):
        own = cells[n, :, j, i].astype(np.float64)
        share = np.exp(own[5:]) / np.exp(own[5:]).sum()
        box = [
            (i + sigmoid(own[0])) / SIDE,
            (j + sigmoid(own[1])) / SIDE,
            math.exp(own[2]) * BIASES[2 * n] / SIDE,
            math.exp(own[3]) * BIASES[2 * n + 1] / SIDE,
        ]
        found.append((int(share.argmax()), float(share.max()) * sigmoid(own[4]), box))
    return found


def iou(a: list[float], b: list[float]) -> float:
    sides = [
        min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2)
        - max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2)
        for k in (0, 1)
    ]
    if min(sides) < 0:
        return 0.0
    common = sides[0] * sides[1]
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def thinned(boxes: list[Any], limit: float) -> list[Any]:
    kept: list[Any] = []
    for box in boxes:
        if all(iou(box[2], other[2]) < limit for other in kept):
            kept.append(box)
    return kept


def output_net(more: str = "") -> Any:
    layer = (
        f'layer {{ name: "l" type: "DetectionOutput" BOTTOMS top: "y" detection_output_param {{ '
        f"side: {SIDE} num_classes: {CLASSES} confidence_threshold: 0.2 {ANCHORS} {more} }} }}"
    )
    return text_of(layer, x=(1, 5 * (5 + CLASSES), SIDE, SIDE))


@pytest.mark.parametrize("seed", range(3))
def test_one_bottom_is_the_map_of_yolov2(seed: int) -> None:
    x = RNG(seed).normal(size=(1, 5 * (5 + CLASSES), SIDE, SIDE)).astype(np.float32)
    wanted = thinned([b for b in naive_boxes(x[0]) if b[1] >= 0.2], 0.45)
    rows = netc.compile(text=output_net())(x=x)["y"].reshape(-1, 7)
    assert len(rows) == len(wanted) > 3
    for row, (label, score, box) in zip(rows, wanted, strict=True):
        np.testing.assert_allclose(row, [0, label, score, *box], rtol=1e-5)


def test_nothing_found_is_one_row_of_minus_one() -> None:
    x = np.full((1, 5 * (5 + CLASSES), SIDE, SIDE), -9, np.float32)
    assert netc.compile(text=output_net())(x=x)["y"].reshape(-1).tolist() == [0, *[-1] * 6]


def test_the_map_must_be_as_the_fields_say() -> None:
    with pytest.raises(NetcError, match="need 1x40x3x3, the map is 1x35x3x3"):
        netc.compile(text=output_net().replace("num_classes: 2", "num_classes: 3"))


def evaluate_net(label: tuple[int, ...], nms: float = 0.45, images: int = 2) -> str:
    layer = (
        f'layer {{ name: "l" type: "EvalDetection" BOTTOMS top: "y" eval_detection_param {{ '
        f"side: {SIDE} num_class: {CLASSES} num_object: 5 nms: {nms} {ANCHORS} }} }}"
    )
    return text_of(layer, x=(images, 5 * (5 + CLASSES), SIDE, SIDE), t=label)


def naive_row(x: Any, truth: list[tuple[int, list[float]]]) -> list[float]:
    kept = thinned(sorted(naive_boxes(x), key=lambda b: -b[1]), 0.45)
    counts = [float(sum(c == k for c, _ in truth)) for k in range(CLASSES)]
    taken: set[int] = set()
    made: list[float] = []
    for label in range(CLASSES):
        own = [at for at, (c, _) in enumerate(truth) if c == label]
        for _, score, box in (b for b in kept if b[0] == label and b[1] >= 0.005):
            hit = (0, 1)
            if own:
                common = [iou(box, truth[at][1]) for at in own]
                best = own[int(np.argmax(common))]
                if max(common) < 0.5:
                    hit = (0, 0)
                elif best not in taken:
                    hit = (1, 0)
                    taken.add(best)
            made += [label, score, *hit]
    return counts + made + [0.0] * (4 * 5 * SIDE**2 - len(made))


@pytest.mark.parametrize("rows", [False, True])
def test_hits_are_counted_as_by_a_loop(rows: bool) -> None:
    rng = RNG(4)
    x = rng.normal(size=(2, 5 * (5 + CLASSES), SIDE, SIDE)).astype(np.float32)
    truths = []
    for image in range(2):  # a true box is one that is found, moved a little, and one elsewhere
        near = thinned(sorted(naive_boxes(x[image]), key=lambda b: -b[1]), 0.45)[:3]
        boxes = [(c, [float(np.float32(v * 1.02)) for v in box]) for c, _, box in near]
        truths.append([*boxes, (1, [0.1, 0.9, 0.05, 0.05])])
    label = as_rows(truths) if rows else as_lists(truths)
    got = netc.compile(text=evaluate_net(label.shape))(x=x, t=label)["y"]
    for image in range(2):
        np.testing.assert_allclose(
            got[image], naive_row(x[image], truths[image]), rtol=1e-5, atol=1e-6
        )
    assert got[:, CLASSES + 2 :: 4].sum() > 2


def as_lists(truths: Any) -> Any:
    label = np.zeros((2, 30, 5), np.float32)
    for image, own in enumerate(truths):
        label[image, : len(own)] = [[c, *box] for c, box in own]
    return label.reshape(2, 150)


def as_rows(truths: Any) -> Any:
    made = [
        [im, c + 1, 0, b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2, 0]
        for im, own in enumerate(truths)
        for c, b in own
    ]
    return np.array([*made, [-1] * 8], np.float32).reshape(1, 1, -1, 8)


def test_without_suppression_nothing_is_found() -> None:
    x = RNG(0).normal(size=(1, 5 * (5 + CLASSES), SIDE, SIDE)).astype(np.float32)
    label = np.zeros((1, 150), np.float32)
    assert not netc.compile(text=evaluate_net((1, 150), -1, 1))(x=x, t=label)["y"].any()


def test_five_anchors_are_wanted() -> None:
    with pytest.raises(NetcError, match="`num_object` must be 5, it is 2"):
        netc.compile(text=evaluate_net((2, 150)).replace("num_object: 5", ""))


def test_files_that_yolo9000_writes_change_nothing() -> None:
    files = 'save_output_param { output_directory: "found" num_test_image: 9 }'
    text = evaluate_net((2, 30, 5)).replace("num_object: 5", f"num_object: 5 {files}")
    x = RNG(5).normal(size=(2, 5 * (5 + CLASSES), SIDE, SIDE)).astype(np.float32)
    t = np.zeros((2, 30, 5), np.float32)
    found, wanted = (
        netc.compile(text=each, backend="reference")(x=x, t=t)["y"]
        for each in (text, evaluate_net((2, 30, 5)))
    )
    np.testing.assert_array_equal(found, wanted)
