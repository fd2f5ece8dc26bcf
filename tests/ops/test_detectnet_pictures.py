"""DetectNetTransformation: pictures against OpenCV's functions, truth against a loop over cells."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ops.detection.detectnet_pictures import DETECTNET_TRANSFORMATION
from netc.ops.detection.picture_turns import Turn, hue_and_saturation, resized_cubic, turned
from tests.ops.cases import bind_net, context_of

TRUTH = "stride: 16 scale_cvg: 0.5 gridbox_type: GRIDBOX_MIN min_cvg_len: 20 image_size_x: 96 "
TRUTH += "image_size_y: 64 object_class { src: 1 dst: 0 } object_class { src: 8 dst: 1 } "
NOTHING = "crop_prob: 0 scale_prob: 0 flip_prob: 0 rotation_prob: 0 hue_rotation_prob: 0 "
NOTHING += "desaturation_prob: 0 "
BOXES = [(10.0, 8.0, 40.0, 30.0, 1), (60.0, 20.0, 50.0, 12.0, 8), (0.0, 0.0, 20.0, 20.0, 5)]


def text_of(more: str = "", augment: str = NOTHING, size: str = "dim: 64 dim: 96") -> str:
    return f"""
      input: "x" input_shape {{ dim: 2 dim: 3 {size} }}
      input: "t" input_shape {{ dim: 2 dim: 1 dim: 5 dim: 16 }}
      layer {{ name: "d" type: "DetectNetTransformation" bottom: "x" bottom: "t" top: "y" top: "g"
        transform_param {{ mean_value: 127 }}
        detectnet_groundtruth_param {{ {TRUTH} {more} }}
        detectnet_augmentation_param {{ {augment} }} }}"""


def labels(boxes=BOXES) -> np.ndarray:
    made = np.zeros((2, 1, 5, 16), np.float32)
    for image in (0, 1):
        made[image, 0, 0, :2] = len(boxes), 16
        for row, (*box, kind) in enumerate(boxes):
            made[image, 0, 1 + row, :4], made[image, 0, 1 + row, 5] = box, kind
    return made


def pictures(high: int = 64, wide: int = 96) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, 3, high, wide)).astype(np.float32)


def truth(boxes, weighted: bool, crop: bool) -> np.ndarray:
    """What the cells must learn, cell by cell."""
    made = np.zeros((10, 4, 6))
    for x, y, wide, high, kind in boxes:
        if kind not in (1, 8):
            continue
        if crop:
            right, bottom = min(x + wide, 96), min(y + high, 64)
            x, y = max(x, 0), max(y, 0)
            wide, high = right - x, bottom - y
            if wide <= 0 or high <= 0:
                continue
        w, h = (min(side, max(20, side / 2)) for side in (wide, high))
        left, top = x + wide / 2 - w / 2, y + high / 2 - h / 2
        for i, j in np.ndindex(4, 6):
            across = min(left + w, 16 * j + 16) - max(left, 16 * j)
            down = min(top + h, 16 * i + 16) - max(top, 16 * i)
            if across > 0 and down > 0:
                weight = 256 / (w * h) if weighted else max(1, 256 / (w * h))
                made[:8, i, j] = (1, x - 16 * j, y - 16 * i, x + wide - 16 * j, y + high - 16 * i,
                                  1 / wide, 1 / high, weight)  # fmt: skip
                made[8:, i, j] = kind == 1, kind == 8
    return made


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_truth_of_the_grid(weighted: bool, crop: bool) -> None:
    more = f"obj_norm: {str(weighted).lower()} crop_bboxes: {str(crop).lower()}"
    net = netc.compile(text=text_of(more), backend="reference")
    got = net(x=pictures(), t=labels())
    assert got["g"].shape == (2, 10, 4, 6)
    np.testing.assert_allclose(got["g"][1], truth(BOXES, weighted, crop), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got["y"], pictures() - 127, atol=1e-4)


def test_outside_of_training_pictures_are_resized() -> None:
    x = pictures(32, 48)
    net = netc.compile(text=text_of(size="dim: 32 dim: 48"), backend="reference")
    got = net(x=x, t=labels())
    wanted = np.stack([resized_cubic(one.astype(np.float64) - 127, (64, 96)) for one in x])
    np.testing.assert_allclose(got["y"], wanted, atol=1e-3)
    doubled = [(2 * x0, 2 * y0, 2 * w, 2 * h, kind) for x0, y0, w, h, kind in BOXES]
    np.testing.assert_allclose(got["g"][0], truth(doubled, False, True), rtol=1e-4, atol=1e-5)


def trained(augment: str) -> dict[str, np.ndarray]:
    net = netc.compile(text=text_of(augment=augment), phase="TRAIN", backend="reference")
    return dict(net(x=pictures(), t=labels()))


def test_flips() -> None:
    got = trained(NOTHING.replace("flip_prob: 0", "flip_prob: 1"))
    np.testing.assert_allclose(got["y"], pictures()[:, :, :, ::-1] - 127, atol=1e-4)
    flipped = [(96 - x - w - 1, y, w, h, kind) for x, y, w, h, kind in BOXES]
    np.testing.assert_allclose(got["g"][0], truth(flipped, False, True), rtol=1e-4, atol=1e-5)


def test_scales_are_cropped_in_the_middle() -> None:
    augment = NOTHING.replace("scale_prob: 0", "scale_prob: 1 scale_min: 1.5 scale_max: 1.5")
    got = trained(augment)
    whole = resized_cubic(pictures()[1].astype(np.float64) - 127, (96, 144))
    np.testing.assert_allclose(got["y"][1], whole[:, 16:80, 24:120], atol=1e-3)
    moved = [(1.5 * x - 24, 1.5 * y - 16, 1.5 * w, 1.5 * h, kind) for x, y, w, h, kind in BOXES]
    np.testing.assert_allclose(got["g"][1], truth(moved, False, True), rtol=1e-4, atol=1e-5)


def test_what_is_drawn_differs_from_pass_to_pass_and_stays_in_bounds() -> None:
    augment = NOTHING.replace("crop_prob: 0", "crop_prob: 1 shift_x: 32 shift_y: 16")
    got = trained(augment)["y"]
    found = []
    for image in (0, 1):
        for down in range(-8, 9):
            for across in range(-16, 17):
                part = np.zeros((3, 64, 96))
                high, wide = 64 - abs(down), 96 - abs(across)
                to_y, to_x, of_y, of_x = (
                    max(-down, 0),
                    max(-across, 0),
                    max(down, 0),
                    max(across, 0),
                )
                part[:, to_y : to_y + high, to_x : to_x + wide] = (
                    pictures()[image, :, of_y : of_y + high, of_x : of_x + wide] - 127
                )
                if np.allclose(got[image], part, atol=1e-3):
                    found.append((image, down, across))
    assert [image for image, *_ in found] == [0, 1] and found[0][1:] != found[1][1:]


def test_effects_as_opencv() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    picture = np.random.default_rng(1).random((3, 21, 34))
    seen = np.ascontiguousarray(picture.transpose(1, 2, 0), np.float32)
    cubic = cv2.resize(seen, (50, 13), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)
    np.testing.assert_allclose(resized_cubic(picture, (13, 50)), cubic, atol=1e-5)
    for degrees, factor in ((25.0, 0.4), (170.0, 1.0)):
        hsv = cv2.cvtColor(seen, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] += degrees
        hsv[:, :, 1] *= factor
        back = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).transpose(2, 0, 1)
        np.testing.assert_allclose(hue_and_saturation(picture, degrees, factor), back, atol=1e-4)


@pytest.mark.parametrize("degrees", [20.0, -7.5])
def test_turns(degrees: float) -> None:
    """A smooth picture's values are found where the turn puts them."""
    y, x = np.meshgrid(np.arange(40.0), np.arange(60.0), indexing="ij")
    picture = np.stack([y, x, y + 2 * x])
    turn, got = Turn.of((40, 60), degrees), turned(picture, degrees)
    assert got.shape[1:] == turn.size
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for row, column in ((3, 5), (20, 30), (36, 50)):
        down, across = turn.place(row, column)
        np.testing.assert_allclose(
            (down - turn.moved[0], across - turn.moved[1]),
            (s * (column - 30) + c * (row - 20), c * (column - 30) - s * (row - 20)),
        )
        at = round(down), round(across)
        old_y = c * (at[0] - turn.moved[0]) - s * (at[1] - turn.moved[1]) + 20
        old_x = s * (at[0] - turn.moved[0]) + c * (at[1] - turn.moved[1]) + 30
        np.testing.assert_allclose(got[:, at[0], at[1]], (old_y, old_x, old_y + 2 * old_x))
    assert got[0, 0, 0] == 0  # a corner that the turned picture does not reach


