"""Non-maximum suppression of boxes by centre and size, against a plain loop over pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.ops.detection.yolo_overlap import nms_keep

f32 = np.float32
SIDES = st.sampled_from((0.0, 0.1, 0.2, 0.35, -0.1, float("nan"), float("inf")))
BOXES = st.lists(
    st.tuples(st.sampled_from((0.1, 0.2, 0.3)), st.sampled_from((0.1, 0.2)), SIDES, SIDES),
    max_size=24,
)


def plain_overlap(one: np.ndarray, two: np.ndarray) -> np.float32:
    common = f32(1)
    for axis in (0, 1):
        low = np.maximum(one[axis] - one[axis + 2] / 2, two[axis] - two[axis + 2] / 2)
        high = np.minimum(one[axis] + one[axis + 2] / 2, two[axis] + two[axis + 2] / 2)
        if high - low < 0:
            common = f32(0)
            break
        common = common * (high - low)
    return common / (one[2] * one[3] + two[2] * two[3] - common)


def plain_keep(boxes: np.ndarray, limit: float) -> list[int]:
    kept: list[int] = []
    for at, box in enumerate(boxes):
        if not any(plain_overlap(boxes[k], box) >= f32(limit) for k in kept):
            kept.append(at)
    return kept


@settings(max_examples=60, deadline=None)
@given(BOXES, st.sampled_from((-1.0, 0.0, 0.3, 0.45, 1.0, 1.5)))
def test_boxes_stay_that_overlap_no_earlier_one(
    rows: list[tuple[float, ...]], limit: float
) -> None:
    boxes = np.array(rows, f32).reshape(-1, 4)
    with np.errstate(all="ignore"):
        assert nms_keep(boxes, limit) == plain_keep(boxes, limit)


def test_copies_of_a_box_share_the_fate_of_the_first() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.random((300, 4)).astype(f32) * np.array([1, 1, 0.3, 0.3], f32)
    order = rng.permutation(80 * len(boxes))
    copies = np.repeat(boxes, 80, axis=0)[order]
    first = {tuple(row): at for at, row in reversed(list(enumerate(copies.tolist())))}
    alone = np.array(sorted(first.values()))
    assert nms_keep(copies, 0.45) == alone[plain_keep(copies[alone], 0.45)].tolist()
