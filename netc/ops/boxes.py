"""Boxes as rows of x_min, y_min, x_max, y_max: areas, overlaps, and suppressing what overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np


def areas(boxes: Any, border: int = 0) -> Any:
    """Area of each box, 0 where a maximum lies below its minimum.

    Args:
        boxes: (n, 4).
        border: 1 where the maximum is a pixel that belongs to the box, 0 where it is its edge.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.where((sides < 0).any(axis=1), np.float32(0), (sides + border).prod(axis=1))


def overlaps(box: Any, boxes: Any, border: int = 0) -> Any:
    """Intersection over union of one box (4,) with each of many (n, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.maximum(high - low + border, 0).prod(axis=1)
    union = areas(box[None], border) + areas(boxes, border) - common
    return np.where(common > 0, common / np.where(common > 0, union, 1), 0)


def kept(
    boxes: Any, threshold: float, *, border: int = 0, eta: float = 1.0, most: int | None = None
) -> list[int]:
    """Non-maximum suppression: which boxes overlap no better one by more than ``threshold``.

    Args:
        boxes: (n, 4), the best first.
        threshold: the overlap allowed.
        border: as for :func:`areas`.
        eta: multiplies a threshold above 0.5 after each box that is kept (SSD's adaptive one).
        most: stop once so many are kept.

    Returns:
        Indices of the kept boxes, in order.
    """
    worst = np.zeros(len(boxes), dtype=np.float32)
    chosen: list[int] = []
    at = 0
    while at < len(boxes) and (most is None or len(chosen) < most):
        fits = worst[at:] <= threshold
        step = int(fits.argmax())
        if not fits[step]:
            break
        at += step
        chosen.append(at)
        if eta < 1 and threshold > 0.5:
            threshold *= eta
        rest = overlaps(boxes[at], boxes[at + 1 :], border)
        worst[at + 1 :] = np.maximum(worst[at + 1 :], rest)
        at += 1
    return chosen