def test_turned_boxes_keep_their_size_about_their_middles() -> None:
    augment = NOTHING.replace(" rotation_prob: 0", " rotation_prob: 1 max_rotate_degree: 20")
    boxes = [(40.0, 25.0, 16.0, 14.0, 1)]
    net = netc.compile(text=text_of(augment=augment), phase="TRAIN", backend="reference")
    got = net(x=pictures(), t=labels(boxes))["g"]
    where = np.argwhere(got[0, 0])
    sides = {tuple(np.round(got[0, 3:5, i, j] - got[0, 1:3, i, j], 3)) for i, j in where}
    assert sides == {(16.0, 14.0)}
    i, j = where[0]
    middle = got[0, 1:3, i, j] + (16 * j, 16 * i) + np.array([8, 7])
    assert np.hypot(*(middle - (48, 32))) < 3  # the box is in the middle of the picture


def test_labels_that_are_none() -> None:
    net = netc.compile(text=text_of(), backend="reference")
    wrong = labels()
    wrong[1, 0, 0, 1] = 9
    with pytest.raises(NetcError) as caught:
        net(x=pictures(), t=wrong)
    assert caught.value.diagnostics[0].code == "label-out-of-range"


def test_pictures_need_three_channels() -> None:
    with pytest.raises(NetcError, match="3 channels"):
        netc.compile(text=text_of().replace("dim: 2 dim: 3", "dim: 2 dim: 1", 1))


def test_made_up_labels_are_such_labels() -> None:
    op = DETECTNET_TRANSFORMATION
    layer = bind_net(text_of()).get("layer")[-1]
    params, shapes = op.params(layer, context_of(layer)), ((2, 3, 64, 96), (2, 1, 5, 16))
    assert op.contents is not None
    _, made = op.contents(params, shapes)
    net = netc.compile(text=text_of(), backend="reference")
    got = net(x=pictures(), t=made.draw(shapes[1], np.random.default_rng(3)))
    assert got["g"][:, 0].any(axis=(1, 2)).all()
