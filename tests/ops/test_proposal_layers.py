"""Python layers that propose regions, against loops written from their projects' definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from tests.ops.test_rcnn_layers import iou

SSH = """
input: "s" input_shape { dim: [1, 4, 5, 6] } input: "d" input_shape { dim: [1, 8, 5, 6] }
input: "info" input_shape { dim: [1, 3] }
layer { name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "info" top: "boxes" top: "scores"
  python_param { module: "SSH.layers.proposal_layer" layer: "ProposalLayer"
    param_str: "{'feat_stride': 8,'scales': [1,2], 'ratios':[1,]}" } }
"""
INFO = np.array([[40, 48, 1]], np.float32)


def inputs(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    changes = rng.uniform(-0.4, 0.4, (1, 8, 5, 6))
    return {
        "s": rng.permutation(120).reshape(1, 4, 5, 6).astype(np.float32) / 120,
        "d": changes.astype(np.float32),
        "info": INFO,
    }


def all_boxes(s: Any, d: Any, info: Any) -> list[tuple[float, list[float]]]:
    """Score and box of every anchor, the best first."""
    found = []
    for a, y, x in np.ndindex(2, 5, 6):
        side = 16 * (a + 1)
        dx, dy, dw, dh = (float(d[0, 4 * a + i, y, x]) for i in range(4))
        centre = [8 * x + 8.0 + dx * side, 8 * y + 8.0 + dy * side]
        half = [np.exp(dw) * side / 2, np.exp(dh) * side / 2]
        box = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
        edges = [info[0, 1] - 1, info[0, 0] - 1] * 2
        found.append(
            (float(s[0, 2 + a, y, x]), [min(max(v, 0), e) for v, e in zip(box, edges, strict=True)])
        )
    return sorted(found, reverse=True)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_ssh_gives_all_boxes_by_their_scores_outside_of_training(backend: str) -> None:
    given = inputs(0)
    out = netc.compile(text=SSH, backend=backend)(given)
    wanted = all_boxes(**given)
    assert out["boxes"].shape == (60, 5)
    np.testing.assert_allclose(out["scores"][:, 0], [score for score, _ in wanted])
    np.testing.assert_allclose(
        out["boxes"][:, 1:], [box for _, box in wanted], rtol=1e-4, atol=1e-4
    )


def test_ssh_suppresses_boxes_and_drops_small_ones_in_training() -> None:
    given = inputs(1)
    given["info"] = np.array([[40, 48, 3]], np.float32)  # 4 pixels of the image before: 12
    out = netc.compile(text=SSH, backend="reference", phase="TRAIN")(given)
    kept: list[tuple[float, list[float]]] = []
    for score, box in all_boxes(**given):
        if min(box[2] - box[0], box[3] - box[1]) + 1 < 12:
            continue
        if all(iou(np.array(box), np.array(better)) <= 0.3 for _, better in kept):
            kept.append((score, box))
    assert 1 < len(kept) < 60
    np.testing.assert_allclose(out["boxes"][:, 1:], [box for _, box in kept], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out["scores"][:, 0], [score for score, _ in kept])


def test_another_field_is_refused_by_the_projects_name() -> None:
    text = SSH.replace("'feat_stride': 8", "'feat_stride': 8, 'anchors': 3")
    with pytest.raises(netc.NetcError, match="SSH's `ProposalLayer` takes"):
        netc.compile(text=text)


SUBCNN = """
input: "s" input_shape { dim: [1, 140, 3, 4] } input: "d" input_shape { dim: [1, 280, 3, 4] }
input: "info" input_shape { dim: [1, 3] }
layer { name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "info" top: "boxes" top: "scores"
  python_param { module: "rpn_msr.proposal_layer" layer: "ProposalLayer"
    param_str: "'feat_stride': 16" } }
"""


def test_subcnns_anchors_are_those_of_the_configuration_with_as_many() -> None:
    rng = np.random.default_rng(2)
    scores = rng.permutation(1680).reshape(1, 140, 3, 4).astype(np.float32)
    info = np.array([[2000, 2000, 1]], np.float32)
    given = {"s": scores, "d": np.zeros((1, 280, 3, 4), np.float32), "info": info}
    out = netc.compile(text=SUBCNN, backend="reference", phase="TRAIN")(given)
    best = int(scores[0, 70:].argmax())
    kind, cell = divmod(best, 12)
    ratio = (0.25, 0.5, 0.75, 1, 1.5, 2, 3)[kind // 10]
    w = round(np.sqrt(256 / ratio))
    half = np.array([w, round(w * ratio)]) * 2 ** (1 + (kind % 10) / 2) / 2
    centre = 8 + 16 * np.array([cell % 4, cell // 4])
    wanted = np.clip([*(centre - half), *(centre + half)], 0, 1999)
    np.testing.assert_allclose(out["boxes"][0, 1:], wanted, atol=0.51)
    assert out["boxes"].shape[0] <= 840
    with pytest.raises(netc.NetcError, match="9, 70, 121 anchors"):
        netc.compile(text=SUBCNN.replace("140", "100").replace("280", "200"))
