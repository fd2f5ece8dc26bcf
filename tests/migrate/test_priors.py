"""Priors of TextBoxes, FaceBoxes and SSTD, which the number of predicted boxes tells."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import Source
from netc.frontend import read_net

HEAD = """
input: "data" input_shape {{ dim: 1 dim: 3 dim: 60 dim: 40 }}
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param {{ num_output: 2 kernel_size: 20 stride: 20 }} }}
layer {{ name: "loc" type: "Convolution" bottom: "c" top: "loc"
  convolution_param {{ num_output: {loc} kernel_size: 1 }} }}
layer {{ name: "p1" type: "Permute" bottom: "loc" top: "p1"
  permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
layer {{ name: "f1" type: "Flatten" bottom: "p1" top: "f1" }}
layer {{ name: "conf" type: "Convolution" bottom: "c" top: "conf"
  convolution_param {{ num_output: {conf} kernel_size: 1 }} }}
layer {{ name: "f2" type: "Flatten" bottom: "conf" top: "f2" }}
layer {{ name: "priors" type: "PriorBox" bottom: "c" bottom: "data" top: "priors"
  prior_box_param {{ {fields} variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }} }}
layer {{ name: "out" type: "DetectionOutput" bottom: "f1" bottom: "f2" bottom: "priors" top: "out"
  detection_output_param {{ num_classes: 2 code_type: CENTER_SIZE nms_param {{ top_k: 5 }} }} }}
"""


def text_of(boxes: int, fields: str) -> str:
    return HEAD.format(loc=4 * boxes, conf=2 * boxes, fields=fields)


def priors_of(boxes: int, fields: str) -> np.ndarray:
    """The boxes (rows, columns, boxes, 4), in pixels."""
    net = netc.compile(text=text_of(boxes, fields), outputs=["priors"], backend="reference")
    found = net(data=np.zeros((1, 3, 60, 40), np.float32))["priors"]
    return found[0, 0].reshape(3, 2, boxes, 4) * (40, 60, 40, 60)


def around(x: float, y: float, wide: float, high: float) -> list[float]:
    return [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]


def cells():
    """Each cell's row, column and corner."""
    for i in range(3):
        for j in range(2):
            yield i, j, 20 * j, 20 * i


def test_textboxes_priors_stand_twice_in_a_cell() -> None:
    fields = "min_size: 12 aspect_ratio: 2 aspect_ratio: 5 flip: false"
    got = priors_of(6, fields)
    for i, j, x, y in cells():
        wanted = []
        for ratio in (1, 2, 5):
            for down in (10, 20):
                wanted.append(around(x + 10, y + down, 12 * ratio**0.5, 12 / ratio**0.5))
        np.testing.assert_allclose(got[i, j], wanted, rtol=1e-5, atol=1e-4)


def test_faceboxes_sizes_stand_four_two_and_one_times() -> None:
    got = priors_of(21, "min_size: 32 min_size: 64 min_size: 128 step: 32")
    for i in range(3):
        for j in range(2):
            x, y, wanted = 32 * j + 16, 32 * i + 16, []
            for size, density in ((32, 4), (64, 2), (128, 1)):
                first = {4: -2, 2: -1, 1: 0}[density]
                for b in range(density):
                    for a in range(density):
                        left = x + (first + a) * 32 / density
                        top = y + (first + b) * 32 / density
                        wanted.append(around(left, top, size - 1, size - 1))
            np.testing.assert_allclose(got[i, j], wanted, rtol=1e-5, atol=1e-4)


def test_sstd_ratios_are_of_one_side_and_hide_no_flipped_ones() -> None:
    fields = "min_size: 7.5 min_size: 15 aspect_ratio: 0.5 aspect_ratio: 2 aspect_ratio: 3"
    got = priors_of(14, fields)
    for i, j, x, y in cells():
        wanted = []
        for size in (7.5, 15):
            sides = [(size, size)]
            sides += [(size * ratio, size) for ratio in (0.5, 2, 3)]
            sides += [(size, size * ratio) for ratio in (0.5, 2, 3)]
            wanted += [around(x + 10, y + 10, *each) for each in sides]
        np.testing.assert_allclose(got[i, j], wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("boxes", "fields"),
    [
        (3, "min_size: 12 aspect_ratio: 2"),  # SSD's own
        (5, "min_size: 12 aspect_ratio: 2"),  # nobody's
        (6, "min_size: 12 aspect_ratio: 2 offset_h: 0.5 offset_w: 0.5"),  # told already
    ],
)
def test_what_must_stay(boxes: int, fields: str) -> None:
    read = read_net(Source("n", text_of(boxes, fields)))
    assert not [change for change in read.changes if change.step == "priors"]


def test_the_upgrade_is_told_and_stands() -> None:
    read = read_net(Source("n", text_of(6, "min_size: 12 aspect_ratio: 2")))
    (change,) = [change for change in read.changes if change.step == "priors"]
    assert "TextBoxes" in change.message and "`offset_h`" in change.message
    assert change.span is not None and change.span.line == 14
