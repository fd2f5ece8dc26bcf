"""SegNet's weights of classes: given, or of how often a class is in the batch."""

from __future__ import annotations

import numpy as np
import pytest

import netc

TEXT = """input: "x" input_shape { dim: 6 dim: 3 } input: "t" input_shape { dim: 6 }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "l"
  loss_param { FIELDS } }"""
LABELS = np.array([0, 2, 2, 0, 0, 255], np.float32)


@pytest.mark.parametrize(
    ("fields", "each"),
    [
        ("weight_by_label_freqs: true", (1 / 3, 1, 1 / 2)),
        ("weight_by_label_freqs: true class_weighting: [0.5, 2, 4]", (0.5, 2, 4)),
        ("weight_by_label_freqs: false class_weighting: [0.5, 2, 4]", (1, 1, 1)),
    ],
)
def test_classes_are_weighted(fields: str, each: tuple[float, ...], backend: str) -> None:
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    net = netc.compile(text=TEXT.replace("FIELDS", fields + " ignore_label: 255"), backend=backend)
    logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    losses = [-each[int(t)] * row[int(t)] for t, row in zip(LABELS, logs, strict=True) if t < 3]
    assert float(net({"x": x, "t": LABELS})["l"]) == pytest.approx(sum(losses) / 5, rel=1e-5)
