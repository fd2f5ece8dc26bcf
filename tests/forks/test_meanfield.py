"""CRF-RNN's layer: the lattice against one written out, and what its filter must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ops.forks.permutohedral import lattice_of
from tests.forks.test_readings import text_of

RNG = np.random.default_rng


def naive_filter(features: Any, values: Any) -> Any:
    """Splat, blur and slice, point by point, corners by their coordinates (Adams et al. 2010)."""
    d = features.shape[1]
    scale = [math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
    placed = []
    for feature in features:
        y = np.zeros(d + 1)
        for j in range(d):
            y[: j + 1] += feature[j] * scale[j]
            y[j + 1] -= (j + 1) * feature[j] * scale[j]
        corner = np.rint(y / (d + 1)) * (d + 1)
        off = round(corner.sum() / (d + 1))
        order = np.argsort(-(y - corner), kind="stable")
        rank = np.empty(d + 1, int)
        rank[order] = np.arange(d + 1)
        rank += off
        corner[rank < 0] += d + 1
        corner[rank > d] -= d + 1
        rank %= d + 1
        z = np.sort((y - corner) / (d + 1))[::-1]
        share = [1 - z[0] + z[d], *(z[d - k] - z[d - k + 1] for k in range(1, d + 1))]
        keys = [
            tuple(int(corner[i]) + (k if rank[i] <= d - k else k - (d + 1)) for i in range(d))
            for k in range(d + 1)
        ]
        placed.append((keys, share))
    held: dict[Any, float] = {}
    for (keys, share), value in zip(placed, values, strict=True):
        for key, part in zip(keys, share, strict=True):
            held[key] = held.get(key, 0.0) + part * value
    for axis in range(d + 1):
        step = np.full(d, -1)
        if axis < d:
            step[axis] = d
        held = {
            key: own
            + 0.5
            * (held.get(tuple(np.array(key) + step), 0) + held.get(tuple(np.array(key) - step), 0))
            for key, own in held.items()
        }
    sums = [sum(held[k] * p for k, p in zip(*one, strict=True)) for one in placed]
    return np.array(sums) / (1 + 2.0**-d)


@pytest.mark.parametrize(("points", "d"), [(40, 2), (25, 5), (1, 3)])
def test_the_lattice_is_as_one_written_out(points: int, d: int) -> None:
    features = (RNG(d).random((points, d)) * 4).astype(np.float32)
    values = RNG(9).random(points)
    found = lattice_of(features)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, atol=1e-6)
    wanted = naive_filter(features.astype(np.float64), values)
    np.testing.assert_allclose(found.filtered(values[None])[0], wanted, rtol=1e-4)


def test_it_is_close_to_a_gaussian() -> None:
    features = (RNG(0).random((300, 2)) * 5).astype(np.float32)
    values = RNG(1).random((1, 300))
    found = lattice_of(features)
    got = found.filtered(values) / found.filtered(np.ones((1, 300)))
    kernel = np.exp(-((features[:, None] - features[None]) ** 2).sum(axis=2) / 2)
    assert np.abs(got - (values @ kernel) / kernel.sum(axis=1)).max() < 0.02


def test_its_transpose_is_the_filter_turned() -> None:
    found = lattice_of((RNG(2).random((50, 3)) * 5).astype(np.float32))
    one, other = RNG(3).random((1, 50)), RNG(4).random((1, 50))
    there = (found.filtered(one) * other).sum()
    np.testing.assert_allclose(there, (one * found.filtered(other, turned=True)).sum(), rtol=1e-9)


LAYER = (
    'layer { name: "l" type: "MultiStageMeanfield" BOTTOMS top: "y" multi_stage_meanfield_param { '
    "num_iterations: 3 theta_alpha: 2 theta_beta: 20 theta_gamma: 3 compatibility_mode: POTTS } }"
)


def test_iterations_are_as_the_paper_has_them() -> None:
    rng = RNG(5)
    unary, image = rng.normal(size=(1, 2, 3, 4)), rng.random((1, 3, 3, 4)) * 255
    unary, image = unary.astype(np.float32), image.astype(np.float32)
    weights = [rng.normal(size=(1, 1, 2, 2)).astype(np.float32) for _ in range(3)]
    net = netc.compile(
        text=text_of(LAYER, u=unary.shape, q=unary.shape, i=image.shape), weights={"l": weights}
    )
    got = net(u=unary, q=unary, i=image)["y"][0].reshape(2, -1)
    rows, columns = (a.reshape(-1).astype(np.float32) for a in np.indices((3, 4)))
    places = np.stack([columns, rows], axis=1)
    both = np.concatenate([places / 2, image[0].reshape(3, -1).T / 20], axis=1)
    given = flat = unary[0].reshape(2, -1).astype(np.float64)
    by_near, by_alike, bearing = (w[0, 0].astype(np.float64) for w in weights)
    for _ in range(3):
        prob = np.exp(given) / np.exp(given).sum(axis=0)
        smooth = []
        for features in (places / 3, both):
            ones = naive_filter(features, np.ones(12))
            smooth.append(np.stack([naive_filter(features, row) for row in prob]) / ones)
        given = flat - bearing @ (by_near @ smooth[0] + by_alike @ smooth[1])
    np.testing.assert_allclose(got, given, rtol=1e-3, atol=1e-4)


def test_what_it_cannot_take_is_told() -> None:
    with pytest.raises(NetcError, match="images of 3 colours"):
        netc.compile(text=text_of(LAYER, u=(1, 2, 3, 4), q=(1, 2, 3, 4), i=(1, 1, 3, 4)))
    with pytest.raises(NetcError, match="`num_iterations` must be greater than 1"):
        text = LAYER.replace("iterations: 3", "iterations: 1")
        netc.compile(text=text_of(text, u=(1, 2, 3, 4), q=(1, 2, 3, 4), i=(1, 3, 3, 4)))
    net = netc.compile(text=text_of(LAYER, u=(1, 2, 3, 4), q=(1, 2, 3, 4), i=(1, 3, 3, 4)))
    image = np.zeros((1, 3, 3, 4), np.float32)
    image[0, :, 0, 0] = 1e30
    maps = np.zeros((1, 2, 3, 4), np.float32)
    with pytest.raises(NetcError, match="colours are too far apart"):
        net(u=maps, q=maps, i=image)
