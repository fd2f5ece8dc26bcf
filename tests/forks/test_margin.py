"""MarginInnerProduct: gradients as its layer's loops have them, and lambda that falls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc

TEXT = """
input: "x" input_shape {{ dim: 5 dim: 6 }} input: "t" input_shape {{ dim: 5 }}

layer {{ name: "op" type: "MarginInnerProduct" bottom: "x" bottom: "t" top: "y" top: "share"
  margin_inner_product_param {{ num_output: 4 type: {kind} base: 10 gamma: 0.5 lambda_min: 0.25
    weight_filler {{ type: "gaussian" std: 1 }} }} }}
"""
KINDS = ("SINGLE", "DOUBLE", "TRIPLE", "QUADRUPLE")
RNG = np.random.default_rng


def coefficients(kind: str, c: float) -> tuple[float, float]:
    """What the layer multiplies w and x / |x| by, of the label's class."""
    up, near = np.sign(c), np.sign(abs(c) - 0.5)
    if kind == "DOUBLE":
        return 4 * up * c, -(2 * up * c * c + 1)
    if kind == "TRIPLE":
        off = up * (1 + near) - 2
        return near * (12 * c * c - 3), -(8 * near * c**3 - off)
    turn = up * np.sign(2 * c * c - 1)
    off = 2 * up + turn - 3
    return turn * (32 * c**3 - 16 * c), -(turn * (24 * c**4 - 8 * c * c - 1) - off)


def loops(kind: str, x: Any, labels: Any, w: Any, top: Any, share: float) -> Any:
    """The gradient by the vectors, element by element as margin_inner_product_layer.cpp."""
    w = w / np.linalg.norm(w, axis=1, keepdims=True)
    grad = np.zeros_like(x)
    if kind == "SINGLE":
        return top @ w
    for i, j in np.ndindex(*top.shape):
        size = np.linalg.norm(x[i])
        if labels[i] != j:
            grad[i] += top[i, j] * w[j] / (1 + share)
        else:
            by_w, by_x = coefficients(kind, float(x[i] @ w[j] / size))
            by_x /= size
            length = np.hypot(by_w, by_x)
            grad[i] += top[i, j] * (by_w * w[j] + by_x * x[i]) / length / (1 + share)
        grad[i] += share / (1 + share) * top[i, j] * w[j]
    return grad


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_layers_loops(kind: str) -> None:
    rng = RNG(KINDS.index(kind))
    x, w, top = (rng.normal(size=s).astype(np.float32) for s in ((5, 6), (4, 6), (5, 4)))
    labels = rng.integers(0, 4, 5).astype(np.float32)
    net = netc.compile(text=TEXT.format(kind=kind), weights={"op": [w]}, phase="TRAIN")
    found = net.gradients({"x": x, "t": labels}, seeds={"y": top}, wrt=("x",))
    share = 10 / (1 + 0.5)
    wanted = loops(kind, x.astype(float), labels, w.astype(float), top.astype(float), share)
    np.testing.assert_allclose(found.blobs["x"], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.params["op"][0], top.T @ x, rtol=1e-4, atol=1e-5)


def test_lambda_falls_with_the_passes_and_weights_stay_near_length_one(tmp_path: Path) -> None:
    loss = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }'
    (tmp_path / "net.prototxt").write_text(TEXT.format(kind="QUADRUPLE") + loss, encoding="utf-8")
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.001 lr_policy: "fixed" max_iter: 100 display: 0',
        encoding="utf-8",
    )
    import netc.compat.pycaffe as caffe

    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    rng, shares = RNG(3), []
    for _ in range(4):
        solver.net.blobs["x"].data[...] = rng.normal(size=(5, 6))
        solver.step(1)
        shares.append(float(solver.net.blobs["share"].data[0]))
    np.testing.assert_allclose(shares, [10 / (1 + 0.5 * t) for t in range(1, 5)], rtol=1e-5)
    lengths = np.linalg.norm(solver.net.params["op"][0].data, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=0.01)
