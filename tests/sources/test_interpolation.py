"""Resizing by area, cubic and Lanczos interpolation, and rotation, by hand and beside OpenCV."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.memory import Budget, using
from netc.sources.interpolation import METHODS, area, cubic, lanczos
from netc.sources.pixels import Bytes
from netc.sources.rotation import PictureTransform, SmallestSide, rotated

PICTURE: Bytes = np.random.default_rng(0).integers(0, 256, (3, 37, 53)).astype(np.uint8)
SIZES = [(30, 30), (60, 80), (18, 26), (74, 20), (20, 74), (37, 53), (1, 1), (111, 159)]


@pytest.mark.parametrize("name", METHODS)
def test_a_plain_picture_stays_plain(name: str) -> None:
    plain = np.full((2, 9, 7), 113, np.uint8)
    for size in SIZES:
        made = METHODS[name](plain, *size)
        assert made.shape == (2, *size) and (made == 113).all()


def test_area_by_hand() -> None:
    rows = np.array([[[0, 10, 20, 30], [40, 50, 60, 70]]], np.uint8)
    assert area(rows, 1, 2).tolist() == [[[25, 45]]]
    assert area(rows, 2, 2).tolist() == [[[5, 25], [45, 65]]]
    assert area(rows, 1, 4).tolist() == [[[20, 30, 40, 50]]]
    line = np.array([[[0, 30, 60]]], np.uint8)
    assert area(line, 1, 2).tolist() == [[[10, 50]]]  # one pixel and a half each
    assert area(line, 1, 6).tolist() == [[[0, 0, 30, 30, 60, 60]]]


def test_cubic_by_hand() -> None:
    """Half-way between two pixels: -3/32, 19/32, 19/32, -3/32 of the four around it."""
    line = np.array([[[0, 0, 0, 0, 160, 160, 160, 160]]], np.uint8)
    made = cubic(line, 1, 16)[0, 0].tolist()
    # A quarter before and behind each pixel, with A = -0.75.
    quarter = [-0.10546875, 0.87890625, 0.26171875, -0.03515625]
    values = [0, 0, 160, 160]
    want = sum(w * v for w, v in zip(quarter, values, strict=True))
    assert abs(made[7] - want) <= 1
    assert made[:4] == [0, 0, 0, 0] and made[-4:] == [160] * 4


def test_lanczos_by_hand() -> None:
    line = np.zeros((1, 1, 32), np.uint8)
    line[0, 0, 16] = 255
    made = lanczos(line, 1, 64)[0, 0].tolist()
    at = 0.25
    weights = [np.sinc(at + 3 - i) * np.sinc((at + 3 - i) / 4) for i in range(8)]
    assert abs(made[33] - 255 * weights[3] / sum(weights)) <= 1


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_as_opencv(name: str, size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = np.ascontiguousarray(PICTURE.transpose(1, 2, 0))
    want = cv2.resize(pixels, size[::-1], interpolation=getattr(cv2, f"INTER_{name}"))
    got = METHODS[name](PICTURE, *size).transpose(1, 2, 0)
    assert np.abs(got.astype(int) - want).max() <= (1 if name in ("LINEAR", "CUBIC") else 0)


@pytest.mark.parametrize("name", ["AREA", "CUBIC", "LANCZOS4"])
def test_memory_is_asked_for(name: str) -> None:
    with using(Budget(1 << 20)), pytest.raises(NetcError) as caught:
        METHODS[name](np.zeros((3, 8, 8), np.uint8), 4000, 4000)
    assert caught.value.diagnostics[0].code == "too-little-memory"


def test_quarter_turns() -> None:
    """About the middle, counter-clockwise, with a pixel of room: half of one on each side."""
    made = rotated(PICTURE, 90)
    assert made.shape == (3, 54, 38)
    turned = np.pad(np.rot90(PICTURE, 1, (1, 2)), ((0, 0), (2, 0), (1, 1))).astype(float)
    fours = turned[:, 1:, 1:] + turned[:, 1:, :-1] + turned[:, :-1, 1:] + turned[:, :-1, :-1]
    np.testing.assert_array_equal(made, np.rint(fours / 4))
    assert rotated(PICTURE, 0) is PICTURE


@pytest.mark.parametrize("degrees", [1, 10, -30, 45, 135, -179])
def test_the_room_of_a_turned_picture(degrees: int) -> None:
    angle = math.radians(degrees)
    high = abs(37 * math.cos(angle)) + abs(53 * math.sin(angle))
    wide = abs(53 * math.cos(angle)) + abs(37 * math.sin(angle))
    made = rotated(PICTURE, degrees)
    assert 0 < made.shape[1] - high <= 3 and 0 < made.shape[2] - wide <= 3


@pytest.mark.parametrize("degrees", [7, -20, 100])
def test_a_spot_is_where_it_was_turned_to(degrees: int) -> None:
    picture = np.zeros((1, 61, 41), np.uint8)
    picture[0, 9:12, 29:32] = 200
    made = rotated(picture, degrees)[0].astype(float)
    rows, columns = np.indices(made.shape)
    middle = (rows * made).sum() / made.sum(), (columns * made).sum() / made.sum()
    angle = math.radians(degrees)
    right, down = 30 - 41 / 2, 10 - 61 / 2  # of the middle of the picture
    x = math.cos(angle) * right + math.sin(angle) * down + made.shape[1] / 2
    y = -math.sin(angle) * right + math.cos(angle) * down + made.shape[0] / 2
    assert middle == pytest.approx((y, x), abs=0.1)
    assert made.sum() == pytest.approx(9 * 200, rel=0.02)


@pytest.mark.parametrize("degrees", [1, 10, -30, 45, 90, 179])
def test_rotation_as_opencv(degrees: int) -> None:
    cv2 = pytest.importorskip("cv2")
    smooth = cv2.GaussianBlur(np.ascontiguousarray(PICTURE.transpose(1, 2, 0)), (9, 9), 3)
    made = rotated(np.ascontiguousarray(smooth.transpose(2, 0, 1)), degrees)
    middle = (53 / 2, 37 / 2)
    turn = cv2.getRotationMatrix2D(middle, degrees, 1.0)
    turn[0, 2] += made.shape[2] / 2 - middle[0]
    turn[1, 2] += made.shape[1] / 2 - middle[1]
    want, seen = (
        cv2.warpAffine(picture, turn, made.shape[:0:-1]).transpose(2, 0, 1)
        for picture in (smooth, np.full_like(smooth, 255))
    )
    difference = np.abs(made.astype(int) - want)
    # Newer versions do not round places to a 32nd, which is up to a 64th each way. From pixel to
    # pixel the picture changes by 11 at most, and at its edge, where black begins, by 255.
    assert difference[seen == 255].max() <= 1 and difference.mean() <= 0.2
    assert difference.max() <= 1 + 2 * 255 / 64


def test_the_smallest_side() -> None:
    made = SmallestSide(20).apply(PICTURE, None)
    assert made.shape == (3, 20, math.ceil(53 / (37 / 20)))
    turned = PICTURE.transpose(0, 2, 1)
    assert SmallestSide(20).apply(turned, None).shape == made.transpose(0, 2, 1).shape
    drawn = {
        SmallestSide(0, 5, 8).apply(PICTURE, np.random.default_rng(i)).shape[1] for i in range(30)
    }
    assert drawn == {5, 6, 7, 8}


def test_what_is_drawn_of_whole_pictures() -> None:
    grey = np.full((3, 4, 4), 100, np.uint8)
    shift = PictureTransform(shift=9, probability=1)
    shifted = [shift.coloured(grey, np.random.default_rng(i)) for i in range(40)]
    shifts = {tuple(one[:, 0, 0].tolist()) for one in shifted}
    assert all(all(v <= 109 for v in s) and (min(s) >= 100 or max(s) <= 100) for s in shifts)
    assert all(min(s) >= 91 for s in shifts) and len(shifts) > 20
    never = PictureTransform(shift=9, contrast=(0.5, 1.5), brightness=5, probability=0)
    assert never.coloured(grey, np.random.default_rng(0)) is grey
    always = PictureTransform(contrast=(0.5, 1.5), brightness=5, probability=1)
    made = [always.coloured(grey, np.random.default_rng(i)) for i in range(60)]
    values = {int(one[0, 0, 0]) for one in made}
    assert min(values) >= 45 and max(values) <= 155 and len(values) > 30
    angles = {
        PictureTransform(angle=2).rotated(grey, np.random.default_rng(i)).shape for i in range(20)
    }
    assert (3, 4, 4) in angles and len(angles) == 2
