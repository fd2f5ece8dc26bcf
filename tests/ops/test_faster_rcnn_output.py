"""FasterRcnnDetectionOutput against loops over boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(9)


def overlap(one: list[float], other: list[float], border: int) -> float:
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) + border for i in (0, 1)]
    both = max(0.0, sides[0]) * max(0.0, sides[1])
    areas = [(b[2] - b[0] + border) * (b[3] - b[1] + border) for b in (one, other)]
    return both / (sum(areas) - both) if both > 0 else 0.0


def thinned(boxes: list[list[float]], limit: float, border: int) -> list[list[float]]:
    kept: list[list[float]] = []
    for box in boxes:
        if all(overlap(box, other, border) <= limit for other in kept):
            kept.append(box)
    return kept


OUTPUT = ("faster_rcnn_detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.3 } "
          "confidence_threshold: %g }")  # fmt: skip


def test_detections_of_each_class() -> None:
    regions = np.sort(RNG.random((6, 2, 2)), axis=1).reshape(6, 4) * 80
    rois = np.concatenate([np.zeros((6, 1)), regions], axis=1)
    changes, scores = RNG.normal(size=(6, 12)) * 0.2, RNG.random((6, 3))
    wanted = []
    for label in (1, 2):
        boxes = []
        for at in sorted(range(6), key=lambda i: -scores[i, label]):
            if scores[at, label] <= 0.25:
                continue
            x0, y0, x1, y1 = regions[at]
            wide, high = x1 - x0 + 1, y1 - y0 + 1
            dx, dy, dw, dh = changes[at, 4 * label : 4 * label + 4]
            cx, cy = x0 + wide / 2 + dx * wide, y0 + high / 2 + dy * high
            hw, hh = math.exp(dw) * wide / 2, math.exp(dh) * high / 2
            corners = (cx - hw, cy - hh, cx + hw, cy + hh)
            box = [min(max(v, 0), m) for v, m in zip(corners, (89, 79, 89, 79), strict=True)]
            boxes.append([*box, scores[at, label]])
        for *box, score in thinned(boxes, 0.3, 0):
            wanted.append([0, label, score, *(v / 2 for v in box)])
    info = np.array([[80, 90, 2]])
    found = run("FasterRcnnDetectionOutput", OUTPUT % 0.25, changes, scores, rois, info)
    close(found, [[wanted]])
    nothing = run("FasterRcnnDetectionOutput", OUTPUT % 2, changes, scores, rois, info)
    close(nothing, [[[[0, -1, -1, -1, -1, -1, -1]]]])


def test_a_number_of_each_class_for_each_region() -> None:
    with pytest.raises(NetcError, match="12 numbers for each of 2 regions"):
        run("FasterRcnnDetectionOutput", OUTPUT % 0.5, np.ones((2, 8)), np.ones((2, 3)),
            np.ones((2, 5)), np.ones((1, 3)))  # fmt: skip
