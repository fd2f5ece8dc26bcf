"""The C++ layers of makefile/frcnn, beside Faster R-CNN's Python layers that they rewrite."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, NetcWarning
from tests.ops.test_fork_parts import inputs_of, run, text_of

pytestmark = pytest.mark.filterwarnings("ignore:.*fork-reading")

PYTHON = "python_param {{ module: 'rpn.{}' layer: '{}' param_str: \"{}\" }}"


def maps(anchors: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    score = rng.random((1, 2 * anchors, 4, 5)).astype(np.float32)
    delta = (rng.normal(size=(1, 4 * anchors, 4, 5)) * 0.2).astype(np.float32)
    return score, delta, np.array([[64, 80, 1]], np.float32)


@pytest.mark.parametrize("phase", ("TRAIN", "TEST"))
def test_proposals_are_those_of_the_python_layer(phase: str) -> None:
    python = PYTHON.format("proposal_layer", "ProposalLayer", "'feat_stride': 16")
    wanted = run("Python", python, *maps(9), tops=2, phase=phase)
    got = run("FrcnnProposal", "", *maps(9), tops=2, phase=phase)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one.reshape(len(one), -1), other.reshape(len(other), -1))
    assert got[0].shape[1:] == (5, 1, 1) and len(got[0]) > 5


def test_of_equal_scores_the_later_box_comes_first() -> None:
    score, delta, info = maps(3)
    score[:] = 0.5
    (first, *_), _ = run("FrcnnProposal", "", score, delta * 0, info, tops=2)
    # The last anchor of the last cell, of ratio 2 and scale 8, cut at the edge of the image.
    np.testing.assert_allclose(first.reshape(-1), [0, 28, 0, 79, 63])


def test_fifteen_anchors_have_five_scales_and_other_numbers_are_refused() -> None:
    assert len(run("FrcnnProposal", "proposal_param { feat_stride: 8 }", *maps(15)))
    with pytest.raises(NetcError, match="7 anchors, which a file of the fork's tells"):
        run("FrcnnProposal", "", *maps(7))


def test_it_is_told_that_a_file_has_more_to_say() -> None:
    with pytest.warns(NetcWarning, match="JSON"):
        run("FrcnnProposal", "", *maps(9))


TRUTH = np.array([[4, 6, 60, 50, 3], [30, 2, 70, 40, 1]], np.float32)


def test_anchor_targets_are_those_of_the_python_layer() -> None:
    python = PYTHON.format("anchor_target_layer", "AnchorTargetLayer", "'feat_stride': 16")
    feeds = (np.zeros((1, 18, 20, 22), np.float32), TRUTH, np.array([[320, 352, 1]], np.float32))
    wanted = run("Python", python, *feeds, tops=4, phase="TRAIN")
    got = run("FrcnnAnchorTarget", "", *feeds, tops=4, phase="TRAIN")
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (got[0] == 1).any() and (got[0] == 0).any()


def target_net(fields: str = "") -> netc.CompiledNet:
    text = inputs_of([(40, 5, 1, 1), (2, 5)]) + text_of("FrcnnProposalTarget", fields, 2, 5)
    return netc.compile(text=text, backend="reference", phase="TRAIN")


def rois() -> np.ndarray:
    corners = np.sort(np.random.default_rng(5).random((40, 2, 2)) * 70, axis=1).reshape(40, 4)
    return np.concatenate([np.zeros((40, 1)), corners], axis=1).astype(np.float32)


def test_proposal_targets_are_filled_up_with_negatives() -> None:
    feeds = {"x0": rois().reshape(40, 5, 1, 1), "x1": TRUTH}
    found = target_net()(feeds)
    labels = found["y1"].reshape(-1)
    assert found["y0"].shape == (128, 5, 1, 1) and found["y2"].shape == (128, 84, 1, 1)
    positive = int((labels > 0).sum())
    negatives = found["y0"].reshape(128, 5)[positive:]
    distinct = len(np.unique(negatives, axis=0))
    assert 0 < positive <= 32 and distinct < 42
    assert (negatives[:distinct] == negatives[distinct : 2 * distinct]).all()
    # The true boxes are among the regions, and need not move.
    rows = found["y0"].reshape(128, 5)[:positive, 1:]
    (at,) = np.flatnonzero((rows == TRUTH[0, :4]).all(axis=1))
    assert labels[at] == 3 and not found["y2"][at].any()
    assert found["y3"][at, 12:16].all() and found["y3"][at].sum() == 4


def test_later_stages_of_a_cascade_want_more_overlap() -> None:
    exact = rois()
    exact[0, 1:] = TRUTH[0, :4]  # left out from stage 1 on: the true box itself is there already
    feeds = {"x0": exact.reshape(40, 5, 1, 1), "x1": TRUTH}
    first, later = (target_net(f"proposal_target_param {{ stage: {n} }}")(feeds) for n in (0, 2))

    def times(found: dict[str, np.ndarray]) -> int:
        return int((found["y0"].reshape(-1, 5)[:, 1:] == TRUTH[0, :4]).all(axis=1).sum())

    assert times(first) == 2 and times(later) == 1
    assert (later["y1"] > 0).sum() <= (first["y1"] > 0).sum()


def test_num_classes_of_soeavers_fork() -> None:
    found = target_net("frcnn_proposal_target_param { num_classes: 4 }")(
        {"x0": rois().reshape(40, 5, 1, 1), "x1": TRUTH}
    )
    assert found["y2"].shape == (128, 16, 1, 1)
