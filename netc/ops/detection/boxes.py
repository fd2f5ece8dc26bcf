"""Boxes as rows of x_min, y_min, x_max, y_max: areas, overlaps and non-maximum suppression.

The arithmetic is that of bbox_util.cpp of weiliu89/caffe and of Faster R-CNN's nms.
"""

from __future__ import annotations

from netc.numeric import np
from netc.ops.array import AnyArray


def areas(boxes: AnyArray, border: int = 0) -> AnyArray:
    """Area of each box, (n,); 0 where a maximum lies below its minimum.

    Args:
        boxes: (n, 4), in pixels or in parts of the image.
        border: 1 where the maximum is a pixel that belongs to the box, 0 where it is its edge.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.where((sides < 0).any(axis=1), np.float32(0), (sides + border).prod(axis=1))


def overlaps(boxes: AnyArray, own: AnyArray, some: AnyArray, border: int = 0) -> AnyArray:
    """Intersection over union of some boxes with every box: (some, n).

    Args:
        boxes: (4, n), the rows being x_min, y_min, x_max and y_max.
        own: (n,), their areas.
        some: indices of boxes.
        border: as for :func:`areas`.
    """
    low = np.maximum(boxes[:2, some, None], boxes[:2, None])
    high = np.minimum(boxes[2:, some, None], boxes[2:, None])
    sides = np.maximum(high - low + border, 0)
    common = sides[0] * sides[1]
    union = own[some, None] + own - common
    return np.where(common > 0, common / np.where(common > 0, union, 1), 0)


def box_overlaps(boxes: AnyArray, truth: AnyArray) -> AnyArray:
    """Intersection over union of boxes (n, 4) with true boxes (m, 4), in pixels: (n, m)."""
    both = np.concatenate([boxes, truth])
    columns, own = np.ascontiguousarray(both.T), areas(both, 1)
    return overlaps(columns, own, np.arange(len(boxes), len(both)), 1)[:, : len(boxes)].T


def nearest(boxes: AnyArray, truth: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The true box that each box overlaps most, the first of equals, and by how much; (n,) each."""
    if not len(truth):
        return np.zeros(len(boxes), np.int64), np.zeros(len(boxes))
    table = box_overlaps(boxes, truth)
    return table.argmax(axis=1), table.max(axis=1)


def nms_keep(
    boxes: AnyArray,
    threshold: float,
    *,
    border: int = 0,
    eta: float = 1.0,
    limit: int | None = None,
) -> list[int]:
    """Non-maximum suppression: which boxes overlap no better one by more than ``threshold``.

    Args:
        boxes: (n, 4), the best first.
        threshold: the largest intersection over union allowed with a kept box.
        border: as for :func:`areas`.
        eta: the threshold is multiplied by it after each kept box, while it is above 0.5 (adaptive
            NMS of SSD); 1 leaves it as it is.
        limit: stop once so many are kept; None for no limit.

    Returns:
        Indices of the kept boxes, in order.
    """
    columns, own = np.ascontiguousarray(boxes.T), areas(boxes, border)
    worst = np.zeros(len(boxes), dtype=np.float32)
    limit = len(boxes) if limit is None else limit
    chosen: list[int] = []
    at = 0
    while len(chosen) < limit:
        block = at + np.flatnonzero(worst[at:] <= threshold)[:_BLOCK]
        if not len(block):
            break
        at = block[0]
        table = overlaps(columns[:, at:], own[at:], block - at, border)
        for box, row in zip(block.tolist(), table, strict=True):
            if not worst[box] <= threshold or len(chosen) >= limit:
                continue
            chosen.append(box)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
            np.maximum(worst[at:], row, out=worst[at:])
        at = block[-1] + 1
    return chosen


_BLOCK = 32  # boxes compared with all others at a time
