"""DetectionOutput of priors in pixels, box by box as OpenVINO's reference has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError

TEXT = """
input: "loc" input_shape {{ dim: [1, {loc}] }} input: "conf" input_shape {{ dim: [1, 12] }}
input: "rois" input_shape {{ dim: [1, {maps}, {wide}] }}
layer {{ name: "d" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "rois" top: "out"
  detection_output_param {{ num_classes: 2 share_location: {shared} background_label_id: 0
    input_width: 200 input_height: 100 normalized: false code_type: {code}
    variance_encoded_in_target: {encoded} keep_top_k: 4
    nms_param {{ nms_threshold: 0.4 top_k: 5 }} }} }}
"""
RNG = np.random.default_rng(2)
LOW = RNG.integers(0, 50, (6, 2))
ROIS = np.concatenate([np.zeros((6, 1)), LOW, LOW + RNG.integers(5, 50, (6, 2))], axis=1)
CONF = RNG.permutation(12).reshape(6, 2) / 12


def text(**more: Any) -> str:
    said = {"loc": 48, "maps": 1, "wide": 30, "shared": "false", "code": "CENTER_SIZE"}
    return TEXT.format(**{**said, "encoded": "true", **more})


def box(code: str, prior: Any, change: Any) -> list[float]:
    x0, y0, x1, y1 = prior[1] / 200, prior[2] / 100, prior[3] / 200, prior[4] / 100
    if code == "CORNER":
        return [x0 + change[0], y0 + change[1], x1 + change[2], y1 + change[3]]
    x, y = change[0] * (x1 - x0) + (x0 + x1) / 2, change[1] * (y1 - y0) + (y0 + y1) / 2
    w, h = math.exp(change[2]) * (x1 - x0), math.exp(change[3]) * (y1 - y0)
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def overlap(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - common)


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE"])
@pytest.mark.parametrize("shared", [True, False])
def test_priors_are_divided_by_the_size_of_the_image(code: str, shared: bool) -> None:
    loc = RNG.normal(size=(6, 1 if shared else 2, 4)) * 0.1
    boxes = [box(code, ROIS[i], loc[i, -1]) for i in range(6)]
    wanted: list[Any] = []
    for i in sorted(range(6), key=lambda i: -CONF[i, 1])[:5]:
        if all(overlap(boxes[i], row[3:]) <= 0.4 for row in wanted):
            wanted.append([0, 1, CONF[i, 1], *boxes[i]])
    net = netc.compile(
        text=text(loc=loc.size, code=code, shared=str(shared).lower()), backend="reference"
    )
    feeds = {"loc": loc.reshape(1, -1), "conf": CONF.reshape(1, -1), "rois": ROIS.reshape(1, 1, -1)}
    got = net({name: np.asarray(v, np.float32) for name, v in feeds.items()})["out"]
    np.testing.assert_allclose(got[0, 0], wanted[:4], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"encoded": "false"}, "have no variances"),
        ({"code": "CORNER_SIZE"}, "have no variances"),
        ({"maps": 2}, r"1x1x\(5 \* priors\)"),
        ({"wide": 24}, r"1x1x\(5 \* priors\)"),
        ({"wide": 25}, "5 priors with 8 locations each need 40"),
    ],
)
def test_what_openvino_does_not_decode_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(NetcError, match=message) as told:
        netc.compile(text=text(**more))
    assert told.value.diagnostics[0].span is not None


def test_the_cpu_backend_gives_the_same() -> None:
    loc = (RNG.normal(size=(1, 48)) * 0.1).astype(np.float32)
    feeds = {"loc": loc, "conf": CONF.reshape(1, -1), "rois": ROIS.reshape(1, 1, -1)}
    feeds = {name: np.asarray(v, np.float32) for name, v in feeds.items()}
    made = [netc.compile(text=text(), backend=b)(feeds)["out"] for b in ("reference", "cpu")]
    np.testing.assert_array_equal(*made)


def test_a_size_is_needed() -> None:
    with pytest.raises(NetcError, match="input_width"):
        netc.compile(text=text().replace("input_width: 200", ""))


def test_a_size_without_pixels_is_refused_still() -> None:
    with pytest.raises(NetcError, match="input_width"):
        netc.compile(text=text().replace("normalized: false", "normalized: true"))
