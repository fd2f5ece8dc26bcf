"""DetectionOutput of TextBoxes++ against a loop over priors."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError

TEXT = """
input: "l" input_shape {{ dim: 1 dim: {loc} }} input: "c" input_shape {{ dim: 1 dim: 6 }}
input: "p" input_shape {{ dim: 1 dim: 2 dim: 12 }}
layer {{ name: "d" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "p" top: "d"
  detection_output_param {{ num_classes: 2 code_type: {code} confidence_threshold: 0.1
    nms_param {{ nms_threshold: 0.9 }} use_polygon: {polygon} }} }}
"""
SCORES = np.array([[0.4, 0.6, 0.9, 0.05, 0.2, 0.8]], np.float32)  # of class 1: 0.6, 0.05, 0.8


def priors() -> tuple[np.ndarray, np.ndarray]:
    boxes = np.array([[0.1, 0.1, 0.3, 0.5], [0.2, 0.4, 0.6, 0.9], [0.5, 0.5, 0.9, 0.7]])
    return boxes, np.tile([0.1, 0.1, 0.2, 0.2], (3, 1))


@pytest.mark.parametrize("numbers", [12, 9])
def test_corners(numbers: int) -> None:
    rng = np.random.default_rng(numbers)
    location = rng.normal(size=(1, 3 * numbers)).astype(np.float32)
    boxes, variances = priors()
    text = TEXT.format(
        loc=3 * numbers, code="CENTER_SIZE", polygon="true" if numbers == 12 else "false"
    )
    net = netc.compile(text=text, backend="reference")
    both = np.stack([boxes, variances]).reshape(1, 2, 12).astype(np.float32)
    got = net(l=location, c=SCORES, p=both)["d"]
    assert got.shape == (1, 1, 2, numbers + 3)
    for row, prior, score in zip(got[0, 0], (2, 0), (0.8, 0.6), strict=True):
        own, (x0, y0, x1, y1) = location.reshape(3, numbers)[prior], boxes[prior]
        wide, high = x1 - x0, y1 - y0
        cx, cy = (x0 + x1) / 2 + 0.1 * own[0] * wide, (y0 + y1) / 2 + 0.1 * own[1] * high
        w, h = np.exp(0.2 * own[2]) * wide, np.exp(0.2 * own[3]) * high
        wanted = [0, 1, score, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        if numbers == 12:
            corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
            for k, (x, y) in enumerate(corners):
                wanted += [x + 0.1 * own[4 + 2 * k] * wide, y + 0.1 * own[5 + 2 * k] * high]
        else:
            for k in (0, 1):
                wanted += [(x0 + x1) / 2 + 0.1 * own[4 + 2 * k] * wide,
                           (y0 + y1) / 2 + 0.1 * own[5 + 2 * k] * high]  # fmt: skip
            wanted.append(np.exp(0.2 * own[8]) * high)
        np.testing.assert_allclose(row, wanted, rtol=1e-5)


def test_nothing_found_is_a_row_as_wide() -> None:
    net = netc.compile(
        text=TEXT.format(loc=36, code="CENTER_SIZE", polygon="true"), backend="reference"
    )
    boxes, variances = priors()
    both = np.stack([boxes, variances]).reshape(1, 2, 12).astype(np.float32)
    got = net(l=np.zeros((1, 36), np.float32), c=np.zeros((1, 6), np.float32), p=both)["d"]
    assert got.reshape(-1).tolist() == [0, *(-1,) * 14]


def test_other_codes_are_refused() -> None:
    with pytest.raises(NetcError, match="CENTER_SIZE"):
        netc.compile(text=TEXT.format(loc=36, code="CORNER", polygon="true"))
