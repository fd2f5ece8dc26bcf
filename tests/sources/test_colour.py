"""Brightness, contrast, saturation and hue of bytes, and how SSD's distortion draws them."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from netc.sources.colour import (
    Distortion,
    brightened,
    contrasted,
    from_hsv,
    hued,
    saturated,
    scaled,
    to_hsv,
)
from netc.sources.pixels import Bytes

PICTURE: Bytes = np.random.default_rng(0).integers(0, 256, (3, 24, 20)).astype(np.uint8)


def test_numbers_by_hand() -> None:
    row = np.array([[[0, 1, 100, 200, 255]]], np.uint8)
    assert brightened(row, 60.5).tolist() == [[[60, 62, 160, 260 - 5, 255]]]  # halves to the even
    assert brightened(row, -1.5).tolist() == [[[0, 0, 98, 198, 254]]]
    assert contrasted(row, 1.5).tolist() == [[[0, 2, 150, 255, 255]]]
    assert contrasted(row, 1.0005) is row
    assert scaled(row, 0.5, 10).tolist() == [[[10, 10, 60, 110, 138]]]


@pytest.mark.parametrize(
    ("bgr", "hsv"),
    [
        ((0, 0, 255), (0, 255, 255)),
        ((0, 255, 0), (60, 255, 255)),
        ((255, 0, 0), (120, 255, 255)),
        ((0, 255, 255), (30, 255, 255)),
        ((128, 128, 128), (0, 0, 128)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 255), (150, 255, 255)),
        ((100, 50, 200), (170, 191, 200)),
    ],
)
def test_colours(bgr: tuple[int, int, int], hsv: tuple[int, int, int]) -> None:
    pixel = np.array(bgr, np.uint8).reshape(3, 1, 1)
    assert tuple(to_hsv(pixel).reshape(-1).tolist()) == hsv
    assert np.abs(from_hsv(to_hsv(pixel)).astype(int) - pixel).max() <= 1


def test_hues_are_those_of_pythons_own() -> None:
    made = to_hsv(PICTURE)
    for row, column in np.ndindex(4, 5):
        blue, green, red = (int(v) / 255 for v in PICTURE[:, row, column])
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        got = made[:, row, column].astype(float)
        assert abs(got[0] - hue * 180) <= 1 or abs(got[0] - hue * 180) >= 179
        assert abs(got[1] - saturation * 255) <= 1
        assert got[2] == round(value * 255)


def test_as_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = np.ascontiguousarray(PICTURE.transpose(1, 2, 0))
    want = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_hsv(PICTURE), want)
    back = cv2.cvtColor(pixels, cv2.COLOR_HSV2BGR).transpose(2, 0, 1)  # any bytes as hues
    assert np.abs(from_hsv(PICTURE).astype(int) - back).max() <= 1


def test_hue_and_saturation() -> None:
    red = np.array([0, 0, 255], np.uint8).reshape(3, 1, 1)
    assert hued(red, 60).reshape(-1).tolist() == [0, 255, 0]
    assert hued(red, -30).reshape(-1).tolist() == [0, 0, 255]  # below 0 is 0
    assert hued(red, 0) is red
    assert saturated(red, 0).reshape(-1).tolist() == [255, 255, 255]
    assert saturated(red, 0.5).reshape(-1).tolist() == [127, 127, 255]


class Told(np.random.Generator):
    """A generator that gives the numbers it is told, and the middle of each range."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(np.random.PCG64(0))
        self._numbers = list(numbers)

    def random(self, *args: object, **more: object) -> float:  # type: ignore[override]
        return self._numbers.pop(0)

    def uniform(self, low: float, high: float) -> float:  # type: ignore[override]
        return high


ALL = Distortion((0.5, 20.0), (0.5, 0.5, 1.5), (0.5, 0.5, 1.5), (0.5, 18.0), 0.0)


def test_what_is_drawn_first_decides_the_order() -> None:
    plain = brightened(PICTURE, 20)
    first = hued(saturated(contrasted(plain, 1.5), 1.5), 18)
    np.testing.assert_array_equal(ALL.apply(PICTURE, Told(0.6, 0, 0, 0, 0, 1)), first)
    last = contrasted(hued(saturated(plain, 1.5), 18), 1.5)
    np.testing.assert_array_equal(ALL.apply(PICTURE, Told(0.4, 0, 0, 0, 0, 1)), last)
    assert (first != last).any()


def test_each_change_has_its_probability() -> None:
    np.testing.assert_array_equal(ALL.apply(PICTURE, Told(0.6, 0.5, 0.5, 0.5, 0.5, 1)), PICTURE)
    np.testing.assert_array_equal(
        ALL.apply(PICTURE, Told(0.6, 0.9, 0.49, 0.9, 0.9, 1)), contrasted(PICTURE, 1.5)
    )


def test_channels_change_places() -> None:
    shuffled = Distortion(order=1.0).apply(PICTURE, np.random.default_rng(1))
    places = [next(i for i in range(3) if (PICTURE[i] == one).all()) for one in shuffled]
    assert sorted(places) == [0, 1, 2]
