"""AffordanceNet's PredToProposalLayer against a loop over classes."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError

TEXT = """
input: "rois" input_shape {{ dim: 12 dim: 5 }} input: "delta" input_shape {{ dim: 12 dim: {n} }}
input: "score" input_shape {{ dim: 12 dim: 3 }} input: "info" input_shape {{ dim: 1 dim: 3 }}
layer {{ name: "p" type: "Python" bottom: "rois" bottom: "delta" bottom: "score" bottom: "info"
  top: "masks" top: "scores" top: "classes" top: "boxes"
  python_param {{ module: "rpn.pred_to_proposal_layer" layer: "PredToProposalLayer"
    param_str: "'max_per_image': {most} \\n'thresh': {least}" }} }}
"""


def overlap(a, b) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    high = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(wide, 0) * max(high, 0)
    area = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return common / (area[0] + area[1] - common)


def feeds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    low, side = rng.uniform(0, 120, (12, 2)), rng.uniform(20, 90, (12, 2))
    rois = np.concatenate([np.zeros((12, 1)), low, low + side], axis=1)
    given = {"rois": rois, "delta": rng.normal(size=(12, 12)) / 5, "score": rng.random((12, 3)),
             "info": np.array([[200, 160, 2]])}  # fmt: skip
    return {name: array.astype(np.float32) for name, array in given.items()}


def expected(given: dict[str, np.ndarray], most: int, least: float):
    found = []
    for label in (1, 2):
        rows = []
        for roi, delta, score in zip(given["rois"], given["delta"], given["score"], strict=True):
            x0, y0, x1, y1 = roi[1:] / 2
            dx, dy, dw, dh = delta[4 * label : 4 * label + 4]
            wide, high = x1 - x0 + 1, y1 - y0 + 1
            cx, cy = x0 + wide / 2 + dx * wide, y0 + high / 2 + dy * high
            w, h = np.exp(dw) * wide / 2, np.exp(dh) * high / 2
            box = [cx - w, cy - h, cx + w, cy + h]
            box = [min(max(v, 0), m) for v, m in zip(box, (79, 99, 79, 99), strict=True)]
            rows.append((score[label], box, label))
        kept: list = []
        for row in sorted((r for r in rows if r[0] > least), key=lambda r: -r[0]):
            if all(overlap(row[1], other[1]) <= 0.3 for other in kept):
                kept.append(row)
        found += kept
    best = sorted((row[0] for row in found), reverse=True)[:most]
    return [row for row in found if row[0] in best]


@pytest.mark.parametrize(("most", "least"), [(100, 0.2), (3, 0.0)])
def test_detections(most: int, least: float) -> None:
    net = netc.compile(text=TEXT.format(n=12, most=most, least=least), backend="reference")
    given = feeds()
    got, wanted = net(**given), expected(given, most, least)
    boxes = np.array([box for _, box, _ in wanted])
    np.testing.assert_allclose(got["boxes"][:, 1:], boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(got["masks"][:, 1:], 2 * boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(got["scores"][:, 0], [score for score, _, _ in wanted], rtol=1e-6)
    assert got["classes"][:, 0].tolist() == [label for _, _, label in wanted]


def test_nothing_found_is_one_row() -> None:
    net = netc.compile(text=TEXT.format(n=12, most=9, least=2.0), backend="reference")
    got = net(**feeds())
    assert got["boxes"].tolist() == [[0] * 5] and got["classes"].tolist() == [[-1]]


def test_changes_must_be_of_each_class() -> None:
    with pytest.raises(NetcError, match="changes of each class"):
        netc.compile(text=TEXT.format(n=4, most=9, least=0.5))
