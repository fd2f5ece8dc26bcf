"""SubCNN's layers against loops as its sources have them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(7)


def test_feature_extrapolating() -> None:
    x = RNG.normal(size=(6, 2, 5, 4))  # two images at three scales
    base = [0.5, 1.0, 3.0]
    fields = ('feature_extrapolating_param { scale_string: "0.5 1.0 3.0" num_scale_base: 3 '
              "num_per_octave: 2 }")  # fmt: skip
    scales, nearest = [0.5, 0.75, 1, 2, 3], [0, 1, 1, 2, 2]
    wanted = np.zeros((10, 2, 5, 4))
    for n, (image, s) in enumerate((i, s) for i in range(2) for s in range(5)):
        factor = scales[s] / base[nearest[s]]
        own = x[image * 3 + nearest[s]]
        for h, w in np.ndindex(5, 4):
            yp, xp = h / factor, w / factor
            if yp < 5 and xp < 4:
                yi, xi = math.floor(yp), math.floor(xp)
                for dy, dx in np.ndindex(2, 2):
                    if yi + dy < 5 and xi + dx < 4:
                        share = abs(1 - dy - (yp - yi)) * abs(1 - dx - (xp - xi))
                        wanted[n, :, h, w] += share * own[:, yi + dy, xi + dx]
    close(run("FeatureExtrapolating", fields, x), wanted)
    with pytest.raises(NetcError, match="3 scales of each image"):
        run("FeatureExtrapolating", fields, x[:4])
    with pytest.raises(NetcError, match="3 numbers above 0"):
        run("FeatureExtrapolating", fields.replace("0.5", "a"), x)


def test_heatmap_generating_passes_over_the_background() -> None:
    p = RNG.random((2, 3, 2, 2))
    close(run("HeatmapGenerating", "", p), p[:, 1:].max(axis=1, keepdims=True))
    close(run("HeatmapGenerating", "", p * 0 - 2), np.full((2, 1, 2, 2), -1.0))


HEAT = np.zeros((4, 1, 3, 4))  # two images at two scales
HEAT[0, 0] = np.arange(12).reshape(3, 4) / 100
HEAT[3, 0] = 0.5 - np.arange(12).reshape(3, 4) / 100
PARAMETERS = np.array(
    [2, 2, 1, 2, 1, 0, 3, 4, 2, 6.0]
)  # scales, aspects, 1 2, mapped to 1 0, sides


def box(x: int, y: int, batch: int, label: int) -> list[float]:
    return [x, y, batch, 1, 2, 3, 4, batch, 5, 6, 7, 8, label, label + 10, 0.1, 0.2, 0.3, 0.4]


def test_roi_generating() -> None:
    boxes = np.array([box(3, 2, 0, 1), box(1, 0, 0, 2), box(0, 0, 3, 1)])
    fields = ("roi_generating_param { batch_size: 8 num_classes: 3 fg_fraction: 0.25 "
              "spatial_scale: 0.5 flag_proposal_only: 0 }")  # fmt: skip
    tops = run("ROIGenerating", fields, HEAT, boxes, PARAMETERS, tops=7)
    first, sub, targets, inside, outside, second, labels = (t.reshape(8, -1) for t in tops)
    # One positive for each image, of the first the one of lower score.
    close(labels.reshape(-1), [2, 1, 0, 0, 0, 0, 0, 0])
    close(sub.reshape(-1), [12, 11, 0, 0, 0, 0, 0, 0])
    close(first[0], [0, 1, 2, 3, 4])
    close(second[1], [3, 5, 6, 7, 8])
    close(targets[0].reshape(3, 4)[2], [0.1, 0.2, 0.3, 0.4])
    close(inside[0], [0] * 8 + [1] * 4)
    close(outside, inside)
    assert not targets[2:].any()
    # Negatives in the order of their scores, without the places of positives: 10, 9 and 8.
    centre = (first[2:5, 1:3] + first[2:5, 3:]) / 2
    close(first[2:5, 0], [0, 0, 0])
    close(centre, np.array([[2, 2], [1, 2], [0, 2]]) / 0.5)
    sides = first[2:5, 3:] - first[2:5, 1:3]
    assert {tuple(side) for side in (sides / 2).tolist()} <= {(2.0, 3.0), (6.0, 4.0)}
    # Scale 1 covers half of the map: only what lies in it is mapped to scale 2.
    inside_scale = (centre * 0.5 < [2, 1.5]).all(axis=1)
    close(second[2:5, 0], np.where(inside_scale, 1, 0))
    close(first[5:, 0], [3, 3, 3])
    close((first[5:, 1:3] + first[5:, 3:]) / 2, np.array([[1, 0], [2, 0], [3, 0]]) / 0.5)
    close(second[5:, 1:], first[5:, 1:] / 2)
    close(second[5:, 0], [2, 2, 2])


def test_proposals_alone_are_five_tops() -> None:
    fields = ("roi_generating_param { batch_size: 4 num_classes: 3 fg_fraction: 0.5 "
              "spatial_scale: 0.5 flag_proposal_only: 1 }")  # fmt: skip
    boxes = np.array([box(3, 2, 0, 1), box(0, 0, 3, 1)])
    tops = run("ROIGenerating", fields, HEAT, boxes, PARAMETERS, tops=5)
    assert [top.shape for top in tops] == [(4, 5, 1, 1), (4, 1, 1, 1), *[(4, 12, 1, 1)] * 3]
    with pytest.raises(NetcError, match="rows of 18"):
        run("ROIGenerating", fields, HEAT, boxes[:, :17], PARAMETERS, tops=5)
