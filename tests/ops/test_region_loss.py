"""RegionLoss with the detection rows of SSD's AnnotatedData (intel/caffe)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ops.detection.region_loss import REGION_LOSS, RegionLossParams, region_changes

ANCHORS = ((0.7, 0.9), (1.4, 1.1), (2.2, 2.6), (0.4, 1.9), (1.8, 0.5))
BIASES = ", ".join(f"{size}" for anchor in ANCHORS for size in anchor)
FIELDS = f"side: 3 num_class: 2 thresh: 0.3 biases: [{BIASES}]"


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def iou(one: list[float], two: list[float]) -> float:
    sides = [
        min(one[k] + one[k + 2] / 2, two[k] + two[k + 2] / 2)
        - max(one[k] - one[k + 2] / 2, two[k] - two[k + 2] / 2)
        for k in (0, 1)
    ]
    if sides[0] < 0 or sides[1] < 0:
        return 0
    common = sides[0] * sides[1]
    return common / (one[2] * one[3] + two[2] * two[3] - common)


def predicted(p: RegionLossParams, x: Any, n: int, j: int, i: int) -> list[float]:
    o = x[n * (5 + p.classes) :, j, i].tolist()
    wide, high = p.anchors[n]
    centre = [(i + sigmoid(o[0])) / p.side, (j + sigmoid(o[1])) / p.side]
    return [*centre, math.exp(o[2]) * wide / p.side, math.exp(o[3]) * high / p.side]


def true_boxes(labels: Any, image: int) -> list[list[float]]:
    boxes: list[list[float]] = []
    for row in labels.reshape(-1, 8).tolist():
        if int(row[0]) == image:
            x0, y0, x1, y1 = row[3:7]
            boxes.append([row[1] - 1, (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    return boxes


def background(p: RegionLossParams, x: Any, boxes: list[list[float]], diff: Any) -> None:
    for j, i, n in np.ndindex(p.side, p.side, len(p.anchors)):
        at = n * (5 + p.classes) + 4
        o = sigmoid(x[at, j, i])
        best = max([0.0, *(iou(predicted(p, x, n, j, i), t[1:]) for t in boxes)])
        diff[at, j, i] = 0 if best > p.threshold else p.noobject_scale * o * o * (1 - o)


def foreground(p: RegionLossParams, x: Any, box: list[float], diff: Any) -> None:
    kind, cx, cy, w, h = box
    i, j = int(cx * p.side), int(cy * p.side)
    overlap = []
    for n, anchor in enumerate(p.anchors):
        shape = [a / p.side for a in anchor] if p.bias_match else predicted(p, x, n, j, i)[2:]
        overlap.append(iou([0, 0, *shape], [0, 0, w, h]))
    n = overlap.index(max(overlap))
    own = x[n * (5 + p.classes) : (n + 1) * (5 + p.classes), j, i].tolist()
    out = diff[n * (5 + p.classes) :, j, i]
    for k, wanted in enumerate((cx * p.side - i, cy * p.side - j)):
        s = sigmoid(own[k])
        out[k] = p.coord_scale * max(-1.0, min(1.0, s - wanted)) * s * (1 - s)
    for k, length in enumerate((w, h)):
        change = own[2 + k] - math.log(length * p.side / p.anchors[n][k])
        out[2 + k] = p.coord_scale * max(-1.0, min(1.0, change))
    o = sigmoid(own[4])
    out[4] = -p.object_scale * 2 * (1 - o) ** 3 * o * (1 - o)
    total = sum(math.exp(v) for v in own[5:])
    for k, v in enumerate(own[5:]):
        out[5 + k] = p.class_scale * (math.exp(v) / total - (k == int(kind)))


def loops(p: RegionLossParams, x: Any, labels: Any) -> Any:
    """region_loss_layer.cpp of intel/caffe, number by number."""
    diff = np.zeros(x.shape)
    for b in range(len(x)):
        boxes = true_boxes(labels, b)
        background(p, x[b], boxes, diff[b])
        for box in boxes:
            foreground(p, x[b], box, diff[b])
    return diff


def rows(images: int, rng: np.random.Generator) -> Any:
    low = rng.random((5, 2)) * 0.5
    high = low + 0.1 + rng.random((5, 2)) * 0.35
    owners = [0, images - 1, 0, -1, images - 1]
    labels = [1, 2, 2, 1, 0]  # 0 is the background: no class of the outputs
    zeros = np.zeros((5, 1))
    made = [np.array([owners, labels], float).T, zeros, low, high, zeros]
    return np.concatenate(made, axis=1).reshape(1, 1, 5, 8).astype(np.float32)


@pytest.mark.parametrize("bias_match", (True, False))
@pytest.mark.parametrize("images", (1, 2))
def test_detection_rows_give_the_changes_of_the_forks_loops(images: int, bias_match: bool) -> None:
    rng = np.random.default_rng(images)
    params = RegionLossParams(2, ANCHORS, bias_match, True, 0.3, 5, 1.5, 0.5, 2, 3, False)
    x = rng.normal(size=(images, 35, 3, 3)).astype(np.float32) * 3
    labels = rows(images, rng)
    wanted = loops(params, x, labels)
    made = region_changes(params, x, labels).reshape(x.shape)
    assert made == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert (np.abs(made[:, 2::7]) == 2).any()  # an error cut to 1, times the scale
    (loss,) = REGION_LOSS.reference(params, [x, labels], [])
    assert float(loss) == pytest.approx((wanted**2).sum(), rel=1e-5)  # not the mean of images


def run(fields: str, labels: Any, images: int = 1) -> Any:
    shapes = ((images, 35, 3, 3), labels.shape)
    text = "".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {d}" for d in shape)} }}\n'
        for name, shape in zip("xt", shapes, strict=True)
    )
    text += 'layer { name: "l" type: "RegionLoss" bottom: "x" bottom: "t" top: "l"'
    text += f" region_loss_param {{ {fields} }} }}"
    return netc.compile(text=text, backend="reference")(
        {"x": np.zeros(shapes[0], np.float32), "t": labels}
    )


def test_what_detection_rows_cannot_be() -> None:
    labels = rows(1, np.random.default_rng(0))
    assert run(FIELDS, labels)["l"] > 0
    with pytest.raises(NetcError, match="`side` is 13 and the map's rows are 3"):
        run(FIELDS.replace("side: 3", ""), labels)
    with pytest.raises(NetcError, match="`class_map` with labels of 8 numbers"):
        run(f'{FIELDS} class_map: "a"', labels)
    labels[0, 0, 1, 0] = 1
    with pytest.raises(NetcError, match="a true box is of image 1, and the batch has 1") as raised:
        run(FIELDS, labels)
    assert raised.value.diagnostics[0].code == "region-out-of-range"


def test_all_rows_can_be_empty() -> None:
    """Only the objectness of the background is left: 0.5 * 0.5 * 0.5 * 0.5 at each of 45."""
    labels = np.full((1, 1, 1, 8), -1, np.float32)
    assert run(FIELDS, labels)["l"] == pytest.approx(45 * 0.0625**2)
