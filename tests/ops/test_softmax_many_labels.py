"""SoftmaxWithLoss of several labels an item, against loops, and what it must not be taken for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 6))
LABEL = np.array([[1, 2, -1], [-1, -1, -1], [4, 4, 4], [0, -1, -1], [-1, 5, 0]])
FIELDS = "loss_param {{ ignore_label: -1 normalization: {} }}"


def wanted() -> tuple[float, Any]:
    """The sum of the losses and their gradient, item by item."""
    total, slope = 0.0, np.zeros_like(X)
    for i, row in enumerate(LABEL):
        own = [int(label) for label in row if label != -1]
        each = [math.exp(v) for v in X[i]]
        for label in own:
            total -= math.log(each[label] / sum(each)) / len(own)
            slope[i, label] -= 1 / len(own)
        if own:
            slope[i] += np.array(each) / sum(each)
    return total, slope


@pytest.mark.parametrize(
    ("mode", "by"), [("VALID", 4), ("FULL", 5), ("BATCH_SIZE", 5), ("NONE", 1)]
)
def test_each_label_of_an_item_counts_as_much(mode: str, by: int) -> None:
    close(run("SoftmaxWithLoss", FIELDS.format(mode), X, LABEL), wanted()[0] / by)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_the_gradient_is_that_of_loops(backend: str) -> None:
    text = "force_backward: true " + inputs_of([X.shape, LABEL.shape])
    text += text_of("SoftmaxWithLoss", FIELDS.format("VALID"), 2, 1)
    net = netc.compile(text=text, backend=backend, phase="TRAIN")
    made = net.gradients(
        {"x0": X.astype(np.float32), "x1": LABEL.astype(np.float32)}, seeds={"y0": np.float32(1)}
    )
    close(made.blobs["x0"], wanted()[1] / 4)


def test_the_gradient_is_that_of_finite_differences() -> None:
    netc.check_gradient(
        inputs_of([X.shape, LABEL.shape])
        + text_of("SoftmaxWithLoss", "loss_param { ignore_label: 2 }", 2, 1)
    )


def test_without_any_label_there_is_no_loss() -> None:
    close(run("SoftmaxWithLoss", FIELDS.format("VALID"), X, np.full((5, 3), -1)), 0)


@pytest.mark.parametrize(
    ("fields", "data", "label"),
    [
        ("", (5, 6), (5, 3)),  # nothing is ignored
        (FIELDS.format("VALID"), (5, 6), (5, 6)),  # one-hot
        (FIELDS.format("VALID"), (5, 6, 2, 2), (5, 1, 4, 4)),  # another number of places
        (FIELDS.format("VALID"), (5, 6), (10, 3)),  # another number of items
    ],
)
def test_other_numbers_of_labels_are_refused(fields: str, data: Any, label: Any) -> None:
    text = inputs_of([data, label]) + text_of("SoftmaxWithLoss", fields, 2, 1)
    with pytest.raises(NetcError, match=r"labels are needed|first dimensions"):
        netc.compile(text=text)
