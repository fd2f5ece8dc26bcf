"""Layers of happynear/caffe-windows against loops written as its sources are."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(11)
POINTS = RNG.integers(-12, 12, (2, 6)).astype(np.float32)


@pytest.mark.parametrize("centred", ("true", "false"))
def test_hotspot(centred: str) -> None:
    fields = ("hotspot_param { data_height: 20 data_width: 30 gaussian_std: 1.5 "
              f"output_height: 5 output_width: 7 mean_removed: {centred} }}")  # fmt: skip
    wanted = np.zeros((2, 3, 5, 7))
    add = 0.5 if centred == "true" else 0.0
    for n in range(2):
        for p in range(3):
            x = (POINTS[n, 2 * p] / 30 + add) * 7
            y = (POINTS[n, 2 * p + 1] / 20 + add) * 5
            for h in range(5):
                for w in range(7):
                    far = ((x - w) ** 2 + (y - h) ** 2) / 1.5**2
                    bell = 0.5 / 1.5 / 1.5 / math.pi * math.exp(-0.5 * far)
                    wanted[n, p, h, w] = bell if bell > 1e-4 else 0
    close(run("Hotspot", fields, POINTS), wanted)
    sized = fields.replace("output_height: 5 output_width: 7", "")
    close(run("Hotspot", sized, POINTS, np.zeros((1, 4, 5, 7))), wanted)


@pytest.mark.parametrize(
    ("fields", "said"),
    [("", "`output_height` is not given"), ("output_height: 2 output_width: 2", "`data_height`"),
     ("output_height: 2 output_width: 2 data_height: 1 data_width: 1 gaussian_std: 0", "divided")],
)  # fmt: skip
def test_a_hotspot_that_lacks_a_size(fields: str, said: str) -> None:
    with pytest.raises(NetcError, match=said):
        run("Hotspot", f"hotspot_param {{ {fields} }}", POINTS)


def sub_region_loop(image: np.ndarray, joined: bool) -> tuple[np.ndarray, ...]:
    """A cut of 3 by 4 around each point, pictures of 20 by 30."""
    high, wide, number = 3, 4, 3
    items, channels, height, width = image.shape
    cuts = np.zeros((items, number, channels, high, wide))
    offset, middle = np.zeros((2, items, 2 * number))
    truth = POINTS + 1
    for n in range(items):
        for p in range(number):
            x0 = math.floor((POINTS[n, 2 * p] / 30 + 0.5) * width - wide // 2)
            y0 = math.floor((POINTS[n, 2 * p + 1] / 20 + 0.5) * height - high // 2)
            middle[n, 2 * p] = (x0 + wide / 2 + 0.5) / width * 30
            middle[n, 2 * p + 1] = (y0 + high / 2 + 0.5) / height * 20
            offset[n, 2 * p] = truth[n, 2 * p] + 15 - middle[n, 2 * p]
            offset[n, 2 * p + 1] = truth[n, 2 * p + 1] + 10 - middle[n, 2 * p + 1]
            for h in range(high):
                for w in range(wide):
                    if 0 <= y0 + h < height and 0 <= x0 + w < width:
                        cuts[n, p, :, h, w] = image[n, :, y0 + h, x0 + w]
    if joined:
        return cuts.reshape(items, -1, high, wide), offset, middle
    return cuts.transpose(1, 0, 2, 3, 4).reshape(-1, channels, high, wide), offset, middle


@pytest.mark.parametrize("as_dim", (0, 1))
def test_sub_region(as_dim: int) -> None:
    image = RNG.normal(size=(2, 2, 6, 8)).astype(np.float32)
    fields = ("sub_region_param { region_height: 3 region_width: 4 data_height: 20 "
              f"data_width: 30 as_dim: {as_dim} }}")  # fmt: skip
    got = run("SubRegion", fields, image, POINTS, POINTS + 1, tops=3)
    for one, wanted in zip(got, sub_region_loop(image, bool(as_dim)), strict=True):
        close(one, wanted)


@pytest.mark.parametrize("kind", ("L1", "L2"))
def test_normalize_over_the_channels_of_each_place(kind: str) -> None:
    x = RNG.normal(size=(2, 3, 2, 2))
    norm = np.sqrt((x * x).sum(1, keepdims=True)) if kind == "L2" else abs(x).sum(1, keepdims=True)
    fields = f'normalize_param {{ normalize_type: "{kind}" bp_norm: true }}'
    y, got = run("Normalize", fields, x, tops=2)
    close(y, x / norm)
    close(got, norm)
    close(run("Normalize", f'softmax_param {{ normalize_type: "{kind}" }}', x), x / norm)
    rows, of_rows = run("Normalize", "", x[:, :, 0, 0], tops=2)
    assert of_rows.shape == (2, 1, 1, 1)
    close(rows * of_rows[:, :, 0, 0], x[:, :, 0, 0])


def test_a_dropped_gradient_of_the_norms() -> None:
    """Without `bp_norm` nothing passes from the second top."""
    text = """
        input: "x" input_shape { dim: 2 dim: 3 } force_backward: true
        layer { name: "n" type: "Normalize" bottom: "x" top: "y" top: "norm"
                normalize_param { %s } }
        layer { name: "y0" type: "Silence" bottom: "y" }
        layer { name: "l" type: "Reduction" bottom: "norm" top: "l" loss_weight: 1 }
    """
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    kept = netc.compile(text=text % "bp_norm: true", backend="reference").gradients({"x": x})
    close(kept.blobs["x"], x / np.sqrt((x * x).sum(1, keepdims=True)))
    lost = netc.compile(text=text % "", backend="reference").gradients({"x": x})
    close(lost.blobs["x"], 0 * x)


def test_the_gradient_that_gpus_alone_do_not_divide() -> None:
    with pytest.raises(NetcError, match="GPU code alone"):
        run("Normalize", "normalize_param { fix_gradient: true }", np.ones((2, 3)))


LABEL = np.array([1, 0, 2])


@pytest.mark.parametrize(
    ("fields", "positive", "negative"),
    [
        ("positive_weight: 0.5", lambda v: 0.5 * v, lambda v: v),
        ("negative_weight: 3", lambda v: v, lambda v: 3 * v),
        ("positive_weight: 2 for_ip: true", lambda v: 2 * v if v > 0 else v, lambda v: v),
        ("positive_weight: 2 bias_fix: true", lambda v: 2 * v - 1, lambda v: v),
        ("positive_weight: 2 power_on_positive: true", lambda v: abs(v) * v, lambda v: v),
    ],
)
def test_label_specific_rescale(fields, positive, negative) -> None:
    x = RNG.normal(size=(3, 4))
    rows = [[positive(v) if j == LABEL[i] else negative(v) for j, v in enumerate(row)]
            for i, row in enumerate(x)]  # fmt: skip
    text = f"label_specific_rescale_param {{ {fields} }}"
    got, weight = run("LabelSpecificRescale", text, x, LABEL, tops=2, phase="TRAIN")
    close(got, rows)
    close(weight, [float(fields.split()[1]) if "positive_w" in fields else 1.0])
    close(run("LabelSpecificRescale", text, x, LABEL, phase="TEST"), x)
    tested = text.replace("{ ", "{ rescale_test: true ")
    close(run("LabelSpecificRescale", tested, x, LABEL, phase="TEST"), rows)


def test_a_factor_that_changes_with_the_iterations_is_refused() -> None:
    with pytest.raises(NetcError, match="positive_weight_base"):
        run("LabelSpecificRescale", "label_specific_rescale_param { positive_weight_base: 5 }",
            np.ones((3, 4)), LABEL)  # fmt: skip


@pytest.mark.parametrize("top_k", (1, 2))
def test_the_least_distance_is_the_best(top_k: int) -> None:
    x = np.array([[1, 2, 3], [2, 2, 5], [2, 2, 5], [9, 8, 7.0]])
    label = np.array([0, 0, 1, 1])
    rank = [sorted((v, j) for j, v in enumerate(row)) for row in x]
    hits = [int(own in [j for _, j in row[:top_k]]) for own, row in zip(label, rank, strict=True)]
    fields = f"accuracy_param {{ top_k: {top_k} min_is_better: true }}"
    close(run("Accuracy", fields, x, label), np.mean(hits))
