"""Masks of true objects cut by boxes (mask_transform.py of daijifeng001/MNC, Dai et al. 2016).

A box is x_min, y_min, x_max, y_max in whole pixels of the image before it was resized, and its
maxima belong to it. A true mask has the size of its box; outside of it there is nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.numeric import np
from netc.ops.array import AnyArray
from netc.resizing import resized

MASK_SIDE = 21  # of the masks that the net predicts
_OPAQUE = 0.4  # what counts as the object
_LONGEST = 1 << 15  # pixels of a box's side
INFO = 12  # numbers that tell a region's true mask


class TrueMasks(NamedTuple):
    """The true objects of an image.

    Args:
        boxes: (n, 5), in pixels of the net's input, and their labels.
        masks: (n, height, width), each at the top left.
        sizes: (n, 2), height and width of each.
        scale: by which the image was resized.
    """

    boxes: AnyArray
    masks: AnyArray
    sizes: AnyArray
    scale: float


class MaskTargets(NamedTuple):
    """What regions' masks are to learn.

    Args:
        masks: (n, 1, 21, 21), 0 or 1.
        weights: the same, 1 for the positives.
        info: (n, 12): of a positive number, height, width and label of its true mask, the region
            and the true box; -1 for the others.
    """

    masks: AnyArray
    weights: AnyArray
    info: AnyArray


def mask_targets(true: TrueMasks, boxes: AnyArray, owner: AnyArray, positives: int) -> MaskTargets:
    """Masks to learn for regions, the positives first.

    Args:
        true: the true objects.
        boxes: (n, 4), in pixels of the net's input.
        owner: (n,), the number of each region's true object.
        positives: how many of the regions are positive.
    """
    masks = np.zeros((len(boxes), 1, MASK_SIDE, MASK_SIDE), np.float32)
    weights, info = np.zeros_like(masks), np.full((len(boxes), INFO), -1, np.float32)
    weights[:positives] = 1
    for row in range(positives):
        own = int(owner[row])
        box = whole_box(boxes[row] / true.scale)
        true_box = whole_box(true.boxes[own, :4] / true.scale)
        mask = mask_of(true.masks, own, true.sizes[own])
        masks[row, 0] = _within(box, true_box, mask)
        info[row] = [own, *true.sizes[own], true.boxes[own, 4], *box, *true_box]
    return MaskTargets(masks, weights, info)


def whole_box(box: AnyArray) -> tuple[int, int, int, int]:
    """A box in whole pixels, halves to the even one.

    Raises:
        NetcError: region-out-of-range, for a box that no image has.
    """
    x0, y0, x1, y1 = (float(value) for value in np.around(box))
    if not (abs(x0) < _LONGEST and abs(y0) < _LONGEST and x1 < _LONGEST and y1 < _LONGEST):
        told = ", ".join(f"{value:g}" for value in (x0, y0, x1, y1))
        raise NetcError(
            Diagnostic("region-out-of-range", f"a mask's box of {told} is larger than any image")
        )
    return int(x0), int(y0), int(x1), int(y1)


def mask_of(masks: AnyArray, number: int, size: AnyArray) -> AnyArray:
    """One of the true masks, cut to its height and width.

    Raises:
        NetcError: region-out-of-range, where there is none of this number.
    """
    if not 0 <= number < len(masks):
        raise NetcError(
            Diagnostic(
                "region-out-of-range", f"true mask {number} is asked for, there are {len(masks)}"
            )
        )
    mask: AnyArray = masks[number, : max(0, int(size[0])), : max(0, int(size[1]))]
    return mask


class _Common(NamedTuple):
    """Pixels that two boxes have in common: size, and where they begin in each box."""

    height: int
    width: int
    first: tuple[int, int]
    second: tuple[int, int]


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> _Common | None:
    x, y = max(a[0], b[0]), max(a[1], b[1])
    width, height = min(a[2], b[2]) - x + 1, min(a[3], b[3]) - y + 1
    if width < 1 or height < 1:
        return None
    return _Common(height, width, (y - a[1], x - a[0]), (y - b[1], x - b[0]))


def _part(mask: AnyArray, at: tuple[int, int], common: _Common) -> AnyArray:
    """The common pixels of a mask; what it does not have is 0."""
    found = np.zeros((common.height, common.width), mask.dtype)
    own = mask[at[0] : at[0] + common.height, at[1] : at[1] + common.width]
    found[: own.shape[0], : own.shape[1]] = own
    return found


def _within(box: tuple[int, ...], true_box: tuple[int, ...], mask: AnyArray) -> AnyArray:
    """The part of a true mask that lies in a box, resized to (21, 21), 0 or 1."""
    common = _common(box, true_box)
    if common is None:
        return np.zeros((MASK_SIDE, MASK_SIDE), np.float32)
    part = np.zeros((box[3] - box[1] + 1, box[2] - box[0] + 1, 1), np.float32)
    y, x = common.first
    part[y : y + common.height, x : x + common.width, 0] = _part(mask, common.second, common)
    return (resized(part, (MASK_SIDE, MASK_SIDE))[:, :, 0] >= _OPAQUE).astype(np.float32)


def mask_overlap(
    predicted: AnyArray, box: tuple[int, ...], mask: AnyArray, true_box: tuple[int, ...]
) -> float:
    """Intersection over union of a predicted mask (21, 21) and a true one, in their boxes."""
    common = _common(box, true_box)
    if common is None:
        return 0.0
    size = (max(1, box[3] - box[1] + 1), max(1, box[2] - box[0] + 1))
    own = resized(predicted[:, :, None].astype(np.float32), size)[:, :, 0] >= _OPAQUE
    both = _part(own, common.first, common) & (_part(mask, common.second, common) != 0)
    union = own.sum() + mask.sum() - both.sum()
    return float(both.sum() / union) if union >= 1 else 0.0
