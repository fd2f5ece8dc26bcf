"""`eval_type: "detection"`: mean average precision in the place of means, as SSD's Caffe tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.solver.average_precision import VERSIONS, Detections, average_precision, mean_precision
from netc.solver.solver import Solver

# Of four true boxes three are found, by detections that are right, wrong, right, wrong, right.
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
RIGHT = np.array([True, False, True, False, True])
# Precision 1, 1/2, 2/3, 1/2, 3/5 at recalls 1/4, 1/4, 1/2, 1/2, 3/4.
WANTED = {
    "Integral": (1 + 2 / 3 + 3 / 5) / 4,
    "MaxIntegral": (1 + 2 / 3 + 3 / 5) / 4,
    "11point": (3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11,  # recalls to 0.2, to 0.5, to 0.7
}


@pytest.mark.parametrize("version", VERSIONS)
def test_of_one_class(version: str) -> None:
    want = pytest.approx(WANTED[version], rel=1e-6)
    assert average_precision(SCORES, RIGHT, 4, version) == want
    order = np.array([3, 0, 4, 2, 1])
    assert average_precision(SCORES[order], RIGHT[order], 4, version) == want
    assert average_precision(SCORES[:0], RIGHT[:0], 4, version) == 0
    assert average_precision(SCORES, RIGHT, 0, version) == 0
    assert average_precision(SCORES[:1], RIGHT[:1], 1, version) == pytest.approx(1)


def test_where_the_versions_differ() -> None:
    """The best comes last: precision 0, 1/2, 2/3 at recalls 0, 1/2, 1."""
    right = np.array([False, True, True])
    scores = SCORES[:3]
    assert average_precision(scores, right, 2, "Integral") == pytest.approx(0.5 / 2 + 0.5 * 2 / 3)
    assert average_precision(scores, right, 2, "MaxIntegral") == pytest.approx(2 / 3)
    assert average_precision(scores, right, 2, "11point") == pytest.approx(2 / 3)


def rows(*given: tuple[float, ...]) -> Any:
    return np.array(given, np.float32).reshape(1, 1, -1, 5)


def test_all_passes_and_classes_count() -> None:
    found = Detections()
    found.add({"eval": rows((-1, 1, 1, -1, -1), (-1, 2, 1, -1, -1), (-1, 3, 0, -1, -1),
                            (0, 1, 0.9, 1, 0), (0, 1, 0.95, 0, 0))})  # fmt: skip
    found.add({"eval": rows((-1, 1, 1, -1, -1), (-1, 2, 0, -1, -1), (-1, 3, 0, -1, -1),
                            (0, 1, 0.8, 1, 0), (1, 2, 0.8, 0, 1))})  # fmt: skip
    # Class 1: both of two. Class 2: one that is missed. Class 3: none, and yet a third of the mean.
    classes = found.classes()["eval"]
    assert mean_precision(classes, "Integral") == pytest.approx(1 / 3)
    assert [(i, one.true_boxes, one.detections) for i, one in classes.items()] == [
        (1, 2, 2), (2, 1, 1), (3, 0, 0),
    ]  # fmt: skip


TRAIN = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 dim: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" loss_weight: 1
        inner_product_param { num_output: 1 } }
"""
TEST = """
layer { name: "in" type: "Input" top: "found" top: "true"
        input_param { shape { dim: 1 dim: 1 dim: 3 dim: 7 }
                      shape { dim: 1 dim: 1 dim: 2 dim: 8 } } }
layer { name: "eval" type: "DetectionEvaluate" bottom: "found" bottom: "true" top: "eval"
        detection_evaluate_param { num_classes: 3 background_label_id: 0 overlap_threshold: 0.5 } }
"""
FOUND = [(0, 1, 0.9, 0.1, 0.1, 0.5, 0.5), (0, 1, 0.8, 0.6, 0.6, 0.9, 0.9), (0, 2, 0.7, 0, 0, 1, 1)]
TRUE = [(0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0), (0, 2, 0, 0, 0, 0.2, 0.2, 0)]


def solver(more: str, test: str = TEST) -> Solver:
    text = f"""train_net_param {{ {TRAIN} }} test_net_param {{ {test} }}
    test_iter: 2 test_interval: 1 base_lr: 0.1 lr_policy: "fixed" max_iter: 3
    snapshot_after_train: false {more}"""
    made = {
        "found": np.array(FOUND, np.float32).reshape(1, 1, 3, 7),
        "true": np.array(TRUE, np.float32).reshape(1, 1, 2, 8),
    }
    nothing = {**made, "found": np.full((1, 1, 1, 7), -1, np.float32)}
    return Solver(netc.Source("solver", text), test_feeds=[[made, nothing]])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_solver_tests_its_detector(version: str) -> None:
    made = solver(f'eval_type: "detection" ap_version: "{version}"')
    made.step(1)
    # Class 1: one of two true boxes, by the first of two detections; class 2: none of two.
    want = average_precision(SCORES[:2], np.array([True, False]), 2, version) / 2
    assert made.tests[0].scores["eval"] == pytest.approx(want, rel=1e-6)
    assert 0.2 < want < 0.3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('eval_type: "segmentation"', "there is no `eval_type` `segmentation`"),
        ('eval_type: "detection" ap_version: "12point"', "there is no `ap_version` `12point`"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(NetcError, match=words) as caught:
        solver(text)
    assert caught.value.diagnostics[0].span is not None


def test_an_output_that_is_no_list_of_detections() -> None:
    more = 'layer { name: "p" type: "Power" bottom: "true" top: "p" }'
    with pytest.raises(NetcError, match="output `p` is 1x1x2x8; a test of detections takes"):
        solver('eval_type: "detection"', TEST + more).step(1)
