"""Attributes and relations of regions, pair by pair as the layer's source has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError

TEXT = """
input: "r" input_shape {{ dim: [200, 5] }} input: "gt" input_shape {{ dim: [3, {wide}] }}
layer {{ name: "p" type: "Python" bottom: "r" bottom: "gt"
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside" {tops}
  python_param {{ module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer"
    param_str: "'num_classes': 4\\n{more}" }} }}
"""
ATTRIBUTES = "'num_attr_classes': 50\\n'ignore_label': -1"
BOXES = np.array([[20, 10, 90, 100, 1], [100, 40, 160, 120, 3], [5, 5, 8, 8, 2]], np.float32)
RELATIONS = np.array([[0, 7, 0], [0, 0, 0], [2, 0, 0]], np.float32)


def regions(seed: int, near: int) -> Any:
    rng = np.random.default_rng(seed)
    close = BOXES[rng.integers(0, 2, near), :4] + rng.integers(-5, 6, (near, 4))
    low = rng.integers(0, 100, (200 - near, 2))
    far = np.concatenate([low, low + rng.integers(4, 20, (200 - near, 2))], axis=1)
    return np.concatenate([np.zeros((200, 1)), np.concatenate([close, far])], axis=1)


def truth(relations: bool) -> Any:
    attributes = np.zeros((3, 16), np.float32)
    attributes[0, :3], attributes[1, :1], attributes[2, 1] = (5, 9, 2), 8, 30
    return np.concatenate([BOXES, attributes, *([RELATIONS] if relations else [])], axis=1)


def run(more: str, near: int, relations: bool = False, tops: str = 'top: "attr"') -> Any:
    gt = truth(relations)
    net = netc.compile(
        text=TEXT.format(wide=gt.shape[1], more=more, tops=tops), backend="reference", phase="TRAIN"
    )
    return net(r=regions(near, near).astype(np.float32), gt=gt)


def matched(rois: Any, labels: Any) -> list[int]:
    """The true box of each positive: no two have the same label here."""
    assert len(rois) == len(labels) == 64
    return [BOXES[:, 4].tolist().index(label) for label in labels.reshape(-1) if label]


@pytest.mark.parametrize("near", [3, 60])
def test_attributes_are_those_of_the_true_box(near: int) -> None:
    out = run(ATTRIBUTES, near)
    at = matched(out["rois"], out["labels"])
    assert len(at) <= 32 and (len(at) == 32) == (near == 60)
    gt = truth(False)
    assert out["attr"].shape == (32, 16)
    for row in range(32):
        for number in range(16):
            wanted = gt[at[row], 5 + number] if row < len(at) else -1
            if row < len(at) and number and wanted == 0:
                wanted = -1
            assert out["attr"][row, number] == wanted


@pytest.mark.parametrize("ignore", [-1, 255])
def test_relations_are_of_each_region_to_each_and_as_many_have_none(ignore: int) -> None:
    more = f"'num_rel_classes': 20\\n'ignore_label': {ignore}"
    out = run(more, 40, relations=True, tops='top: "rel"')
    at = matched(out["rois"], out["labels"])
    table = out["rel"].reshape(32, 32)
    related = none = 0
    for i in range(32):
        for j in range(32):
            real = i < len(at) and j < len(at)
            wanted = RELATIONS[at[i], at[j]] if real else 0
            if wanted:
                related += 1
                assert table[i, j] == wanted
            else:
                assert table[i, j] in ((0, ignore) if real else (ignore,))
                none += table[i, j] == 0
    assert 0 < related
    assert none == min(related, len(at) ** 2 - related)


def test_both_are_given_attributes_first() -> None:
    more = ATTRIBUTES + "\\n'num_rel_classes': 20"
    out = run(more, 40, relations=True, tops='top: "attr" top: "rel"')
    assert out["attr"].shape == (32, 16)
    assert out["rel"].shape == (1024, 1, 1, 1)


def test_without_either_the_layer_is_faster_rcnn_s() -> None:
    text = TEXT.format(wide=5, more="'num_attr_classes': 0\\n'num_rel_classes': 0", tops="")
    net = netc.compile(text=text, backend="reference", phase="TRAIN")
    assert net(r=regions(0, 60).astype(np.float32), gt=BOXES)["rois"].shape == (128, 5, 1, 1)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(NetcError, match="at least 21 numbers") as told:
        netc.compile(text=TEXT.format(wide=9, more=ATTRIBUTES, tops='top: "a"'), phase="TRAIN")
    assert told.value.diagnostics[0].span is not None
    more = "'num_rel_classes': 20"
    with pytest.raises(NetcError, match="have 24 numbers"):
        netc.compile(text=TEXT.format(wide=21, more=more, tops='top: "a"'), phase="TRAIN")


def test_true_boxes_without_attributes_are_told_when_they_come() -> None:
    text = TEXT.format(wide=5, more=ATTRIBUTES, tops='top: "a"')
    net = netc.compile(text=text, backend="reference", phase="TRAIN")
    with pytest.raises(NetcError, match="rows of 5 numbers"):
        net(r=regions(0, 60).astype(np.float32), gt=BOXES)


def test_anchors_of_such_nets_read_the_boxes_alone() -> None:
    text = """
    input: "s" input_shape {{ dim: [1, 18, 9, 12] }} input: "gt" input_shape {{ dim: [3, {wide}] }}
    input: "info" input_shape {{ dim: [1, 3] }}
    layer {{ name: "a" type: "Python" bottom: "s" bottom: "gt" bottom: "info"
      top: "labels" top: "targets" top: "inside" top: "outside"
      python_param {{ module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
        param_str: "'feat_stride': 16\\n'scales': !!python/tuple [2, 4, 6]" }} }}
    """
    made = []
    for gt in (BOXES, truth(False), truth(True)):
        net = netc.compile(text=text.format(wide=gt.shape[1]), backend="reference", phase="TRAIN")
        scores = np.zeros((1, 18, 9, 12), np.float32)
        made.append(net(s=scores, gt=gt, info=np.array([[144, 192, 1]], np.float32)))
    for name, array in made[0].items():
        np.testing.assert_array_equal(array, made[1][name])
        np.testing.assert_array_equal(array, made[2][name])
