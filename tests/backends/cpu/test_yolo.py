"""Detection outputs of YOLOv2 and YOLOv3 by kernels: the definitions' rows."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.aot.build import Choices, plan_library
from netc.diagnostics import Source
from tests.backends.cpu.test_layers import layer, text_of

CLASSES = 19
ANCHORS = "biases: 1.2 biases: 1.7 biases: 3 biases: 2.2 biases: 0.6 biases: 5"
LIMITS = "nms_threshold: 0.3 confidence_threshold: {}"
V3 = (
    f"yolov3_detection_output_param {{ num_classes: {CLASSES} num_box: 2 {LIMITS} "
    "biases: 10 biases: 14 biases: 33 biases: 23 biases: 60 biases: 90 biases: 116 biases: 87 "
    "mask: 2 mask: 3 mask: 0 mask: 1 anchors_scale: 32 anchors_scale: 16 mask_group_num: 2 }"
)
V2 = f"yolo_detection_output_param {{ num_classes: {CLASSES} num_box: 3 {LIMITS} {ANCHORS} }}"
REGION = (
    f"detection_output_param {{ side: 7 num_classes: {CLASSES} num_box: 3 {LIMITS} {ANCHORS} }}"
)
WIDE = {2: 2 * (5 + CLASSES), 3: 3 * (5 + CLASSES)}
KINDS = {
    "yolov3": (
        "Yolov3DetectionOutput",
        V3,
        {"x0": (2, WIDE[2], 3, 5), "x1": (2, WIDE[2], 6, 10)},
    ),
    "yolov2": ("YoloDetectionOutput", V2, {"x0": (1, WIDE[3], 4, 6)}),
    "yolov2 of two maps": (
        "YoloDetectionOutput",
        V2,
        {"x0": (1, WIDE[3], 4, 6), "x1": (1, WIDE[3], 7, 3)},
    ),
    "region": ("DetectionOutput", REGION, {"x0": (1, WIDE[3], 7, 7)}),
}


def source_of(kind: str, confidence: float) -> Source:
    name, params, shapes = KINDS[kind]
    text = layer(name, " ".join(shapes), "y", params.replace("{}", str(confidence)))
    return Source("net", text_of(shapes, [text]))


def feeds_of(kind: str, scale: float = 1.5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        name: (scale * rng.normal(size=shape)).astype(np.float32)
        for name, shape in KINDS[kind][2].items()
    }


@pytest.mark.parametrize("confidence", [0.2, 0.001, 0.999])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_definitions(kind: str, confidence: float) -> None:
    source, feeds = source_of(kind, confidence), feeds_of(kind)
    (want,) = netc.compile(source, backend="reference")(feeds).values()
    for threads in (1, 2):
        net = netc.compile(source, threads=threads)
        assert net.report()["reference_steps"] == []
        (got,) = net(feeds).values()
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)
    assert (len(want[0, 0]) > 5) == (confidence < 0.9), "the case is about some boxes, or none"


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_none_are_dropped_as_by_the_definition(kind: str) -> None:
    source, feeds = source_of(kind, 0.1), feeds_of(kind)
    rng = np.random.default_rng(7)
    for array in feeds.values():
        places = rng.random(array.shape) < 0.01
        array[places] = rng.choice(np.float32([np.nan, np.inf, -np.inf]), int(places.sum()))
    (want,) = netc.compile(source, backend="reference")(feeds).values()
    (got,) = netc.compile(source)(feeds).values()
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_library_has_them(kind: str) -> None:
    graph = netc.compile(source_of(kind, 0.2), backend="reference").graph
    planned = plan_library(graph, Choices())
    assert {row.kernel.module for row in planned.rows} >= {"yolo"}
    (output,) = planned.outputs
    assert output.chosen is not None and output.chosen.axis == 2
