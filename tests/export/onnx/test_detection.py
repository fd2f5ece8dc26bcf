"""Layers that choose boxes, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.export.onnx import to_onnx
from netc.ir.graph import Graph
from tests.export.onnx.test_rules import agrees, graph_of, layer, more

PRIORS, CLASSES, IMAGES = 60, 5, 3


def detector(params: str, shared: bool, code: str = "CENTER_SIZE") -> Graph:
    each = 1 if shared else CLASSES
    common = f"num_classes: {CLASSES} share_location: {str(shared).lower()} code_type: {code}"
    return graph_of(
        more("conf", f"{IMAGES} {PRIORS * CLASSES}"),
        more("prior", f"1 2 {PRIORS * 4}"),
        layer("DetectionOutput", f"detection_output_param {{ {common} {params} }}", "x conf prior"),
        shape=f"dim: {IMAGES} dim: {PRIORS * 4 * each}",
    )


def seen(graph: Graph, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    middle, half = rng.random((PRIORS, 2)), rng.random((PRIORS, 2)) * 0.15 + 0.02
    corners = np.concatenate([middle - half, middle + half], axis=1).reshape(-1)
    prior = np.stack([corners, np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)])[None]
    feeds = {
        "x": rng.standard_normal(graph.shape("x")),
        "conf": rng.random(graph.shape("conf")),
        "prior": prior,
    }
    return {name: array.astype(np.float32) for name, array in feeds.items()}


DETECTORS = [
    "confidence_threshold: 0.5 keep_top_k: 20 nms_param { nms_threshold: 0.3 top_k: 30 }",
    "confidence_threshold: 0.99 nms_param { nms_threshold: 0.45 }",
    "confidence_threshold: 1.5",  # nothing
    "confidence_threshold: 0.998 keep_top_k: 200",  # nothing of some images
    "keep_top_k: 7 variance_encoded_in_target: true",
    "background_label_id: -1 nms_param { top_k: 10 nms_threshold: 1.5 }",
    "background_label_id: 2 nms_param { top_k: 500 nms_threshold: 0.5 eta: 0.5 }",
]


@pytest.mark.parametrize("params", DETECTORS)
@pytest.mark.parametrize("shared", (True, False))
@pytest.mark.parametrize("batch", (None, "N"))
def test_detections(params: str, shared: bool, batch: str | None) -> None:
    graph = detector(params, shared)
    for seed in range(3):
        agrees(graph, batch, seen(graph, seed))


def test_equal_scores_are_told_in_order() -> None:
    graph = detector(DETECTORS[0], True)
    feeds = seen(graph, 0)
    feeds["conf"] = np.round(feeds["conf"], 1)
    agrees(graph, "N", feeds)


@pytest.mark.parametrize(
    "params, code, words",
    [
        ("nms_param { nms_threshold: 0.6 eta: 0.9 }", "CENTER_SIZE", "`eta` changes"),
        ("", "CORNER", "may end before it begins"),
        ("keep_top_k: 0", "CENTER_SIZE", "keeps nothing"),
    ],
)
def test_what_is_not_the_same_there(params: str, code: str, words: str) -> None:
    with pytest.raises(NetcError, match=rf"net:4:\d+: error\[no-onnx-rule\].*{words}"):
        to_onnx(detector(params, True, code))
