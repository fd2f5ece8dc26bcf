"""DetectNet's clustering against OpenCV, where it is installed, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError
from netc.ops.detection.detectnet import grouped

TEXT = """
input: "cover" input_shape {{ dim: 2 dim: {classes} dim: 3 dim: 4 }}
input: "boxes" input_shape {{ dim: 2 dim: 4 dim: 3 dim: 4 }}
layer {{ name: "cluster" type: "Python" bottom: "cover" bottom: "boxes" {tops}
  python_param {{ module: "caffe.layers.detectnet.clustering" layer: "{layer}"
    param_str: "{text}" }} }}
"""


def net_of(classes: int, layer: str, text: str) -> netc.CompiledNet:
    tops = " ".join(f'top: "y{i}"' for i in range(classes))
    return netc.compile(
        text=TEXT.format(classes=classes, tops=tops, layer=layer, text=text), backend="reference"
    )


def test_boxes_of_near_cells_are_joined() -> None:
    cover, boxes = np.zeros((2, 2, 3, 4), np.float32), np.zeros((2, 4, 3, 4), np.float32)
    for y, x in ((0, 1), (0, 2), (1, 1)):  # three cells that see the box 20, 10, 60, 50
        cover[1, 1, y, x] = 0.7
        boxes[1, :, y, x] = (20 - 16 * x, 10 - 16 * y, 60 - 16 * x, 50 - 16 * y)
    cover[1, 1, 2, 3], boxes[1, :, 2, 3] = 0.9, (0, 0, 30, 30)  # alone
    cover[1, 0, 0, 0], boxes[0, :, 0, 0] = 0.5, (0, 0, 9, 9)  # below the threshold
    net = net_of(2, "ClusterDetections", "64, 48, 16, 0.6, 2, 0.2, 22, 2")
    found = net(cover=cover, boxes=boxes)
    assert found["y0"].shape == found["y1"].shape == (2, 50, 5)
    assert not found["y0"].any() and not found["y1"][0].any() and not found["y1"][1, 1:].any()
    np.testing.assert_allclose(found["y1"][1, 0], [20, 10, 60, 50, math.log(3)], rtol=1e-3)


def test_low_boxes_are_left_out_and_one_class_is_the_default() -> None:
    cover = np.ones((2, 1, 3, 4), np.float32)
    boxes = np.tile(np.array([0, 0, 30, 21], np.float32)[None, :, None, None], (2, 1, 3, 4))
    net = net_of(1, "ClusterDetections", "64,48,16,0.6,1,2,22")
    assert not net(cover=cover, boxes=boxes)["y0"].any()


def test_truth_is_each_box_once() -> None:
    cover, boxes = np.zeros((2, 1, 3, 4), np.float32), np.zeros((2, 4, 3, 4), np.float32)
    for y, x in ((1, 2), (1, 3)):
        cover[0, 0, y, x] = 1
        boxes[0, :, y, x] = (40 - 16 * x, 10 - 16 * y, 60 - 16 * x, 40 - 16 * y)
    found = net_of(1, "ClusterGroundtruth", "64,48,16")(cover=cover, boxes=boxes)["y0"]
    assert found[0, 0].tolist() == [40, 10, 60, 40, 0] and not found[0, 1:].any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([0.02, 0.2, 0.5]))
def test_groups_as_opencv(seed: int, least: int, eps: float) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2, "groupRectangles"):
        pytest.skip("this OpenCV groups no rectangles")
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 60, (4, 4)) + np.array([0, 0, 20, 20])
    rows = centres[rng.integers(0, 4, 12)] + rng.integers(-3, 4, (12, 4))
    wanted, weights = cv2.groupRectangles(rows.tolist(), least, eps)
    got = grouped([tuple(map(int, row)) for row in rows], least, eps)
    assert [list(one) for one, _ in got] == [list(map(int, one)) for one in wanted]
    assert [number for _, number in got] == [int(n) for n in np.ravel(weights)]


@pytest.mark.parametrize("text", ["64,48", "64,48,16,a,1,2,22", "4,4,16,0.5,1,2,22"])
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(NetcError) as caught:
        net_of(1, "ClusterDetections", text)
    assert caught.value.diagnostics[0].code == "python-layer"


def test_more_boxes_than_fit() -> None:
    text = TEXT.replace("dim: 3 dim: 4", "dim: 9 dim: 9").format(
        classes=1, tops='top: "y0"', layer="ClusterDetections", text="144,144,16,0.5,0,0.1,1"
    )
    net = netc.compile(text=text, backend="reference")
    cover = np.ones((2, 1, 9, 9), np.float32)
    boxes = np.tile(np.array([0, 0, 9, 9], np.float32)[None, :, None, None], (2, 1, 9, 9))
    with pytest.raises(NetcError, match="81 boxes"):
        net(cover=cover, boxes=boxes)
