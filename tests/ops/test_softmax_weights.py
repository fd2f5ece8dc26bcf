"""SoftmaxWithLoss with a third bottom and Softmax with a second, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, NetcWarning
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(5)
X, LABEL = RNG.normal(size=(5, 4, 3)), RNG.integers(0, 4, (5, 3))
THIRD = RNG.random((5, 3)) + 0.1


def probability(item: int, label: int, place: int) -> float:
    each = [math.exp(v) for v in X[item, :, place]]
    return each[label] / sum(each)


@pytest.mark.parametrize("normalize", ("true", "false"))
def test_weights_of_labels(normalize: str) -> None:
    fields = f"loss_param {{ normalize: {normalize} ignore_label: 2 }}"
    total = weights = 0.0
    for i in range(5):
        for j in range(3):
            if LABEL[i, j] != 2:
                total -= THIRD[i, j] * math.log(probability(i, LABEL[i, j], j))
                weights += THIRD[i, j]
    with pytest.warns(NetcWarning, match="weights of the labels"):
        got = run("SoftmaxWithLoss", fields, X, LABEL, THIRD)
    close(got, total / (weights if normalize == "true" else 5))
    with pytest.warns(NetcWarning, match="weights of the labels"):  # their sum is no divisor at 0
        close(run("SoftmaxWithLoss", "", X, LABEL, 0 * THIRD), 0)


def overlap_text(fields: str = "") -> str:
    text = inputs_of([X.shape, LABEL.shape, THIRD.shape]) + text_of("SoftmaxWithLoss", fields, 3, 1)
    return text.replace('"x2"', '"overlap"')


@pytest.mark.parametrize(("fields", "ignored"), (("", None), ("loss_param { ignore_label: 1 }", 1)))
def test_overlaps_of_segments(fields: str, ignored: int | None) -> None:
    feeds = {"x0": X, "x1": LABEL, "overlap": THIRD}
    total, number = 0.0, 0
    for i in range(5):
        for j in range(3):
            label = int(LABEL[i, j])
            if label == ignored:
                continue
            p, root = probability(i, label, j), THIRD[i, j] ** 0.125
            total -= math.log(p)
            if label:
                total += 0.5 * (p / root) ** 2 - 0.5
            number += 1
    net = netc.compile(text=overlap_text(fields), backend="reference")
    got = net({name: np.asarray(v, np.float32) for name, v in feeds.items()})
    close(got["y0"], total / number)


def test_the_overlap_loss_has_its_derivative() -> None:
    netc.check_gradient(overlap_text("loss_param { ignore_label: 1 }"))


@pytest.mark.parametrize("mode", ("FULL", "NONE"))
def test_no_fork_divides_weighted_losses_so(mode: str) -> None:
    with pytest.raises(NetcError, match="with weights `normalization`"):
        run("SoftmaxWithLoss", f"loss_param {{ normalization: {mode} }}", X, LABEL, THIRD)


def test_a_third_bottom_of_another_size() -> None:
    with pytest.raises(NetcError, match="a number for each label of 5x3, got 5"):
        netc.compile(text=overlap_text().replace("dim: [5, 3] }\nlayer", "dim: 5 }\nlayer"))


@pytest.mark.parametrize("axis", (0, 1, -1))
def test_softmax_of_the_first_elements(axis: int) -> None:
    rows = np.moveaxis(X, axis, -1)
    number = RNG.integers(1, rows.shape[-1] + 1, rows.shape[:-1])
    wanted = np.zeros_like(rows)
    for at in np.ndindex(*rows.shape[:-1]):
        each = [math.exp(v) for v in rows[at][: number[at]]]
        wanted[at][: number[at]] = np.array(each) / sum(each)
    got = run("Softmax", f"softmax_param {{ axis: {axis} }}", X, number)
    close(got, np.moveaxis(wanted, -1, axis))


def test_large_scores_that_do_not_count_change_nothing() -> None:
    got = run("Softmax", "", np.array([[0.0, 1000.0]]), np.array([1]))
    close(got, [[1, 0]])


def test_softmax_needs_a_number_for_each_row() -> None:
    with pytest.raises(NetcError, match="along axis 1 of 5x4x3, got 5"):
        run("Softmax", "", X, np.ones(5))
