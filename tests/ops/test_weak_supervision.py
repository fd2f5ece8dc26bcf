"""Losses of weakly supervised detectors against their formulas, and OICRLayer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.diagnostics import NetcError, NetcWarning
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(8)


def test_global_sum_pooling() -> None:
    x = RNG.normal(size=(5, 3, 2))
    got = run("GlobalSumPooling", "", x)
    assert got.shape == (1, 3, 2)
    close(got[0], x.sum(axis=0))


def test_multiclass_cross_entropy() -> None:
    p, target = RNG.random((2, 3)), RNG.integers(0, 2, (2, 3))
    each = [math.log(a if t else 1 - a) for a, t in zip(p.flat, target.flat, strict=True)]
    close(run("MulticlassCrossEntropyLoss", "", p, target), -sum(each) / 2)
    sure = run("MulticlassCrossEntropyLoss", "", np.array([[1.0, 0.0]]), np.array([[1, 0]]))
    close(sure, 0)


def nll(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return -np.log(np.take_along_axis(p, label[:, None], axis=1)[:, 0])


def test_weighted_softmax_loss() -> None:
    x, label, weight = RNG.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 0]), RNG.random(6) * 2
    each = nll(x, label)
    with pytest.warns(NetcWarning, match="sum of the weights"):
        close(run("WeightedSoftmaxWithLoss", "", x, label, weight),
              (each * weight).sum() / weight.sum())  # fmt: skip
    full = "loss_param { normalization: FULL ignore_label: 1 }"
    close(run("WeightedSoftmaxWithLoss", full, x, label, weight),
          (each * weight)[label != 1].sum() / 6)  # fmt: skip


def test_without_weights_the_background_weighs_as_much_as_all_else() -> None:
    x, label = RNG.normal(size=(5, 3)), np.array([0, 1, 2, 0, 1])
    each = nll(x, label)
    wanted = (each[label == 0].mean() + each[label > 0].mean()) / 2
    loss, prob = run("WeightedSoftmaxWithLoss", "", x, label, tops=2)
    close(loss, wanted)
    close(prob.sum(axis=1), np.ones(5))


OICR = (
    "python_param { module: 'oicr_layer.layer' layer: 'OICRLayer' param_str: \"'num_classes': 4\" }"
)
ROIS = np.array([[0, 0, 0, 9, 9], [0, 1, 0, 10, 9], [0, 50, 50, 60, 60], [0, 20, 0, 30, 9]])


@pytest.mark.parametrize("background", (False, True))
def test_oicr_layer_labels_what_overlaps_the_best_region(background: bool) -> None:
    scores = np.array([[0.9, 0, 0.8], [0.2, 0, 0.1], [0.3, 0.7, 0.6], [0.1, 0, 0.2]])
    if background:
        scores = np.concatenate([np.ones((4, 1)), scores], axis=1)
    labels, weights = run("Python", OICR, ROIS, scores, np.array([[1, 0, 1]]), tops=2)
    # Region 0 is class 1's; it is taken, so that class 3 has region 2.
    close(labels, [1, 1, 3, 0])
    close(weights, [0.9, 0.9, 0.6, 0.9])


def test_oicr_layer_of_another_number_of_classes() -> None:
    with pytest.raises(NetcError, match="4 classes"):
        run("Python", OICR, ROIS, np.zeros((4, 6)), np.zeros((1, 3)), tops=2)
