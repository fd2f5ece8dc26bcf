"""MultiROIPooling and WeightEuclideanLoss against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, run

PATCH = "multi_roi_pooling_param {{ pooled_h: 3 pooled_w: 4 spatial_scale: 0.5 top_num: {} }}"
PLACES = np.array([[[8, 6], [1, 1], [17, 13]], [[0, 14], [30, 4], [9.0, 7.0]]], np.float32)
COARSE = [17, 21, 22, 26, 36, 39, 42, 45, 27, 31, 35, 48, 54]


def rounded(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def begin(image: int, top: int) -> tuple[int, int]:
    x, y = PLACES[image, top] / 2
    return rounded(y - 1), rounded(x - 2)


def test_patches() -> None:
    data = np.random.default_rng(1).normal(size=(2, 3, 7, 9)).astype(np.float32)
    got = run("MultiROIPooling", PATCH.format(3), data, PLACES, tops=3)
    for top in range(3):
        wanted = np.zeros((2, 3, 3, 4))
        for image, i, j in np.ndindex(2, 3, 4):
            row, column = begin(image, top)
            if 0 <= row + i < 7 and 0 <= column + j < 9:
                wanted[image, :, i, j] = data[image, :, row + i, column + j]
        close(got[top], wanted)


def test_gradient_of_patches_is_that_of_their_first_rows() -> None:
    sizes = 'input: "x" input_shape { dim: 2 dim: 3 dim: 7 dim: 9 } '
    sizes += 'input: "p" input_shape { dim: 2 dim: 3 dim: 2 } '
    sizes += "".join(
        f'input: "t{k}" input_shape {{ dim: 2 dim: 3 dim: 3 dim: 4 }} ' for k in range(3)
    )
    text = sizes + 'layer { name: "m" type: "MultiROIPooling" bottom: "x" bottom: "p" top: "m0" '
    text += f'top: "m1" top: "m2" {PATCH.format(3)} }} '
    for k in range(3):
        text += f'layer {{ name: "l{k}" type: "EuclideanLoss" bottom: "m{k}" bottom: "t{k}" }} '
    rng = np.random.default_rng(5)
    data = rng.normal(size=(2, 3, 7, 9)).astype(np.float32)
    targets = {f"t{k}": rng.normal(size=(2, 3, 3, 4)).astype(np.float32) for k in range(3)}
    made = run("MultiROIPooling", PATCH.format(3), data, PLACES, tops=3)
    wanted = np.zeros(data.shape)
    for top, image in np.ndindex(3, 2):
        slope = (made[top][image] - targets[f"t{top}"][image]) / 2
        row, column = begin(image, top)
        first = max(0, -row)
        for i, j in np.ndindex(3, 4):
            if 0 <= row + i < 7 and 0 <= column + j < 9:
                wanted[image, :, row + i, column + j] += slope[:, first, j]
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    close(net.gradients({"x": data, "p": PLACES, **targets}).blobs["x"], wanted)


def test_tops_must_be_as_many_as_written() -> None:
    with pytest.raises(NetcError, match="number of tops"):
        run("MultiROIPooling", PATCH.format(2), np.zeros((2, 3, 7, 9)), PLACES, tops=3)


@pytest.mark.parametrize("by", ["", "eyes", "box"])
@pytest.mark.parametrize("third", [False, True])
def test_weighted_landmarks(by: str, third: bool) -> None:
    rng = np.random.default_rng(7)
    x, truth, more = (rng.random((3, 136)).astype(np.float32) for _ in range(3))
    fields = "contour_weight: 0.5 main_weight: 2 coarse_weight: 3 "
    fields += f"normalized: {int(bool(by))} normalized_type: {int(by == 'box')}"
    feeds = [x, truth, more] if third else [x, truth]
    got = run("WeightEuclideanLoss", f"weight_euclidean_loss_param {{ {fields} }}", *feeds)
    total = 0.0
    for n in range(3):
        xs, ys = truth[n, :68], truth[n, 68:]
        if by == "eyes":
            size = math.hypot(xs[36] - xs[42], ys[39] - ys[45])
        elif by == "box":
            size = math.hypot(max(xs) - min(xs), max(ys) - min(ys))
        else:
            size = 1.0
        for i in range(136):
            weight = 3 if i % 68 in COARSE else 0.5 if i % 68 < 17 else 2
            square = (x[n, i] - truth[n, i]) ** 2 * (more[n, i] if third else 1)
            total += weight * square / size
    close(got, total / 3 / 2)


def test_gradient_as_of_a_euclidean_loss() -> None:
    rng = np.random.default_rng(8)
    x, truth, more = (rng.random((2, 136)).astype(np.float32) for _ in range(3))
    shapes = "".join(f'input: "{n}" input_shape {{ dim: 2 dim: 136 }} ' for n in "xtm")
    text = shapes + 'layer { name: "l" type: "WeightEuclideanLoss" bottom: "x" bottom: "t" '
    text += 'bottom: "m" top: "l" weight_euclidean_loss_param { main_weight: 0 } }'
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    found = net.gradients({"x": x, "t": truth, "m": more}).blobs
    weights = [1.0 if i < 17 or i in COARSE else 0.0 for i in range(68)]
    close(found["x"], (x - truth) * np.tile(weights, 2) / 2)
    close(found["t"], (truth - x) * np.tile(weights, 2) / 2)


def test_other_numbers_of_landmarks_are_refused() -> None:
    with pytest.raises(NetcError, match="136 numbers"):
        run("WeightEuclideanLoss", "", np.zeros((2, 10)), np.zeros((2, 10)))
