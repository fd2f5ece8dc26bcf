"""Losses of single projects against loops, and their gradients as their sources have them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, NetcWarning
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(7)


def gradient(kind: str, fields: str, *feeds: np.ndarray, weight: float = 1) -> np.ndarray:
    """By the first bottom."""
    given = {f"x{i}": np.asarray(feed, np.float32) for i, feed in enumerate(feeds)}
    text = inputs_of([feed.shape for feed in given.values()])
    text += text_of(kind, f"{fields} loss_weight: {weight}", len(feeds), 1)
    return netc.compile(text=text, phase="TRAIN", backend="reference").gradients(given).blobs["x0"]


def test_cross_entropy_is_the_mean_over_elements() -> None:
    p, q = RNG.random((2, 3, 2)), RNG.integers(0, 2, (2, 3, 2)) * 1.0
    p[0, 0, 0], q[0, 0, 0], q[1, 1, 1] = 0, 1, 0.25
    each = [a * math.log(max(b, 1e-5)) + (1 - a) * math.log(max(1 - b, 1e-5))
            for a, b in zip(q.flat, p.flat, strict=True)]  # fmt: skip
    with pytest.warns(NetcWarning, match="mean over all elements"):
        close(run("CrossEntropyLoss", "", p, q), -sum(each) / 12)
    with pytest.warns(NetcWarning):
        found = gradient("CrossEntropyLoss", "", p, q, weight=3)
    wanted = [((1 - a) / max(1 - b, 1e-5) - a / max(b, 1e-5)) / 12 * 3
              for a, b in zip(q.flat, p.flat, strict=True)]  # fmt: skip
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-4)


def test_heatmaps() -> None:
    x, z = RNG.normal(size=(2, 2, 3, 4, 4))
    close(run("EuclideanLossHeatmap", "", x, z, z[:, :1]), ((x - z) ** 2).sum() / 96)
    close(gradient("EuclideanLossHeatmap", "", x, z, weight=5), x - z)
    with pytest.raises(NetcError, match="square maps"):
        run("EuclideanLossHeatmap", "", x[:, :, :3], z[:, :, :3])


LABELS = np.array([0, 1, -1, 2])


@pytest.mark.parametrize(
    ("fields", "labels", "kept", "divisor"),
    [
        ("", None, [1, 1, 1, 1], 4),
        ("loss_param { ignore_label: -1 }", LABELS, [1, 1, 0, 1], 1),
        ("", LABELS, [0, 1, 1, 1], 3),
    ],
)
def test_mtcnn_leaves_items_out_by_their_labels(fields, labels, kept, divisor) -> None:
    x, z = RNG.normal(size=(2, 4, 3))
    feeds = (x, z) if labels is None else (x, z, labels)
    total = sum(((a - b) ** 2).sum() * k for a, b, k in zip(x, z, kept, strict=True)) / 2
    close(run("MTCNNEuclideanLoss", fields, *feeds), total / divisor)
    wanted = (x - z) * np.array(kept)[:, None] / 4 * 0.5
    close(gradient("MTCNNEuclideanLoss", fields, *feeds, weight=0.5), wanted)


def test_mtcnn_needs_the_labels_that_a_field_speaks_of() -> None:
    with pytest.raises(NetcError, match="takes 3 bottoms"):
        run("MTCNNEuclideanLoss", "loss_param { ignore_label: 0 }", *np.ones((2, 2, 3)))


def test_graph_linkage() -> None:
    x, label = RNG.normal(size=(5, 3)), np.array([0, 1, 0, 2, 1])
    square = [[((a - b) ** 2).sum() for b in x] for a in x]
    width = np.sum(square) / 25
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    inside = sum(label[i] == label[j] for i, j in pairs)
    loss, wanted = 0.0, np.zeros((5, 3))
    for i, j in pairs:
        near = math.exp(-square[i][j] / width)
        if label[i] == label[j]:
            loss += (1 - near) / inside
            alpha = 2 * near / width / inside
        else:
            loss += max(near - 0.5, 0) / (20 - inside)
            alpha = -2 * near / width / (20 - inside) if near > 0.5 else 0
        wanted[i] += alpha * (x[i] - x[j])
        wanted[j] -= alpha * (x[i] - x[j])
    fields = "graphlinkage_loss_param { sigma: 0.1 }"
    close(run("GraphLinkageLoss", fields, x, label), loss)
    close(gradient("GraphLinkageLoss", fields, x, label, weight=2), wanted)
