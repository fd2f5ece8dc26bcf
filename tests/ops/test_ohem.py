"""The regions with the largest losses, against a loop written from OHEM's definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from tests.ops.test_rcnn_layers import iou

NAMES = ("p", "b", "r", "l", "t", "i", "o")
SHAPES: dict[str, tuple[int, ...]] = {
    "p": (90, 3), "b": (90, 12), "r": (90, 5), "l": (90,), "t": (90, 12), "i": (90, 12),
    "o": (90, 12),
}  # fmt: skip
INPUTS = " ".join(
    f'input: "{name}" input_shape {{ dim: {list(shape)} }}' for name, shape in SHAPES.items()
)
TEXT = (
    INPUTS
    + """ layer { name: "h" type: "Python"
  bottom: "p" bottom: "b" bottom: "r" bottom: "l" bottom: "t" bottom: "i" bottom: "o"
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside"
  python_param { module: "roi_data_layer.layer" layer: "OHEMDataLayer"
    param_str: "'num_classes': 3" } }"""
)


def feeds(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 60, (90, 2))
    boxes = np.concatenate([low, low + rng.integers(20, 40, (90, 2))], axis=1)
    labels = rng.integers(0, 3, 90)
    inside = np.zeros((90, 12))
    for row, label in zip(inside, labels, strict=True):
        row[4 * label : 4 * label + 4] = 2 * (label > 0)
    given = {
        "p": rng.dirichlet([1, 1, 1], 90), "b": rng.standard_normal((90, 12)),
        "r": np.concatenate([rng.integers(0, 2, (90, 1)), boxes], axis=1), "l": labels,
        "t": rng.standard_normal((90, 12)), "i": inside, "o": 0.5 * (inside > 0),
    }  # fmt: skip
    return {name: array.astype(np.float32) for name, array in given.items()}


def loss(given: dict[str, Any], n: int) -> float:
    label = int(given["l"][n])
    total = -np.log(max(float(given["p"][n, label]), np.finfo(float).eps))
    for k in np.flatnonzero(given["i"][n]) if label else ():
        x = abs(given["i"][n, k] * (given["b"][n, k] - given["t"][n, k]))
        total += given["o"][n, k] * (0.5 * x * x if x < 1 else x - 0.5)
    return float(total)


def test_regions_are_taken_by_their_loss_without_those_that_a_worse_one_covers() -> None:
    given = feeds(0)
    losses = [loss(given, n) for n in range(90)]
    kept: list[int] = []
    for n in sorted(range(90), key=lambda n: -losses[n]):
        if not any(
            given["r"][n, 0] == given["r"][m, 0] and given["l"][n] == given["l"][m]
            and iou(given["r"][n, 1:], given["r"][m, 1:]) > 0.7
            for m in kept
        ):  # fmt: skip
            kept.append(n)
    assert 64 < len(kept) < 90
    out = netc.compile(text=TEXT, backend="reference", phase="TRAIN")(given)
    for name, top in (("r", "rois"), ("l", "labels"), ("t", "targets"), ("i", "inside")):
        np.testing.assert_array_equal(out[top], given[name][kept[:64]])


def test_bottoms_of_other_rows_are_told() -> None:
    with pytest.raises(netc.NetcError, match="a row for each region"):
        netc.compile(text=TEXT.replace("dim: [90, 3]", "dim: [80, 3]"), phase="TRAIN")
