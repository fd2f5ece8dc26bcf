"""WassersteinLoss against Sinkhorn's scalings, element by element."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError

h5py = pytest.importorskip("h5py", reason="the costs are an HDF5 file")

RNG = np.random.default_rng(4)
SHAPES = 'input: "p" input_shape { dim: [2, 3] } input: "q" input_shape { dim: [2, %d] }\n'
LAYER = (
    'layer { name: "l" type: "WassersteinLoss" bottom: "p" bottom: "q" top: "y" '
    'wasserstein_param { ground_metric: "costs.h5" lambda: 2 scaling_iter: 7 %s } }'
)


def compiled(folder: Path, costs: np.ndarray, wide: int = 3, fields: str = "", **more):
    with h5py.File(folder / "costs.h5", "w") as file:
        file["data"] = costs
    path = folder / "net.prototxt"
    path.write_text(SHAPES % wide + LAYER % fields)
    return netc.compile(path, **more)


def distributions() -> np.ndarray:
    x = RNG.random((2, 3)) + 0.1
    return (x / x.sum(axis=1, keepdims=True)).astype(np.float32)


def scaled(costs: np.ndarray, p: np.ndarray, q: np.ndarray):
    """Both scalings of one item, by loops over the classes."""
    n = len(p)
    likely = [[math.exp(-2 * costs[i, j] - 1) for j in range(n)] for i in range(n)]
    u, v = [1.0] * n, [1.0] * n
    for _ in range(7):
        v = [q[j] / sum(u[i] * likely[i][j] for i in range(n)) for j in range(n)]
        u = [p[i] / sum(likely[i][j] * v[j] for j in range(n)) for i in range(n)]
    return u, v, likely


def test_the_loss_is_the_cost_of_the_plan_and_its_entropy(tmp_path: Path) -> None:
    costs, p, q = RNG.random((3, 3)), distributions(), distributions()
    total = 0.0
    for one, other in zip(p, q, strict=True):
        u, v, likely = scaled(costs, one, other)
        for i in range(3):
            for j in range(3):
                moved = u[i] * likely[i][j] * v[j]
                total += moved * (costs[i, j] + math.log(moved) / 2)
    net = compiled(tmp_path, costs)
    np.testing.assert_allclose(net({"p": p, "q": q})["y"], total / 2, rtol=1e-4)


@pytest.mark.parametrize("shifted", (True, False))
def test_the_gradient_is_the_logarithm_of_the_scaling(tmp_path: Path, shifted: bool) -> None:
    costs, p = RNG.random((3, 3)), distributions()
    fields = "" if shifted else "shift_gradient: false"
    net = compiled(tmp_path, costs, 1, fields, phase="TRAIN")
    label = np.array([[2], [0]], np.float32)
    found = net.gradients({"p": p, "q": label}).blobs["p"]
    for row, one, at in zip(found, p, (2, 0), strict=True):
        u, _, _ = scaled(costs, one, np.eye(3)[at])
        wanted = np.log(u) / (2 * 2)
        np.testing.assert_allclose(row, wanted - wanted.mean() * shifted, rtol=1e-3, atol=1e-5)


def test_costs_of_another_number_of_classes(tmp_path: Path) -> None:
    with pytest.raises(NetcError, match="must be 3x3 for 3 classes, they are 4x4") as error:
        compiled(tmp_path, np.ones((4, 4)))
    assert error.value.diagnostics[0].code == "ground-metric"


def test_a_file_without_the_data_set(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "costs.h5", "w") as file:
        file["other"] = np.ones(3)
    path = tmp_path / "net.prototxt"
    path.write_text(SHAPES % 3 + LAYER % "")
    with pytest.raises(NetcError, match="no data set `data`"):
        netc.compile(path)


def test_the_file_must_be_named() -> None:
    with pytest.raises(NetcError, match="`ground_metric` is not given"):
        netc.compile(text=SHAPES % 3 + LAYER.replace('ground_metric: "costs.h5"', "") % "")
