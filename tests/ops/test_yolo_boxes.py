"""YoloDetectionOutput of the OpenCL branch against a loop over cells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.ops.test_fork_parts import close, run

FIELDS = ("yolo_detection_output_param { num_classes: 2 num_box: 2 confidence_threshold: 0.2 "
          "nms_threshold: 0.3 biases: [1, 1.5, 2, 0.5] %s }")  # fmt: skip


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def corners(box: list[float]) -> list[float]:
    x, y, w, h = box
    return [max(0, x - w / 2), max(0, y - h / 2), min(1, x + w / 2), min(1, y + h / 2)]


def overlap(one: list[float], other: list[float]) -> float:
    a, b = corners(one), corners(other)
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    both = sides[0] * sides[1] if min(sides) > 0 else 0
    areas = [max(0, c[2] - c[0]) * max(0, c[3] - c[1]) for c in (a, b)]
    return both / (sum(areas) - both) if both else 0.0


def detections(maps: np.ndarray) -> list[list[float]]:
    """Rows of image, class, score, centre and size."""
    rows = []
    for image, x in enumerate(maps):
        found = []
        for j in range(3):
            for i in range(3):
                for n, anchor in enumerate(((1, 1.5), (2, 0.5))):
                    t = x[7 * n : 7 * n + 7, j, i]
                    e = np.exp(t[5:] - t[5:].max())
                    score = sigmoid(t[4]) * (e / e.sum()).max()
                    box = [
                        (i + sigmoid(t[0])) / 3,
                        (j + sigmoid(t[1])) / 3,
                        math.exp(t[2]) * anchor[0] / 3,
                        math.exp(t[3]) * anchor[1] / 3,
                    ]
                    if score >= 0.2:
                        found.append([image, int(t[5:].argmax()), score, *box])
        kept: list[list[float]] = []
        for row in sorted(found, key=lambda r: -r[2]):
            if all(overlap(row[3:], other[3:]) < 0.3 for other in kept):
                kept.append(row)
        rows += kept
    return rows


@pytest.mark.parametrize("fields", ("ssd_format: true", "ssd_format: false", ""))
def test_boxes_of_each_image(fields: str) -> None:
    maps = np.random.default_rng(1).normal(size=(2, 14, 3, 3))
    wanted = detections(maps)
    if "true" in fields:
        wanted = [[i, label + 1, s, x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                  for i, label, s, x, y, w, h in wanted]  # fmt: skip
    picture = np.zeros((2, 3, 8, 8))
    close(run("YoloDetectionOutput", FIELDS % fields, maps, picture), [[wanted]])
