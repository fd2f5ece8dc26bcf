"""Overlaps of Cascade R-CNN's and MS-CNN's boxes against the forks' arithmetic written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.ops.detection.field_boxes import overlap_by_sides, thinned


def plain(a: np.ndarray, b: np.ndarray, mode: str, whole_pixels: bool) -> float:
    """JaccardOverlap of bbox_util.cpp, or BoxIOU of math_functions.cpp."""
    if min(a[2], a[3], b[2], b[3]) <= 0:
        return 0.0
    border = 1 if whole_pixels else 0
    common = 1.0
    for axis in (0, 1):
        low = max(a[axis], b[axis])
        high = min(a[axis] + a[axis + 2], b[axis] + b[axis + 2]) - border
        if low > high if whole_pixels else low >= high:
            return 0.0
        common *= high - low + border
    areas = a[2] * a[3], b[2] * b[3]
    return common / {"IOMU": min(areas), "IOFU": areas[0]}.get(mode, sum(areas) - common)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["IOU", "IOMU", "IOFU"]), st.booleans())
def test_overlap_by_sides(seed: int, mode: str, whole_pixels: bool) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.random((9, 2)) * 4, rng.random((9, 2)) * 4 - 0.4], axis=1)
    got = overlap_by_sides(boxes[0], boxes[1:], mode, whole_pixels)
    want = [plain(boxes[0], box, mode, whole_pixels) for box in boxes[1:]]
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_boxes_of_parts_of_pixels_suppress_each_other() -> None:
    """They meet by half a pixel, which Cascade R-CNN does not count."""
    boxes = np.array([[0, 0, 1, 1], [0.5, 0, 1, 1]], np.float32)
    assert thinned(boxes, 0.3, "IOU", by_sides=True) == [0]
    assert overlap_by_sides(boxes[0], boxes[1:])[0] == 0


@pytest.mark.parametrize(("least", "number"), [(15.0, 20), (15.001, 0)])
def test_a_box_as_small_as_min_size_is_given(tmp_path: Path, least: float, number: int) -> None:
    """MS-CNN compares widths before they become corners, which would round them."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        """
        input: "x" input_shape { dim: 1 dim: 6 dim: 4 dim: 5 }
        layer { name: "l" type: "BoxOutput" bottom: "x" top: "y" box_output_param {
          field_h: 30 field_w: 30 downsample_rate: 16 min_size: LEAST iou_thr: 1 } }
        """.replace("LEAST", str(least)),
        "utf-8",
    )
    x = np.random.default_rng(0).normal(0, 0.002, (1, 6, 4, 5)).astype(np.float32)
    x[:, 0], x[:, 1], x[:, 4:] = 0, 1, -9  # sides are never below half the field's
    rows = netc.compile(path, backend="reference")(x=x)["y"]
    assert (len(rows) if len(rows) > 1 else 0) == number


def test_detection_accuracy_counts_parts_of_pixels(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        """
        input: "x" input_shape { dim: 1 dim: 6 dim: 1 dim: 1 }
        input: "g" input_shape { dim: 1 dim: 6 dim: 1 dim: 1 }
        layer { name: "l" type: "DetectionAccuracy" bottom: "x" bottom: "g" top: "y" top: "z"
          detection_accuracy_param { cls_num: 2 field_h: 8 field_w: 8 downsample_rate: 8 } }
        """,
        "utf-8",
    )
    x = np.zeros((1, 6, 1, 1), np.float32)  # a box of 8 by 8 around 4, 4
    truth = np.array([1, 11.5, 4, 8, 8, 1], np.float32).reshape(1, 6, 1, 1)  # half a pixel in
    overlap = netc.compile(path, backend="reference")(x=x, g=truth)["z"]
    np.testing.assert_allclose(overlap.item(), 4 / (128 - 4), rtol=1e-6)
