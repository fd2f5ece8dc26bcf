"""ProposalTarget: regions, labels and targets, region by region as the layer's loops make them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc

RNG = np.random.default_rng
TEXT = """
layer {{ name: "r" type: "Input" top: "r" input_param {{ shape {{ dim: {r} dim: 5 }} }} }}
layer {{ name: "t" type: "Input" top: "t" input_param {{ shape {{ dim: {t} dim: {n} }} }} }}
layer {{ name: "op" type: "ProposalTarget" bottom: "r" bottom: "t"
  top: "rois" top: "label" top: "target" top: "inside" top: "outside" top: "match" top: "weight"
  proposal_target_param {{ cls_num: 4 num_img_per_batch: 2 img_width: 100 img_height: 90 {more} }}
  bbox_reg_param {{ cls_aware: {aware} bbox_mean: 0 bbox_mean: 0.1 bbox_mean: 0 bbox_mean: 0.2
    bbox_std: 0.1 bbox_std: 0.1 bbox_std: 0.2 bbox_std: 0.5 }} }}
"""


def boxes(rng: np.random.Generator, number: int) -> Any:
    low = rng.integers(0, 60, (number, 2))
    corners = np.concatenate([low, low + rng.integers(5, 35, (number, 2))], axis=1)
    return np.concatenate([rng.integers(0, 2, (number, 1)), corners], axis=1)


def case(seed: int, numbers: int = 8) -> tuple[Any, Any]:
    rng = RNG(seed)
    truth = np.concatenate([boxes(rng, 5), np.zeros((5, numbers - 5))], axis=1)
    truth[:, 5] = rng.integers(1, 4, 5)
    truth[4, 6] = 1  # ignored
    near = truth[rng.integers(0, 5, 12), :5] + np.concatenate(
        [np.zeros((12, 1)), rng.integers(-4, 5, (12, 4))], axis=1
    )
    rois = np.concatenate([near, boxes(rng, 20)])
    return rois.astype(np.float32), truth.astype(np.float32)


def run(rois: Any, truth: Any, more: str = "batch_size: -1", aware: str = "true") -> dict[str, Any]:
    text = TEXT.format(r=len(rois), t=len(truth), n=truth.shape[1], more=more, aware=aware)
    net = netc.compile(text=text, backend="reference", phase="TRAIN")
    return {k: np.asarray(v).reshape(len(v), -1) for k, v in net(r=rois, t=truth).items()}


def iou(a: Any, b: Any) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(w, 0) * max(h, 0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return float(common / (sum(areas) - common))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("aware", ["true", "false"])
def test_all_regions_that_count_are_given_with_their_targets(seed: int, aware: str) -> None:
    rois, truth = case(seed)
    out = run(rois, truth, "batch_size: -1 bg_thr_lw: 0.05 pickup_discard: false", aware)
    wanted = []
    for row in np.concatenate([rois, truth[:, :5]]):
        found = [(iou(row[1:], t[1:5]), i) for i, t in enumerate(truth) if t[0] == row[0]]
        best, at = max(found, key=lambda f: (f[0], -f[1]), default=(0.0, -1))
        if at >= 0 and best >= 0.5:
            if not truth[at, 6]:
                wanted.append((row, int(truth[at, 5]), at, best))
        elif 0.05 <= best < 0.5:
            wanted.append((row, 0, at, best))
    wanted.sort(key=lambda w: w[1] == 0)
    assert out["rois"].tolist() == [w[0].tolist() for w in wanted]
    assert out["label"].reshape(-1).tolist() == [w[1] for w in wanted]
    for i, (row, label, at, best) in enumerate(wanted):
        used = np.flatnonzero(out["inside"][i]).tolist()
        first = 4 * (label if aware == "true" else min(1, label))
        assert used == ([*range(first, first + 4)] if label else [])
        if label:
            np.testing.assert_allclose(out["match"][i], [label, *truth[at, 1:5], best], rtol=1e-5)
            side = row[3:] - row[1:3] + 1
            true_side = truth[at, 3:5] - truth[at, 1:3] + 1
            centre = (truth[at, 1:3] + true_side / 2 - row[1:3] - side / 2) / side
            coded = [*centre, *np.log(true_side / side)]
            expected = (coded - np.array([0, 0.1, 0, 0.2])) / [0.1, 0.1, 0.2, 0.5]
            np.testing.assert_allclose(out["target"][i, used], expected, rtol=1e-4, atol=1e-4)
    share = out["weight"].reshape(-1)[out["label"].reshape(-1) > 0].sum() / len(wanted)
    np.testing.assert_allclose(share, 0.25, rtol=1e-4)


def test_a_batch_has_its_share_of_positives_and_is_filled_up() -> None:
    rois, truth = case(0)
    out = run(rois, truth, "batch_size: 16 fg_fraction: 0.25")
    assert out["rois"].shape == (16, 5)
    assert (out["label"] > 0).sum() == 4
    assert (out["label"][:4] > 0).all()


def test_ms_cnn_fills_a_batch_with_boxes_beside_the_true_ones() -> None:
    rois, truth = case(1, numbers=7)
    out = run(rois[:2], truth, "batch_size: 40")
    assert out["rois"].shape == (40, 5)
    for row in out["rois"][out["label"].reshape(-1) == 0]:
        assert all(iou(row[1:], t[1:5]) < 0.5 for t in truth if t[0] == row[0])


def test_cascade_gives_one_box_where_there_would_be_none() -> None:
    truth = np.full((1, 8), -1, np.float32)
    out = run(
        np.array([[0, 1, 1, 20, 20]], np.float32), truth,
        "batch_size: 8 bg_thr_lw: 0.1 pickup_discard: false",
    )  # fmt: skip
    assert out["rois"].shape == (1, 5)
    assert out["label"].tolist() == [[0]]


def test_a_box_of_no_image_is_refused() -> None:
    rois, truth = case(2)
    rois[3, 0] = 7
    with pytest.raises(netc.NetcError, match="a box is of image 7, and `num_img_per_batch` is 2"):
        run(rois, truth)
