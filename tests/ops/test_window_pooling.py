"""ROIPooling of windows in a volume, against the loop of R-C3D's definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc

TEXT = """
input: "x" input_shape {{ dim: [2, 3, 9, {side}, 8] }} input: "w" input_shape {{ dim: [5, 3] }}
force_backward: true
layer {{ name: "p" type: "ROIPooling" bottom: "x" bottom: "w" top: "y" {fields} }}
"""
FIELDS = """roi_pooling_param { pooled_w: 4 pooled_h: 3 pooled_l: 2 spatial_scale: 0.0625
  temporal_scale: 0.125 }"""
WINDOWS = np.array([[0, 0, 71], [1, 12, 44], [0, 30, 33], [1, 60, 100], [1, 90, 120]], np.float32)


def span(start: int, size: int, number: int, at: int, limit: int) -> range:
    width = np.float32(size) / np.float32(number)
    low, high = math.floor(at * width), math.ceil((at + 1) * width)
    return range(min(max(low + start, 0), limit), min(max(high + start, 0), limit))


def nearest(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def pooled(x: Any) -> tuple[Any, dict[tuple[int, ...], tuple[int, ...]]]:
    """The top, and for each of its elements the place that it came from."""
    top, came = np.zeros((5, 3, 2, 3, 4), np.float32), {}
    for n, (image, first, last) in enumerate(WINDOWS):
        start, end = nearest(first * 0.125), nearest(last * 0.125)
        size = max(end - start + 1, 1)
        for c, i, j, k in np.ndindex(3, 2, 3, 4):
            spans = (
                span(start, size, 2, i, 9), span(0, 7, 3, j, x.shape[3]), span(0, 7, 4, k, 8)
            )  # fmt: skip
            best = -np.inf
            for place in np.ndindex(*map(len, spans)):
                at = (int(image), c, *(s[p] for s, p in zip(spans, place, strict=True)))
                if x[at] > best:
                    best, came[n, c, i, j, k] = x[at], at
            top[n, c, i, j, k] = best if np.isfinite(best) else 0
    return top, came


@pytest.mark.parametrize("side", [8, 5])
def test_bins_are_of_the_first_seven_rows_and_columns(side: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 9, side, 8), np.float32)
    net = netc.compile(text=TEXT.format(side=side, fields=FIELDS), backend="reference")
    wanted, came = pooled(x)
    np.testing.assert_array_equal(net(x=x, w=WINDOWS)["y"], wanted)
    assert (wanted[4] == 0).all()
    seed = rng.standard_normal(wanted.shape, np.float32)
    found = net.gradients({"x": x, "w": WINDOWS}, seeds={"y": seed}).blobs["x"]
    slopes = np.zeros_like(x)
    for at, place in came.items():
        slopes[place] += seed[at]
    np.testing.assert_allclose(found, slopes, rtol=1e-6)


def test_a_window_of_another_video_is_told() -> None:
    wrong = WINDOWS.copy()
    wrong[2, 0] = 2
    net = netc.compile(text=TEXT.format(side=7, fields=FIELDS))
    with pytest.raises(netc.NetcError, match="of image 2, and the batch has 2"):
        net(x=np.zeros((2, 3, 9, 7, 8), np.float32), w=wrong)


def test_volumes_need_the_field_and_it_needs_volumes() -> None:
    with pytest.raises(netc.NetcError, match="4 axes"):
        netc.compile(text=TEXT.format(side=7, fields=FIELDS.replace("pooled_l: 2", "").replace(
            "temporal_scale: 0.125", "")))  # fmt: skip
    text = TEXT.format(side=7, fields=FIELDS).replace("2, 3, 9, 7, 8", "2, 3, 9, 7")
    with pytest.raises(netc.NetcError, match="5 axes, it is 2x3x9x7"):
        netc.compile(text=text)
