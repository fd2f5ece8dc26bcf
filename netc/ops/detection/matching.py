"""Matching of priors with true boxes, and boxes encoded by priors (bbox_util.cpp of SSD).

Boxes are rows of x_min, y_min, x_max, y_max in parts of the image's width and height.
"""

from __future__ import annotations

from netc.numeric import np
from netc.ops.array import AnyArray, quietly
from netc.ops.detection.boxes import areas, overlaps

NO_MATCH, IGNORED = -1, -2
_MIN_OVERLAP = 1e-6  # an overlap up to this counts as none


def overlap_table(boxes: AnyArray, others: AnyArray) -> AnyArray:
    """Intersection over union of each box with each of the others, (boxes, others)."""
    if not len(boxes) or not len(others):
        return np.zeros((len(boxes), len(others)), np.float32)
    both = np.concatenate([boxes, others])
    columns = np.ascontiguousarray(both.T)
    table = overlaps(columns, areas(both), np.arange(len(boxes), len(both)))
    return np.ascontiguousarray(table[:, : len(boxes)].T)


def matches(
    boxes: AnyArray, truth: AnyArray, threshold: float, bipartite: bool, inside_only: bool
) -> tuple[AnyArray, AnyArray]:
    """The true box that each box is matched with, and its greatest overlap with any.

    First each true box takes the box that it overlaps most, the best pair first; then, unless
    ``bipartite``, each box left takes the true box that it overlaps most, by ``threshold`` or more.

    Args:
        boxes: (n, 4), priors or predictions.
        truth: (m, 4).
        threshold: least intersection over union of the second step.
        bipartite: whether the first step is all.
        inside_only: boxes that cross the image's edge are ``IGNORED``.

    Returns:
        (n,) indices into ``truth``, ``NO_MATCH`` or ``IGNORED``; (n,) overlaps.
    """
    match = np.full(len(boxes), NO_MATCH)
    if inside_only:
        match[((boxes < 0) | (boxes > 1)).any(axis=1)] = IGNORED
    if not len(truth):
        return np.full(len(boxes), NO_MATCH), np.zeros(len(boxes), np.float32)
    table = overlap_table(boxes, truth)
    table[(table <= _MIN_OVERLAP) | (match == IGNORED)[:, None]] = 0
    best = table.max(axis=1)
    _take_best_pairs(table, match)
    if not bipartite:
        left = (match == NO_MATCH) & (best >= np.float32(threshold)) & (best > 0)
        match[left] = table[left].argmax(axis=1)
    return match, best


def _take_best_pairs(table: AnyArray, match: AnyArray) -> None:
    free = table.copy()
    for _ in range(table.shape[1]):
        box, target = np.unravel_index(free.argmax(), free.shape)
        if free[box, target] <= 0:
            break
        match[box] = target
        free[box], free[:, target] = 0, 0


@quietly
def encoded(code: str, boxes: AnyArray, priors: AnyArray) -> AnyArray:
    """Boxes as offsets from priors, (n, 4), before they are divided by the variances.

    Args:
        code: CORNER, CENTER_SIZE or CORNER_SIZE.
        boxes: (n, 4).
        priors: (n, 4), the prior of each box.
    """
    if code == "CORNER":
        return boxes - priors
    size = priors[:, 2:] - priors[:, :2]
    if code == "CORNER_SIZE":
        result: AnyArray = (boxes - priors) / np.concatenate([size, size], axis=1)
        return result
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - (priors[:, :2] + priors[:, 2:]) / 2
    grown = np.log((boxes[:, 2:] - boxes[:, :2]) / size)
    return np.concatenate([centre / size, grown], axis=1)
