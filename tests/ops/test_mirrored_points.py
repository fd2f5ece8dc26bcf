"""AlignDataTransform and EuclideanLoss2, 3 and 4 against loops of JAANet's own sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netc.diagnostics import NetcError, Source
from netc.frontend import build, read_net
from netc.ops.forks.mirrored_points import _KINDS, AlignParams
from netc.ops.gradients.catalog import GRADIENTS
from netc.ops.gradients.define import Saved
from tests.ops.test_fork_parts import run

PARTNERS = np.array([[[2]], [[1]], [[3]]], np.float32).reshape(1, 3, 1, 1)


def aligned(points: Any, placed: Any, partners: Any) -> Any:
    made = np.zeros((len(points), 6))
    for i, row in enumerate(points.reshape(-1, 6)):
        mirrored, size, first_row, first_column = placed[i].reshape(4)
        own = row.copy()
        for j in range(0, 6, 2):
            own[j] = row[j] - first_column
            own[j + 1] = row[j + 1] - first_row
            if mirrored:
                own[j] = size - 1 - own[j]
        for j in range(0, 6, 2):
            at = 2 * int(partners.reshape(-1)[j // 2]) - 2 if mirrored else j
            made[i, j], made[i, j + 1] = own[at], own[at + 1]
    return made.reshape(points.shape)


def slope(kind: str, params: Any, inputs: Any, top: Any, index: int) -> Any:
    saved = Saved(tuple(inputs), (), (), [x.shape for x in inputs])
    rule = GRADIENTS[kind].bottom
    assert rule is not None
    return rule(params, saved, (top,), index)


def places() -> tuple[Any, Any]:
    points = np.random.default_rng(4).uniform(0, 30, (3, 6, 1, 1)).astype(np.float32)
    placed = np.array([[1, 20, 3, 5], [0, 20, 2, 1], [1, 20, 0, 7]], np.float32)
    return points, placed.reshape(3, 4, 1, 1)


@pytest.mark.parametrize("partners", ([2, 1, 3], [2, 3, 1]))
def test_points_follow_the_pictures_crop_and_mirror(partners: list[int]) -> None:
    points, placed = places()
    index = np.array(partners, np.float32).reshape(1, 3, 1, 1)
    got = run("AlignDataTransform", "", points, placed, index)
    assert got == pytest.approx(aligned(points, placed, index), abs=1e-5)
    rows = run("AlignDataTransform", "", points.reshape(3, 6), placed.reshape(3, 4), index)
    assert np.array_equal(rows, got)  # the top has four axes


def test_partners_must_be_points() -> None:
    points, placed = places()
    with pytest.raises(NetcError, match="are numbered from 1 to 3"):
        run("AlignDataTransform", "", points, placed, PARTNERS - 1)


@pytest.mark.parametrize("kind", ("EuclideanLoss2", "EuclideanLoss3", "EuclideanLoss4"))
def test_losses_are_scaled_by_a_first_number_and_weighted(kind: str) -> None:
    rng = np.random.default_rng(2)
    one, two, weight = (rng.normal(size=(3, 4)).astype(np.float32) for _ in range(3))
    eyes = np.array([2.5, 9, 9], np.float32).reshape(3, 1)
    feeds = {"EuclideanLoss2": (eyes,), "EuclideanLoss3": (eyes, weight)}.get(kind, (weight,))
    by = 1 if kind == "EuclideanLoss4" else 2.5
    total = 0.0
    for i, j in np.ndindex(3, 4):
        factor = 1 if kind == "EuclideanLoss2" else float(weight[i, j])
        total += (factor * (float(one[i, j]) - float(two[i, j]))) ** 2
    assert run(kind, "", one, two, *feeds) == pytest.approx(total / 3 / 2 / by, rel=1e-5)
    for index, sign in ((0, 1), (1, -1)):
        wanted = np.zeros((3, 4))
        for i, j in np.ndindex(3, 4):
            factor = 1 if kind == "EuclideanLoss2" else weight[i, j]
            wanted[i, j] = sign * 0.5 * factor * (one[i, j] - two[i, j]) / 3 / by
        made = slope(kind, _KINDS[kind], (one, two, *feeds), np.array(0.5, np.float32), index)
        assert made == pytest.approx(wanted, rel=1e-5, abs=1e-7)


def test_a_mirrored_points_gradient_is_its_partners() -> None:
    points, placed = places()
    top = np.random.default_rng(6).normal(size=points.shape).astype(np.float32)
    made = slope("AlignDataTransform", AlignParams(), (points, placed, PARTNERS), top, 0)
    wanted = top.copy()
    for i in (0, 2):  # the mirrored pictures; points 1 and 2 change places
        for j, partner in ((0, 2), (2, 0), (4, 4)):
            wanted[i, j], wanted[i, j + 1] = -top[i, partner], top[i, partner + 1]
    assert np.array_equal(made, wanted)


def test_what_the_shapes_must_be() -> None:
    points, placed = places()
    with pytest.raises(NetcError, match="4 numbers for each of 3 images"):
        run("AlignDataTransform", "", points, placed[:, :3], PARTNERS)
    with pytest.raises(NetcError, match="partners of 3 points"):
        run("AlignDataTransform", "", points, placed, PARTNERS[:, :2])
    one = np.ones((3, 4))
    with pytest.raises(NetcError, match="a weight for each of 12 numbers"):
        run("EuclideanLoss4", "", one, one, one[:2])


def test_data_tells_how_each_picture_was_cropped() -> None:
    text = """layer { name: "d" type: "Data" top: "d" top: "m"
      transform_param { crop_size: 5 force_color: true }
      data_param { source: "s" batch_size: 2 get_mirror_crop: true } }"""
    graph = build(read_net(Source("net.prototxt", text)).message).graph
    assert graph.shape("m") == (2, 4, 1, 1)
