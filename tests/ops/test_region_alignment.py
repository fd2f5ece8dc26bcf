"""AffordanceNet's ROIAlignment against a loop over cells."""

from __future__ import annotations

import math

import numpy as np

import netc
from tests.ops.test_fork_parts import close, run

REGIONS = np.array(
    [[0, 1, 2, 9, 7], [1, 0, 0, 15, 15], [0, -6, 3, 2, 30], [1, 6, 6, 6, 6], [1, 40, 2, 50, 8]]
)
FIELDS = "roi_alignment_param { pooled_w: 3 pooled_h: 2 spatial_scale: 0.5 }"


def cell(n: int, i: int, j: int) -> tuple[int, float, float, tuple[float, float, float, float]]:
    """A cell's image, the row and column of its middle, and its region on the map."""
    image, *box = REGIONS[n]
    x0, y0, x1, y1 = (side / 2 for side in box)
    high, wide = max(y1 - y0 + 1, 1) / 2, max(x1 - x0 + 1, 1) / 3
    y = sum(min(max(y0 + (i + k) * high, 0), 7) for k in (0, 1)) / 2
    x = sum(min(max(x0 + (j + k) * wide, 0), 8) for k in (0, 1)) / 2
    return int(image), y, x, (x0, y0, x1, y1)


def shares(y: float, x: float):
    b, a = y - math.floor(y), x - math.floor(x)
    for row, down in ((math.floor(y), 1 - b), (math.ceil(y), b)):
        for column, across in ((math.floor(x), 1 - a), (math.ceil(x), a)):
            yield row, column, down * across


def test_the_middle_of_each_cell() -> None:
    data = np.random.default_rng(2).normal(size=(2, 3, 8, 9)).astype(np.float32)
    wanted = np.zeros((5, 3, 2, 3))
    for n, i, j in np.ndindex(5, 2, 3):
        image, y, x, _ = cell(n, i, j)
        for row, column, share in shares(y, x):
            wanted[n, :, i, j] += share * data[image, :, row, column]
    close(run("ROIAlignment", FIELDS, data, REGIONS), wanted)


def test_no_gradient_reaches_what_lies_beside_a_region() -> None:
    text = f"""
      input: "x" input_shape {{ dim: 2 dim: 3 dim: 8 dim: 9 }}
      input: "r" input_shape {{ dim: 5 dim: 5 }} input: "t" input_shape {{ dim: 5 dim: 18 }}
      layer {{ name: "a" type: "ROIAlignment" bottom: "x" bottom: "r" top: "a" {FIELDS} }}
      layer {{ name: "f" type: "Flatten" bottom: "a" top: "f" }}
      layer {{ name: "l" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "l" }}"""
    rng = np.random.default_rng(3)
    data, target = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, 8, 9), (5, 18)))
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    feeds = {"x": data, "r": REGIONS.astype(np.float32), "t": target}
    made = run("ROIAlignment", FIELDS, data, REGIONS).reshape(5, 18)
    slopes = ((made - target) / 5).reshape(5, 3, 2, 3)
    wanted = np.zeros(data.shape)
    for n, i, j in np.ndindex(5, 2, 3):
        image, y, x, (x0, y0, x1, y1) = cell(n, i, j)
        for row, column, share in shares(y, x):
            if x0 - 1 <= column <= x1 + 1 and y0 - 1 <= row <= y1 + 1:
                wanted[image, :, row, column] += share * slopes[n, :, i, j]
    close(net.gradients(feeds).blobs["x"], wanted)
