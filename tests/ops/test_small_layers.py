"""Small losses and maps of forks, Resize and Remap, against loops written as their sources are."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ops.filler import Filler, fill
from tests.ops.test_fork_parts import close, inputs_of, rng, run, text_of


def slopes(kind: str, fields: str, *feeds: np.ndarray) -> list[np.ndarray]:
    """The gradients by a loss's bottoms."""
    given = {f"x{i}": np.asarray(feed, np.float32) for i, feed in enumerate(feeds)}
    text = inputs_of([feed.shape for feed in given.values()]) + text_of(kind, fields, len(feeds), 1)
    found = netc.compile(text=text, phase="TRAIN", backend="reference").gradients(given).blobs
    return [found[name] for name in given if name in found]


def test_manhattan_loss_and_its_softened_slope() -> None:
    a, b = rng().normal(size=(2, 3, 4))
    close(run("ManhattanLoss", "", a, b), np.abs(a - b).sum() / 3)
    d = a - b
    first, second = slopes("ManhattanLoss", "loss_weight: 2", a, b)
    close(first, 2 * d / (np.abs(d) + 1e-3) / 3)
    close(second, -2 * d / (np.abs(d) + 1e-3) / 3)


@pytest.mark.parametrize(("kind", "sign"), [("K1_EuclideanLoss", -1), ("K2_EuclideanLoss", 1)])
def test_binary_codes(kind: str, sign: int) -> None:
    a = rng().uniform(size=(3, 4))
    total = sum(sign * (v - 0.5) ** 2 for v in a.ravel())
    close(run(kind, "", a, a + 1), total / (2 * 12))
    for slope in slopes(kind, "", a, a + 1):  # the second bottom is given the first one's
        close(slope, sign * (a - 0.5) / 12)


def test_balanced_cross_entropy() -> None:
    x = rng().normal(size=(2, 6))
    target = np.array([[0, 1, 1, 0, 0, 0.5], [1, 0, 0, 0, 0, 0]])
    loss, slope = 0.0, np.zeros_like(x)
    for i in range(2):
        ones, zeros = (target[i] == 1).sum(), (target[i] == 0).sum()
        for j in range(6):
            p = 1 / (1 + math.exp(-x[i, j]))
            slope[i, j] = (p - target[i, j]) / 2
            if target[i, j] == 1:
                loss -= math.log(p) * zeros / (ones + zeros) / 2
                slope[i, j] *= zeros / (ones + zeros)
            elif target[i, j] == 0:
                loss -= math.log(1 - p) * ones / (ones + zeros) / 2
                slope[i, j] *= ones / (ones + zeros)
    close(run("SigmoidCrossEntropyBalanceLoss", "", x, target), loss)
    close(slopes("SigmoidCrossEntropyBalanceLoss", "", x, target)[0], slope)


def test_spatial_softmax_and_group_norm() -> None:
    x = rng().normal(size=(2, 4, 3, 5))
    soft, normal = np.zeros_like(x), np.zeros_like(x)
    for n in range(2):
        for c in range(4):
            power = np.exp(x[n, c] / 0.5)
            soft[n, c] = power / power.sum()
        for g in (slice(0, 2), slice(2, 4)):
            part = x[n, g]
            normal[n, g] = (part - part.mean()) / math.sqrt(part.var() + 0.01)
    close(run("SpatialSoftmax", "spatial_softmax_param { temperature: 0.5 }", x), soft)
    close(run("GroupNorm", "group_norm_param { group_num: 2 eps: 0.01 }", x), normal)
    with pytest.raises(NetcError, match="must be a multiple of `group_num` 3"):
        run("GroupNorm", "group_norm_param { group_num: 3 }", x)
    with pytest.raises(NetcError, match="`temperature`"):
        run("SpatialSoftmax", "spatial_softmax_param { temperature: 0 }", x)


def test_rows_and_places_of_length_one() -> None:
    x = rng().normal(size=(2, 3, 2, 2))
    each = np.zeros_like(x)
    for n in range(2):
        for y in range(2):
            for w in range(2):
                each[n, :, y, w] = x[n, :, y, w] / (math.sqrt((x[n, :, y, w] ** 2).sum()) + 1e-6)
    close(run("Norm", "", x), each)
    assert run("Norm", "", x[:, :, 0, 0]).shape == (2, 3, 1, 1)  # always the four axes of old Caffe
    close(run("Normalization", "", x), x / np.sqrt((x * x).sum(axis=(1, 2, 3), keepdims=True)))


def test_transformation_takes_means_off() -> None:
    x = rng().normal(size=(2, 3, 2, 2))
    fields = "transform_param { scale: 2 mean_value: 1 mean_value: 2 mean_value: 3 }"
    close(run("Transformation", fields, x), 2 * (x - np.array([1, 2, 3]).reshape(3, 1, 1)))
    with pytest.raises(NetcError, match="mirror"):
        run("Transformation", "transform_param { mirror: true }", x)
    with pytest.raises(NetcError, match="2 values of `mean_value`"):
        run("Transformation", "transform_param { mean_value: 1 mean_value: 2 }", x)


