"""noise_param of SSD's Caffe and smoothing of twtygqyy's, against OpenCV and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.sources.colour import to_hsv
from netc.sources.equalize import adaptive, equalized, grey
from netc.sources.filters import box, eroded, gaussian, median
from netc.sources.pixels import Bytes
from tests.sources.test_transform import transform

RANDOM = np.random.default_rng(0)


def picture(height: int = 37, width: int = 53) -> Bytes:
    walk = np.cumsum(RANDOM.standard_normal((3, height, width)) * 9, 2) + 120
    found: Bytes = np.clip(walk, 0, 255).astype(np.uint8)
    return found


PICTURE = picture()


def bright(cv2: Any, pixels: Any, change: Callable[[Any], Any]) -> Any:
    made = cv2.cvtColor(pixels, cv2.COLOR_BGR2YCrCb)
    made[..., 0] = change(np.ascontiguousarray(made[..., 0]))
    return cv2.cvtColor(made, cv2.COLOR_YCrCb2BGR)


@pytest.mark.parametrize("size", [(37, 53), (64, 40), (16, 16)])
def test_filters_are_those_of_opencv(size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    mine = picture(*size)
    pixels = np.ascontiguousarray(mine.transpose(1, 2, 0))
    clahe = cv2.createCLAHE()
    clahe.setClipLimit(4)
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    cases: list[tuple[Bytes, Any, int]] = [
        (gaussian(mine, 7, 1.5), cv2.GaussianBlur(pixels, (7, 7), 1.5), 1),
        (eroded(mine), cv2.erode(pixels, cross), 0),
        (equalized(mine), bright(cv2, pixels, cv2.equalizeHist), 1),
        (adaptive(mine, 4), bright(cv2, pixels, clahe.apply), 1),
        (grey(mine)[None], cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[..., None], 1),
    ]
    for side in (1, 3, 5):
        cases += [
            (gaussian(mine, side), cv2.GaussianBlur(pixels, (side, side), 0), 1),
            (box(mine, side), cv2.blur(pixels, (side, side)), 1),
            (box(mine, 2 * side), cv2.boxFilter(pixels, -1, (2 * side, 2 * side)), 1),
            (median(mine, side), cv2.medianBlur(pixels, side), 0),
        ]
    for number, (made, want, most) in enumerate(cases):
        apart = made.astype(int) - want.transpose(2, 0, 1).astype(int)
        assert np.abs(apart).max() <= most, number


def noisy(text: str, pixels: Bytes = PICTURE, place: int = 0, phase: str = "TRAIN") -> Any:
    return transform(f"noise_param {{ {text} }}", phase).apply(pixels, "it", 0, place)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_effects_come_in_the_order_of_ssd(phase: str) -> None:
    got = noisy("inverse: true posterize: true decolorize: true erode: true", phase=phase)
    want = np.repeat(grey(PICTURE)[None], 3, 0)
    want = 255 - (eroded(want) // 64 * 64 + 32)
    np.testing.assert_array_equal(got, want)


def test_one_effect_each() -> None:
    np.testing.assert_array_equal(noisy("gauss_blur: true"), gaussian(PICTURE, 7, 1.5))
    np.testing.assert_array_equal(noisy("hist_eq: true"), equalized(PICTURE))
    np.testing.assert_array_equal(noisy("clahe: true"), adaptive(PICTURE, 4))
    np.testing.assert_array_equal(noisy("convert_to_hsv: true"), to_hsv(PICTURE))
    np.testing.assert_array_equal(noisy("prob: 0.5 all_effects: true"), PICTURE)
    np.testing.assert_array_equal(noisy("gauss_blur: false"), PICTURE)


def test_jpeg_loses_the_more_the_lower_its_quality() -> None:
    good, bad = (np.abs(noisy(f"jpeg: {q}") - PICTURE).mean() for q in (95, 5))
    assert 0 < good < bad
    np.testing.assert_array_equal(noisy("jpeg: -1"), PICTURE)


def test_salt_and_pepper() -> None:
    text = "saltpepper: true saltpepper_param { fraction: 0.25 value: 255 value: 0 value: 7 }"
    made = noisy(text)
    changed = (made != PICTURE).any(0)
    assert 0.15 < changed.mean() <= 0.25  # some places are drawn twice
    assert (made[:, changed] == np.array([[255], [0], [7]])).all()
    np.testing.assert_array_equal(made, noisy(text))
    assert (made != noisy(text, place=1)).any()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("convert_to_lab: true", "unsupported-data-field", "convert_to_lab"),
        ("jpeg: 101", "out-of-range", "`jpeg` is 101"),
        ("saltpepper_param { fraction: 1.5 }", "out-of-range", "`fraction` is 1.5"),
    ],
)
def test_what_is_refused(text: str, code: str, words: str) -> None:
    with pytest.raises(NetcError, match=words) as caught:
        transform(f"noise_param {{ {text} }}")
    assert caught.value.diagnostics[0].code == code


@pytest.mark.parametrize("text", ["decolorize: true", "jpeg: 50", "convert_to_hsv: true"])
def test_effects_of_colour_on_grey_pictures(text: str) -> None:
    with pytest.raises(NetcError, match="it has 1 channels, and `noise_param` asks for"):
        noisy(text, PICTURE[:1])
    with pytest.raises(NetcError, match="it has 3 channels, and `saltpepper_param` 0 values"):
        noisy("saltpepper: true")


def test_smoothing_in_training_alone() -> None:
    text = "smooth_filtering: true max_smooth: 6 apply_probability: 1"
    np.testing.assert_array_equal(transform(text, "TEST").apply(PICTURE, "it", 0, 0), PICTURE)
    kind = transform(text)
    ways = {kind.apply(PICTURE, "it", 0, place).tobytes() for place in range(120)}
    want = {PICTURE.astype(np.float32).tobytes()}
    for side in (1, 3, 5):
        for made in (gaussian(PICTURE, side), box(PICTURE, side), median(PICTURE, side)):
            want.add(made.astype(np.float32).tobytes())
        want.add(box(PICTURE, 2 * side).astype(np.float32).tobytes())
    assert ways == want
    with pytest.raises(NetcError, match="`max_smooth` is 1"):
        transform("smooth_filtering: true max_smooth: 1")
