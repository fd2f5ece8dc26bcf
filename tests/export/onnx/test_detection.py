"""Layers that choose boxes, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.export.onnx import to_onnx
from netc.ir.graph import Graph
from netc.ops.python import unregister_python_layer
from tests.export.onnx.test_rules import FILLED, agrees, graph_of, layer, more

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


def maps(graph: Graph, seed: int) -> dict[str, Any]:
    """Of cells on a coarse grid, with predictions that move boxes a little."""
    rng = np.random.default_rng(seed)
    info = np.array([[96, 112, 1.5]], np.float32)[:, : graph.shape("info")[1]]
    return {
        "x": rng.random(graph.shape("x")).astype(np.float32),
        "delta": (rng.standard_normal(graph.shape("delta")) * 0.3).astype(np.float32),
        "info": info,
    }


PROPOSAL = "ratio: 0.5 ratio: 1 ratio: 2 scale: 2 scale: 4 feat_stride: 16 base_size: 16 "


@pytest.mark.parametrize("images", (1, 2))
@pytest.mark.parametrize("tops", ("y", "y score"))
@pytest.mark.parametrize(
    "params",
    [
        "min_size: 16 pre_nms_topn: 60 post_nms_topn: 10 nms_thresh: 0.5",
        "min_size: 40 pre_nms_topn: 6000 post_nms_topn: 300 nms_thresh: 0.3",
    ],
)
def test_proposals(images: int, tops: str, params: str) -> None:
    graph = graph_of(
        more("delta", f"{images} 24 6 7"),
        more("info", "1 3"),
        layer("Proposal", f"proposal_param {{ {PROPOSAL} {params} }}", "x delta info", tops),
        shape=f"dim: {images} dim: 12 dim: 6 dim: 7",
    )
    for seed in range(3):
        agrees(graph, None, maps(graph, seed))
        agrees(graph, "N", maps(graph, seed))


FASTER = """python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
param_str: "'feat_stride': 16 \\n'scales': [1, 2, 4]" }"""


def faster_rcnn(python: str = FASTER) -> Graph:
    pooling = "roi_pooling_param { pooled_w: 2 pooled_h: 3 spatial_scale: 0.0625 }"
    product = f"inner_product_param {{ num_output: 4 {FILLED} }}"
    return graph_of(
        more("delta", "1 36 6 7"),
        more("info", "1 3"),
        more("seen", "1 5 6 7"),
        layer("Python", python, "x delta info", "rois"),
        f'layer {{ name: "p" type: "ROIPooling" bottom: "seen" bottom: "rois" top: "p" '
        f"{pooling} }}",
        f'layer {{ name: "fc" type: "InnerProduct" bottom: "p" top: "fc" {product} }}',
        'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }',
        shape="dim: 1 dim: 18 dim: 6 dim: 7",
    )


def test_faster_rcnn() -> None:
    graph = faster_rcnn()
    for seed in range(3):
        seen = np.random.default_rng(seed).standard_normal((1, 5, 6, 7)).astype(np.float32)
        agrees(graph, None, {**maps(graph, seed), "seen": seen})
    with pytest.raises(NetcError, match=r"batch-misfit[\s\S]*of a single image"):
        to_onnx(graph, batch="N")
    (prob,) = to_onnx(graph).graph.output
    assert [d.dim_value for d in prob.type.tensor_type.shape.dim] == [0, 4]  # 0: a run tells


def test_other_programs_are_refused() -> None:
    netc.register_python_layer("own", "Layer", lambda inputs, text: inputs[:1], lambda s, t: s[:1])
    try:
        with pytest.raises(NetcError, match=r"no-onnx-rule.*it is a program[\s\S]*--until x"):
            to_onnx(graph_of(layer("Python", 'python_param { module: "own" layer: "Layer" }')))
    finally:
        unregister_python_layer("own", "Layer")


def test_position_sensitive_pooling() -> None:
    param = "psroi_pooling_param { spatial_scale: 0.25 output_dim: 3 group_size: 2 }"
    text = layer("PSROIPooling", param, "x r")
    graph = graph_of(more("r", "40 5"), text, shape="dim: 2 dim: 12 dim: 8 dim: 9")
    rng = np.random.default_rng(0)
    corners = rng.uniform(-8, 44, (40, 2, 2))
    rows = np.concatenate([rng.integers(0, 2, (40, 1)), np.sort(corners, 1).reshape(40, 4)], 1)
    rows[0, 1:] = 100, 100, 120, 120  # outside: every bin is empty
    rows[1, 1:] = 3, 3, 2, 2
    rows[2, 1:] = np.round(rows[2, 1:]) + 0.5
    feeds = {
        "x": rng.standard_normal(graph.shape("x")).astype(np.float32),
        "r": rows.astype(np.float32),
    }
    agrees(graph, None, feeds)
    agrees(graph, "N", feeds)