def tented(row: np.ndarray, scale: float) -> np.ndarray:
    """The fork's blur of one row, element by element."""
    radius, last = 1 / max(scale, 0.01), len(row) - 1
    whole = int(radius)
    norm = (2 * whole + 1) * radius - whole * (whole + 1)
    made = []
    for x in range(len(row)):
        total, r = radius * row[x], 1
        while r < radius:
            total += (radius - r) * (row[max(x - r, 0)] + row[min(x + r, last)])
            r += 1
        made.append(total / norm)
    return np.array(made)


def resized(row: np.ndarray, size: int, scale: float, crop: int) -> np.ndarray:
    if scale < 1:
        row = tented(row, scale)
    made, last = [], len(row) - 1
    for i in range(size):
        place = min(max(i / scale + crop, 0), last)
        low = int(place)
        high = min(low + 1, last)
        made.append((high - place) * row[low] + (1 - (high - place)) * row[high])
    return np.array(made)


@pytest.mark.parametrize(
    ("fields", "high", "wide"),
    [
        ("height: 9 width: 7", (9, 2.0, 0), (7, 1.5, 0)),
        ("height: 3 width: 5", (3, 0.5, 0), (5, 1.0, 0)),
        ("scale: 2 crop: 1", (5, 2.0, 1), (5, 2.0, 1)),
        ("scale_x: 0.25 height: 0", (5, 1.0, 0), (2, 0.25, 0)),
    ],
)
def test_resize(fields: str, high: tuple[int, float, int], wide: tuple[int, float, int]) -> None:
    x = rng().normal(size=(2, 2, 5, 5))
    across = np.apply_along_axis(resized, 3, x, *wide)
    close(
        run("Resize", f"resize_param {{ {fields} }}", x),
        np.apply_along_axis(resized, 2, across, *high),
    )


def test_resize_to_a_second_bottom_and_refusals() -> None:
    x, like = rng().normal(size=(1, 2, 3, 3)), np.zeros((1, 1, 5, 9))
    assert run("Resize", "", x, like).shape == (1, 2, 5, 9)
    for fields, told in (
        ("height: 4", "`width` is not given"),
        ("height: 4 scale_y: 2 width: 4", "beside `scale_y`"),
        ("scale: 2 crop: 2", "`crop` 2 leaves nothing of 3"),
        ("scale: -1", "must be above 0"),
        ("prob: 0.5 height: 4 width: 4", "prob"),
    ):
        with pytest.raises(NetcError, match=told):
            run("Resize", f"resize_param {{ {fields} }}", x)


def test_remap() -> None:
    x, places = rng().normal(size=(2, 3, 4, 5)), rng().uniform(-2, 6, size=(2, 2, 3, 4))
    places[0, :, 0, 0] = (2, 1)  # a whole place
    made = np.zeros((2, 3, 3, 4))
    for n in range(2):
        for h in range(3):
            for w in range(4):
                column, row = places[n, :, h, w]
                x0, y0 = math.floor(column), math.floor(row)
                for i, share in ((x0, 1 - column + x0), (x0 + 1, column - x0)):
                    for j, part in ((y0, 1 - row + y0), (y0 + 1, row - y0)):
                        if 0 <= i < 5 and 0 <= j < 4:
                            made[n, :, h, w] += share * part * x[n, :, j, i]
    close(run("Remap", "", x, places), made)
    with pytest.raises(NetcError, match="a column and a row"):
        run("Remap", "", x, np.zeros((2, 3, 3, 4)))


def test_bilinear_interpolation_is_interp_by_another_name() -> None:
    x = rng().normal(size=(1, 2, 3, 4))
    fields = "bilinear_interpolation_param { interpolation_factor: 2 }"
    close(
        run("BilinearInterpolation", fields, x),
        run("Interp", "interp_param { height: 6 width: 8 }", x),
    )
    assert run("BilinearInterpolation", "", x, np.zeros((1, 1, 7, 5))).shape == (1, 2, 7, 5)
    with pytest.raises(NetcError, match="size is not given"):
        run("BilinearInterpolation", "", x)


def test_an_inner_product_with_the_expectation_filler_gives_the_mean_place() -> None:
    param = 'type: "expectation" width: 3 height: 2 expectation_option: "%s"'
    text = inputs_of([(1, 2, 6)]) + text_of(
        "InnerProduct",
        f"inner_product_param {{ num_output: 2 axis: -1 weight_filler {{ {param % 'xy'} }} }}",
        1,
        1,
    )
    net = netc.compile(text=text, backend="reference")
    x = np.zeros((1, 2, 6), np.float32)
    x[0, 0, 5] = 1  # the last column of the last row
    x[0, 1, 1] = 1  # the middle of the first row
    np.testing.assert_array_equal(net(x0=x)["y0"][0], [[1, 1], [0, -1]])
    squares = Filler("expectation", width=3, height=2, expectation_option="-x^2y^2")
    made = fill(squares, (2, 6), rng())
    np.testing.assert_array_equal(made, [[-1, 0, -1, -1, 0, -1], [-1] * 6])
    for wrong, told in ((param % "z", "no expectation"), ('type: "expectation"', "`width`")):
        with pytest.raises(NetcError, match=told):
            netc.compile(text=text.replace(param % "xy", wrong))
    with pytest.raises(NetcError, match="fills an array of 2x6"):
        fill(squares, (2, 7), rng())
